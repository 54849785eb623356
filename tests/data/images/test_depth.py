"""The step to 8 bits, and files that cannot be read."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from medbench.data.images.depth import DEPTHS, Unreadable, eight_bits


@pytest.mark.parametrize(("top", "bits"), [(255, 8), (256, 12), (4095, 12), (4096, 16), (65535, 16)])
@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float64])
def test_values_are_scaled_by_the_smallest_depth_that_holds_them(top: int, bits: int, kind: type) -> None:
    values = np.unique(np.linspace(0, top, 99).astype(np.int64))
    expected = [int(Fraction(int(v) * 255, 2**bits - 1) + Fraction(1, 2)) for v in values]  # rounded, halves up
    found = eight_bits(values.astype(kind), DEPTHS[0])
    assert found.dtype == np.uint8
    assert found.tolist() == expected


def test_a_declared_depth_is_the_least() -> None:
    dark = np.array([[0, 200]], np.uint16)
    assert eight_bits(dark, 8).tolist() == [[0, 200]]
    assert eight_bits(dark, 12).tolist() == [[0, 12]]  # 200 * 255 / 4095 = 12.45
    assert eight_bits(dark, 16).tolist() == [[0, 1]]


def test_fractions_of_one_negative_values_and_no_numbers() -> None:
    assert eight_bits(np.array([0.0, 0.5, 1.0]), 8).tolist() == [0, 128, 255]
    assert eight_bits(np.array([-3.0, np.nan, 255.0]), 8).tolist() == [0, 0, 255]
    assert eight_bits(np.array([-7, 100], np.int32), 8).tolist() == [0, 100]


def test_an_unreadable_file_says_where_why_and_what_to_do() -> None:
    error = Unreadable("cut off", Path("a/b.png"))
    assert (error.message, error.reason) == ("a/b.png: cut off", "cut off")
    assert "--unreadable leave-out" in error.hint
    assert Unreadable("cut off").message == "cut off"
