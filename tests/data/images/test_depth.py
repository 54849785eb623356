"""The step to 8 bits, and files that cannot be read."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from medbench.data.images import depth
from medbench.data.images.depth import Unreadable, eight_bits


@pytest.mark.parametrize(("top", "bits"), [(255, 8), (256, 12), (4095, 12), (4096, 16), (65535, 16)])
@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float64])
def test_values_are_scaled_by_the_smallest_depth_that_holds_them(top: int, bits: int, kind: type) -> None:
    values = np.unique(np.linspace(0, top, 99).astype(np.int64))
    expected = [int(Fraction(int(v) * 255, 2**bits - 1) + Fraction(1, 2)) for v in values]  # rounded, halves up
    found = eight_bits(values.astype(kind))
    assert found.dtype == np.uint8
    assert found.tolist() == expected


@pytest.mark.parametrize("bits", range(1, 17))
def test_a_declared_scale_is_the_one_that_is_used(bits: int) -> None:
    full = 2**bits - 1
    values = np.array([[0, full // 3, full]], np.uint16)
    expected = [int(Fraction(int(v) * 255, full) + Fraction(1, 2)) for v in values[0]]
    assert eight_bits(values, full).tolist() == [expected]
    dark = np.array([[0, 1]], np.uint16)
    assert eight_bits(dark, full).tolist() == [[0, int(Fraction(255, full) + Fraction(1, 2))]]


def test_values_above_what_is_declared_take_the_declaration_away() -> None:
    assert eight_bits(np.array([[0, 4095]], np.uint16), 1023).tolist() == [[0, 255]]


def test_fractions_of_one_negative_values_and_no_numbers() -> None:
    assert eight_bits(np.array([0.0, 0.5, 1.0])).tolist() == [0, 128, 255]
    assert eight_bits(np.array([-3.0, np.nan, 255.0])).tolist() == [0, 0, 255]
    assert eight_bits(np.array([-7, 100], np.int32)).tolist() == [0, 100]


@pytest.mark.parametrize("odd", [1.0000001, 1.49, np.inf, -np.inf, np.nan, -1e-9, -5.0])
def test_one_odd_number_does_not_darken_an_image_of_fractions(odd: float) -> None:
    values = np.append(np.linspace(0, 1, 101), odd).astype(np.float32)
    assert eight_bits(values)[:101].tolist() == eight_bits(np.linspace(0, 1, 101).astype(np.float32)).tolist()
    assert eight_bits(values)[101] == (255 if 1 < odd < 2 else 0)


def test_an_unreadable_file_says_where_why_and_what_to_do() -> None:
    error = Unreadable("cut off", Path("a/b.png"))
    assert (error.message, error.reason) == ("a/b.png: cut off", "cut off")
    assert "--unreadable leave-out" in error.hint
    assert Unreadable("cut off").message == "cut off"


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_pieces_are_scaled_alike(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.linspace(0, 4000, 91).reshape(7, 13).astype(kind)
    whole = eight_bits(values.T)
    monkeypatch.setattr(depth, "BLOCK", 10)
    assert np.array_equal(eight_bits(values.T), whole)
    assert whole.shape == (13, 7)
    assert whole.max() == 249  # of 4095, not of what is greatest in its piece
