"""Label cells to class numbers."""

from __future__ import annotations

import numpy as np
import pytest

from medbench.data.layouts.reader import read_samples
from medbench.errors import CardError

from .made import refused


def test_label_from_the_first_column_that_is_not_empty(make_csv, make_card):
    root = make_csv("image,left,right", [("x.png", "2", ""), ("y.png", "", "1.0"), ("z.png", "0", "1")])
    card = make_card(layout={"label": ["left", "right"]})
    assert read_samples(card, root)["target"].tolist() == [2, 1, 0]
    root = make_csv("image,left,right", [("x.png", "2", ""), ("y.png", "", "")])
    refused(lambda: read_samples(card, root), "labels.csv:3: column 'left or right': the label is missing")


def test_listed_labels_are_read_and_never_run(tmp_path, make_csv, make_card):
    root = make_csv("image,label", [("x.png", "\"['b', 'no DME']\""), ("y.png", "['a']")])
    card = make_card(layout={"listed": True})
    assert read_samples(card, root)["target"].tolist() == [1, 0]
    ran = tmp_path / "ran"
    for cell in ("a", "[]", "[1]", "('a',)", f"[open('{ran}';'w')]".replace(";", ","), "[" * 400, "['d']", ""):
        root = make_csv("image,label", [("x.png", '"' + cell + '"')])
        refused(lambda r=root: read_samples(card, r), "labels.csv:2: column 'label'")
    assert not ran.exists()


HOT = {"label": None, "labels": ["A", "B", "N"], "values": {"": 0, "-1.0": 0}, "none": "c"}


def test_rows_without_any_class_are_of_the_class_none(make_csv, make_card):
    root = make_csv("image,A,B,N", [("x.png", "1.0", "", ""), ("y.png", "", "-1.0", "0"), ("z.png", "", "", "1.0")])
    frame = read_samples(make_card(task="multilabel", layout=HOT), root)
    assert frame.filter(like="target_").to_numpy().tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 1]]
    other = make_card(task="multilabel", layout={**HOT, "none": "No Finding"})
    refused(lambda: read_samples(other, root), "'No Finding' is not a class", error=CardError)
    refused(lambda: read_samples(make_card(layout=HOT), root), "task: multilabel", error=CardError)


def test_lists_of_findings_in_one_cell(make_csv, make_card):
    root = make_csv("image,label", [("x.png", "b|a"), ("y.png", "No Finding"), ("z.png", "c")])
    layout = {"separator": "|", "nothing": ["No Finding"]}
    frame = read_samples(make_card(task="multilabel", layout=layout), root)
    assert frame.filter(like="target_").to_numpy().tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert frame["target_a"].dtype == np.uint8
    card = make_card(task="multilabel", layout={"separator": "|"})
    refused(lambda: read_samples(card, root), "labels.csv:3", "'No Finding' is not a class")
    refused(lambda: read_samples(card, make_csv("image,label", [("x.png", "a|")])), "labels.csv:2", "missing")


@pytest.mark.parametrize(
    ("cells", "classes", "values"),
    [
        (("0", "1", "2"), ["a", "b", "c"], {}),
        (("0.0", "1.0", "2.0"), ["a", "b", "c"], {}),
        (("a", "b", "c"), ["a", "b", "c"], {}),
        (("5", "7", "9"), ["5", "7", "9"], {}),
        (("R0", "R1", "R2"), ["a", "b", "c"], {"R0": 0, "R1": 1, "R2": 2}),
        ((" b ", "c", "a "), ["b", "c", "a"], {}),
    ],
)
def test_label_forms(make_csv, make_card, cells, classes, values):
    root = make_csv("image,label", list(zip(("x.png", "y.png", "z.png"), cells, strict=True)))
    frame = read_samples(make_card(classes=classes, layout={"values": values}), root)
    assert frame["target"].tolist() == [0, 1, 2]
    assert frame["target"].dtype == np.int64


def test_one_hot_and_multi_hot(make_csv, make_card):
    root = make_csv("image,A,B,C", [("x.png", "1.0", "0", "0"), ("y.png", "0", "0", "1")])
    layout = {"label": None, "labels": ["A", "B", "C"]}
    assert read_samples(make_card(layout=layout), root)["target"].tolist() == [0, 2]
    root = make_csv("image,A,B,C", [("x.png", "1", "", "-1"), ("y.png", "0", "0", "0")])
    card = make_card(task="multilabel", layout={**layout, "values": {"": 0, "-1": 0}})
    frame = read_samples(card, root)
    hot = frame[["target_a", "target_b", "target_c"]]
    assert hot.to_numpy().tolist() == [[1, 0, 0], [0, 0, 0]]
    assert (hot.dtypes == np.uint8).all()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("1", "1", "0"), (":3", "2 of the columns", "A, B")),
        (("0", "0", "0"), (":3", "0 of the columns", "none")),
        (("0", "2", "0"), (":3", "'B'", "'2' is neither 0 nor 1")),
        (("", "0", "1"), (":3", "'A'", "missing")),
    ],
)
def test_bad_one_hot_rows(make_csv, make_card, row, words):
    root = make_csv("image,A,B,C", [("x.png", "1", "0", "0"), ("y.png", *row)])
    refused(lambda: read_samples(make_card(layout={"label": None, "labels": ["A", "B", "C"]}), root), *words)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("3", ("labels.csv:3: column 'label'", "'3' is out of range")),
        ("-1", ("'-1' is out of range",)),
        ("1.5", ("'1.5' is not a class",)),
        ("", ("labels.csv:3", "missing")),
        ("nan", ("'nan' is not a class",)),
        ("bb", ("'bb' is not a class", "did you mean 'b'")),
    ],
)
def test_bad_labels(make_csv, make_card, cell, words):
    root = make_csv("image,label", [("x.png", "a"), ("y.png", cell)])
    refused(lambda: read_samples(make_card(), root), *words)


def test_values_alone_count_when_given(make_csv, make_card):
    root = make_csv("image,label", [("x.png", "R0"), ("y.png", "1")])
    refused(
        lambda: read_samples(make_card(layout={"values": {"R0": 0, "R1": 1}}), root), "'1' is out of range", "R0, R1"
    )
    refused(lambda: read_samples(make_card(layout={"values": {"R0": 5}}), root), "R0 -> 5", error=CardError)


def test_numbered_names_are_names_not_indices(make_csv, make_card):
    root = make_csv("image,label", [("x.png", "1"), ("y.png", "0")])
    refused(lambda: read_samples(make_card(classes=["1", "2", "3"]), root), ":3", "'0' is out of range", "1, 2, 3")


def test_all_unknown_labels_are_named_at_once(make_csv, make_card):
    labels = ["a", "x", "b", "y", "x", "", "bb"]
    root = make_csv("image,label", [(f"{i}.png", label) for i, label in enumerate(labels)])
    refused(
        lambda: read_samples(make_card(), root),
        "labels.csv: column 'label': 4 labels are not classes, in 5 rows",
        "'x' (2, first in line 3), 'y' (1, first in line 5), '' (1, first in line 7), 'bb' (1, first in line 8)",
        "did you mean 'b'?",
    )
    card = make_card(task="multilabel", layout={"separator": "|"})
    root = make_csv("image,label", [("x.png", "a|x"), ("y.png", "x"), ("z.png", "u|b")])
    refused(lambda: read_samples(card, root), "2 labels are not classes, in 3 rows: 'x' (2, first in line 2), 'u'")
    root = make_csv("image,label", [("x.png", "x"), ("y.png", "x")])
    refused(lambda: read_samples(make_card(), root), "labels.csv:2: column 'label': the label 'x' is not a class (in 2")


def test_all_cells_that_are_neither_0_nor_1_are_named_at_once(make_csv, make_card):
    root = make_csv("image,A,B,C", [("x.png", "1", "u", "0"), ("y.png", "", "u", "0"), ("z.png", "1", "0", "0")])
    refused(
        lambda: read_samples(make_card(layout={"label": None, "labels": ["A", "B", "C"]}), root),
        "2 texts are neither 0 nor 1: column 'B': 'u' (2, first in line 2), column 'A': '' (1, first in line 3)",
    )


def test_every_other_text_has_a_class_but_an_empty_cell_has_none(make_csv, make_card):
    root = make_csv("image,label", [("x.png", "R0"), ("y.png", "R7"), ("z.png", "1.0")])
    card = make_card(layout={"values": {"R0": "b", "1": 2, "*": "a"}})
    assert read_samples(card, root)["target"].tolist() == [1, 0, 2]
    root = make_csv("image,label", [("x.png", "R0"), ("y.png", "")])
    refused(lambda: read_samples(card, root), "labels.csv:3: column 'label': the label is missing")
    root = make_csv("image,A,B,C", [("x.png", "1", "u", "-1")])
    hot = make_card(layout={"label": None, "labels": ["A", "B", "C"], "values": {"*": 0}})
    assert read_samples(hot, root)["target"].tolist() == [0]
    several = make_card(task="multilabel", layout={"separator": "|", "values": {"x": "a", "*": "c"}})
    root = make_csv("image,label", [("x.png", "x|y"), ("y.png", "x")])
    assert read_samples(several, root).filter(like="target_").to_numpy().tolist() == [[1, 0, 1], [1, 0, 0]]
    beyond = make_card(layout={"values": {"*": 7}})
    refused(lambda: read_samples(beyond, root), "* -> 7", error=CardError)
