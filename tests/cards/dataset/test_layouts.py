"""The layouts of data set cards: their examples must be what the card reads."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from medbench import cards
from medbench.cards.dataset import CsvLayout, FolderLayout, ListLayout, Slices

CSV = {"kind": "csv", "tables": [{"file": "l.csv"}], "image": "{Path}", "label": "x"}
FOLDERS = {"kind": "folders", "folders": {"A": 0, "B": 1}}
LISTS = {"kind": "lists", "lists": {"train": "l.txt"}, "image": "raw/{name}", "label": "^(?P<label>[a-z]+)_"}


def patterns(layout):
    """Return the regular expressions of a layout."""
    names = ("label", "only", "group") if layout.kind in ("folders", "lists") else ("group_pattern", "replace")
    return [found for name in names if (found := getattr(layout, name, None))]


@pytest.mark.parametrize("name", [name for name in cards.names("datasets") if not cards.find_dataset(name).toy])
def test_every_card_with_patterns_shows_what_they_find(name):
    layout = cards.find_dataset(name).layout
    if not patterns(layout):
        return
    assert layout.examples
    for example in layout.examples:
        if layout.kind == "csv":
            assert example.cells
            assert bool(example.group) == bool(layout.group_pattern)
        else:
            assert bool(example.label) == bool(layout.label)
            assert bool(example.group) == bool(layout.group)
    for rule in getattr(layout, "inputs", {}).values():
        assert bool(rule.example) == bool(rule.slices)


@pytest.mark.parametrize(
    ("changes", "example", "words"),
    [
        ({"replace": {"^v1/": ""}}, {"image": "v1/a.png", "cells": {"Path": "v1/a.png"}}, "the image 'a.png', not 'v1"),
        ({}, {"image": "a.png"}, "needs a cell of the column 'Path'"),
        ({"group_pattern": r"(?P<group>p\d)"}, {"image": "a.png", "cells": {"Path": "a.png"}}, "finds no group"),
        (
            {"group_pattern": r"(?P<group>p\d)"},
            {"image": "p1.png", "cells": {"Path": "p1.png"}, "group": "p2"},
            "the group 'p1', not 'p2'",
        ),
    ],
)
def test_examples_of_tables(changes, example, words):
    with pytest.raises(ValidationError, match=words):
        CsvLayout.model_validate({**CSV, **changes, "examples": [example]})


def test_an_example_is_of_one_of_the_tables():
    tables = [{"file": "a.csv", "image": "a/{x}.png"}, {"file": "b.csv", "image": "b/{y}.png"}]
    layout = CsvLayout.model_validate(
        {**CSV, "tables": tables, "pad": {"y": 3}, "examples": [{"image": "b/007.png", "cells": {"y": "7"}}]}
    )
    assert [layout.shows(layout.examples[0], table["image"]) for table in tables] == [False, True]
    assert layout.named({"y": "7"}, r"..\c/./{y}.png").image == "../c/007.png"


@pytest.mark.parametrize(
    ("changes", "example", "words"),
    [
        ({}, {"image": "A/1.txt"}, "leave out 'A/1.txt'"),
        ({"only": "x"}, {"image": "A/1.png"}, "leave out 'A/1.png'"),
        ({"label": r"_(?P<label>\w)\."}, {"image": "1_C.png"}, "unknown label 'C'"),
        ({"label": r"_(?P<label>\w)\."}, {"image": "1_A.png", "label": "B"}, "the label 'A', not 'B'"),
        ({"group": r"(?P<group>p\d)"}, {"image": "A/1.png"}, "finds no group"),
    ],
)
def test_examples_of_folders(changes, example, words):
    with pytest.raises(ValidationError, match=words):
        FolderLayout.model_validate({**FOLDERS, **changes, "examples": [example]})


@pytest.mark.parametrize(
    ("example", "words"),
    [
        ({"image": "raw/b_1.png"}, "finds no label"),
        ({"image": "raw/c_1.png", "cells": {"name": "c_1.png"}}, "unknown label 'c'"),
        ({"image": "b_1.png", "cells": {"name": "b_1.png"}}, "the image 'raw/b_1.png', not 'b_1.png'"),
    ],
)
def test_examples_of_lists(example, words):
    with pytest.raises(ValidationError, match=words):
        ListLayout.model_validate({**LISTS, "values": {"a": 0, "b": 1}, "examples": [example]})


def test_the_example_of_a_slice():
    assert Slices(image="{n}", slices=r"(?P<index>\d+)_image\.jpg", example="7_image.jpg").example
    for example in ("x_image.jpg", "7_image.jpg.bak"):
        with pytest.raises(ValidationError, match="does not match `slices`"):
            Slices(image="{n}", slices=r"(?P<index>\d+)_image\.jpg", example=example)


@pytest.mark.parametrize(
    ("layout", "changes", "words"),
    [
        (CSV, {"group_pattern": "("}, "group_pattern.*\n.*'\\(' is not a regular expression"),
        (CSV, {"group_pattern": r"p\d"}, "has no part"),
        (CSV, {"replace": {"(": ""}}, "replace.*\n.*cannot be replaced by"),
        (CSV, {"replace": {"a": r"\2"}}, "invalid group reference"),
        (CSV, {"replace": {"a": r"\g<x>"}}, "unknown group name"),
        (CSV, {"inputs": {"oct": {"image": "{n}", "slices": r"\d+"}}}, "has no part"),
        (FOLDERS, {"only": "["}, "only.*\n.*is not a regular expression"),
        (FOLDERS, {"label": "(?P<class>a)"}, "has no part"),
        (LISTS, {"values": {"a": 0}, "group": "(?P<label>a)"}, "has no part"),
    ],
)
def test_patterns_are_checked(layout, changes, words):
    schema = {"csv": CsvLayout, "folders": FolderLayout, "lists": ListLayout}[layout["kind"]]
    with pytest.raises(ValidationError, match=words):
        schema.model_validate({**layout, **changes})
