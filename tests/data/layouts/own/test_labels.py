"""Classes of a table: one however it is spelled; what is missing or no class is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench.data.layouts.csv_table import Columns
from medbench.data.layouts.own.labels import hot_candidates, of_column, of_hot, spelled
from medbench.errors import DataError


def columns(**cells: str) -> Columns:
    found = {name: text.split(" ") for name, text in cells.items()}
    return Columns(Path("t.csv"), found, list(range(2, len(next(iter(found.values()))) + 2)))


@pytest.mark.parametrize(
    ("texts", "names", "values"),
    [
        ("0 0.0 1 1.0 1.", "0 1", {"0": 0, "0.0": 0, "1": 1, "1.0": 1, "1.": 1}),
        ("Benign BENIGN benign benign ill", "benign ill", {"Benign": 0, "BENIGN": 0, "benign": 0, "ill": 1}),
        ("not_ill Not-ill ill", "ill not_ill", {"ill": 0, "not_ill": 1, "Not-ill": 1}),
        ("10 9 8", "8 9 10", {"8": 0, "9": 1, "10": 2}),
        ("grade10 grade9", "grade9 grade10", {"grade9": 0, "grade10": 1}),
        ("007 7", "007 7", {"007": 0, "7": 1}),
        ("-1 1", "-1 1", {"-1": 0, "1": 1}),
    ],
)
def test_spellings_of_one_class(texts, names, values):
    found = spelled(texts.split())
    assert (found.names, found.values) == (names.split(), values)
    assert bool(found.notes) == (len(values) > len(found.names))


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("a b nan a NaN", "t.csv:4: column 'y': 'nan' seems to mean a missing label (2 such rows)"),
        ("a b N/A a", "t.csv:4: column 'y': 'N/A' seems to mean"),
        ("0 1 -1 0", "t.csv:4: column 'y': '-1' seems to mean"),
        ("0 1 -1.0 0 -1", "t.csv:4: column 'y': '-1.0' seems to mean a missing label (2 such rows)"),
        ("a b  a", "t.csv:4: column 'y': the label is missing"),
        (" ".join(f"{i / 7}" for i in range(40)), "40 different numbers, such as"),
        (" ".join(map(str, range(40))), "40 different labels in 40 rows"),
        ("a a a", "1 different labels"),
    ],
)
def test_what_is_no_label(cells, words):
    with pytest.raises(DataError) as caught:
        of_column(columns(y=cells), "y")
    assert words in caught.value.message
    assert caught.value.hint


def test_one_class_per_column():
    one = columns(A="1 0 0", B="0 1.0 0", C="0 0 True", text="x y z", other="1 2 3", age="40 50 0")
    names = hot_candidates(one, list(one.cells))
    assert names == ["A", "B", "C"]
    assert of_hot(one, names, chosen=False, several=False).task == "multiclass"
    assert of_hot(one, names[:2], chosen=True, several=False).notes == ["rows without a class: 1, with several: 0"]
    many = columns(A="1 0 1", B="1 1 0")
    found = of_hot(many, ["A", "B"], chosen=False, several=False)
    assert (found.task, found.notes) == ("multilabel", ["rows without a class: 0, with several: 1"])


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"A": "1 0 0", "B": "0 1 -1"}, "t.csv:4: column 'B': '-1' is neither 0 nor 1 (1 such cells)"),
        ({"A": "1 0 0", "B": "0 1 "}, "t.csv:4: column 'B': the cell is empty"),
        ({"A": "1 0 0", "B": "0 1 nan"}, "t.csv:4: column 'B': 'nan' is neither 0 nor 1"),
        ({"A": "1 " * 10 + "0 0", "B": "0 " * 10 + "0 1"}, "t.csv:12: none of the columns A, B is 1 (1 such rows)"),
        (
            {"A": "1 0 1", "B": "0 1 0", "sex_male": "1 1 0"},
            "column 'sex_male' has 0 and 1, but does not seem to be a class like A,B",
        ),
        (
            {"A": "1 0 0", "B": "0 1 0", "C": "0 0 1", "D": "1 1 0"},
            "column 'D' has 0 and 1, but does not seem to be a class",
        ),
    ],
)
def test_what_is_no_column_of_a_class(cells, words):
    found = columns(**cells)
    names = hot_candidates(found, list(cells))
    assert names == list(cells), "a column with a fault is not passed over"
    with pytest.raises(DataError) as caught:
        of_hot(found, names, chosen=False, several=False)
    assert words in caught.value.message
    assert "--label" in caught.value.hint or "--task" in caught.value.hint
