"""Names like an example's, with other numbers."""

from __future__ import annotations

import re

import pytest

from medbench.cards.dataset.example import ExampleError, Named, captured
from medbench.data.twins.image_names import Series, with_part


def named(pattern=None, label=None, only=""):
    def read(path):
        if not re.search(only, path):
            raise ExampleError(path)
        return Named(path, captured(label, "label", path), captured(pattern, "group", path))

    return read


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        ("a/IM_0001.png", "a/IM_0012.png"),
        ("v1/benign (1).png", "v1/benign (12).png"),
        ("2/scan.png", "2/scan_12.png"),
        ("000c1434d8d7", "000c1434d8d12"),
        ("3.JPG", "12.JPG"),
        ("patient", "patient_12"),
    ],
)
def test_the_last_number_of_the_file_name_is_the_images(example, expected):
    assert Series(example, 99).name(12, 7) == expected


@pytest.mark.parametrize(
    ("pattern", "example", "expected"),
    [
        (r"/(?P<group>patient\d{5})/", "v1/patient00001/view1_frontal.jpg", "v1/patient00007/view12_frontal.jpg"),
        (r"(?P<group>[A-D]_\d+)_1\.", "benign_01-B_3091_1.CC.1.jpg", "benign_01-B_0007_1.CC.12.jpg"),
        (r"(?P<group>[A-D]_\d+)_1\.", "B_3091_1.CC.jpg", "B_0007_1.CC_12.jpg"),
        (r"/(?P<group>\d+)_(?:left|right)", "5K/03_left.jpg", "5K/07_left_12.jpg"),
        (r"^(?P<group>\d+)_left\.jpg", "03_left.jpg", None),
        (r"^(?P<group>[a-z]+)_", "ab_1.jpg", None),
    ],
)
def test_groups_have_their_own_number(pattern, example, expected):
    if expected is None:
        with pytest.raises(ExampleError, match="tell images and groups apart"):
            Series(example, 99, named(pattern))
        return
    series = Series(example, 99, named(pattern))
    assert series.name(12, 7) == expected
    every = [series.name(i, i // 3) for i in range(99)]
    assert len(set(every)) == 99
    assert len({captured(pattern, "group", name) for name in every}) == 33


def test_numbers_stay_within_what_the_card_reads():
    read = named(label=r"(?P<label>DR\d)\.png$", only=r"_\d\d_")
    assert Series("x1_01_DR3.png", 99, read).name(5, 0) == "x1_05_DR3.png"
    assert Series("x1_01_DR3.png", 100, read).name(100, 0) == "x100_01_DR3.png"
    with pytest.raises(ExampleError, match=r"^b\.png$"):
        Series("b.png", 99, read)


def test_part_of_a_name():
    assert with_part(r"_(?P<label>[A-Z]+)\.", "label", "AB_CD.png", "X") == "AB_X.png"
