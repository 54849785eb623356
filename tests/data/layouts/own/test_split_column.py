"""What a split column says, and that none of it is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench.data.layouts.csv_table import Columns
from medbench.data.layouts.own.split_column import find
from medbench.errors import DataError


def table(name: str, cells: str) -> Columns:
    found = cells.replace("_", " ").split(" ") if "," not in cells else cells.split(",")
    return Columns(Path("t.csv"), {"image": ["x"] * len(found), name: found}, list(range(2, len(found) + 2)))


@pytest.mark.parametrize(
    ("name", "cells", "values", "note"),
    [
        ("Split", "Training Validation TEST dev", {}, ": train 1, val 2, test 1"),
        ("data-split", "Train set,trn,Test_set", {}, ": train 2, test 1; val is cut from train"),
        ("mode", "train test", {}, ": train 1, test 1; val is cut from train"),
        ("anything", "train,val,test", {}, ": train 1, val 1, test 1"),
        ("split", "train,,test", {}, ": train 1, test 1; val is cut from train; 1 rows without one are left out"),
        ("split", "train val", {"train": "train", "val": "test"}, "no row is test, so the val rows are used as test"),
        (
            "fold",
            "1 2 10 3",
            {"1": "test", "2": "val", "3": "train", "10": "train"},
            "fold 1 is test, 2 is val, 3, 10 ",
        ),
        ("is_train", "1 0 1", {"1": "train", "0": "test"}, ": 1 is train, 0 is test; val is cut from train"),
    ],
)
def test_a_split_is_kept_as_it_is_written(name, cells, values, note):
    found = find(table(name, cells), ["image"], None)
    assert (found.column, found.values, found.blank) == (name, values, ",," in cells)
    assert note in found.note


@pytest.mark.parametrize(
    ("name", "cells", "words"),
    [
        ("split", "train,test,holdout,holdout", "t.csv:4: column 'split': 'holdout' is not a split (2 such rows)"),
        ("subset", "train,test,external", "t.csv:4: column 'subset': 'external' is not a split"),
        ("split", "0 1 2", "t.csv:2: column 'split': '0' is not a split"),
        ("fold", "-1 0 1 2", "'-1' is not a split"),
        ("fold", "0 1", "'0' is not a split"),
        ("is_train", "1 0 maybe", "t.csv:4: column 'is_train': 'maybe' is not a split"),
        ("split", "val test", "has no row for train; it contains val, test"),
        ("split", "train,,", "has no row for test"),
    ],
)
def test_what_is_no_split_is_an_error(name, cells, words):
    with pytest.raises(DataError) as caught:
        find(table(name, cells), ["image"], None)
    assert words in caught.value.message
    assert "column" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "cells", "note"),
    [("set", "A B A", ""), ("note", "train x test", ""), ("split", "train train", "has 'train' in every row")],
)
def test_what_says_nothing_is_not_used(name, cells, note):
    found = find(table(name, cells), ["image"], None)
    assert found.column is None
    assert note in found.note


def test_the_chosen_column_counts():
    columns = Columns(Path("t.csv"), {"split": ["train", "test"], "other": ["test", "train"]}, [2, 3])
    assert find(columns, [], "other").column == "other"
