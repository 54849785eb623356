"""Cells of other forms than means: differences, p and plain numbers, in texts and in CSV."""

from __future__ import annotations

import csv
import io
import json

import pytest

from medbench.report.tables.render import FORMATS, render
from medbench.report.tables.table import Cell, Column, Row, Table


@pytest.fixture
def made() -> Table:
    columns = tuple(Column(name, name, "accuracy", "") for name in ("a", "gap", "p", "least"))
    cells = (
        Cell(0.75, 0.125, 5, form="spread"),
        Cell(0.0625, low=-0.03125, high=0.15625, form="difference"),
        Cell(0.0004, form="p"),
        Cell(0.2, form="number"),
    )
    lacking = tuple(Cell(form=cell.form) for cell in cells)
    return Table("t", "t", ("head",), columns, (Row(("x",), cells), Row(("y",), lacking)), intervals=True)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Cell(0.01234, form="difference"), "+0.012"),
        (Cell(-0.5, form="difference"), "-0.500"),
        (Cell(-0.0004, form="difference"), "0.000"),
        (Cell(0.0, form="difference"), "0.000"),
        (Cell(0.001, form="p"), "0.001"),
        (Cell(0.00099, form="p"), "<0.001"),
        (Cell(1.0, form="p"), "1.000"),
        (Cell(None, form="p"), "–"),
        (Cell(0.25, form="number"), "0.250"),
        (Cell(0.25, 0.125, 3, form="spread"), "0.250 ± 0.125"),
        (Cell(-0.0004, 0.125, 3), "0.000 ± 0.125"),
        (Cell(-0.0006), "-0.001"),
    ],
)
def test_texts(cell, text):
    assert cell.text == text


def test_a_differences_interval_has_signs():
    cell = Cell(0.0625, low=-0.03125, high=0.15625, form="difference")
    assert cell.rest(intervals=True) == " [-0.031, +0.156]"
    assert Cell(0.0625, low=-0.03125, high=0.15625).rest(intervals=True) == " [-0.031, 0.156]"


def test_csv_has_what_a_form_has(made):
    first, second = csv.DictReader(io.StringIO(render(made, "csv")))
    assert list(first) == ["a_mean", "a_std", "a_n", "gap", "gap_low", "gap_high", "p", "least"]
    assert [float(first[name]) for name in first] == [0.75, 0.125, 5, 0.0625, -0.03125, 0.15625, 0.0004, 0.2]
    assert (second["gap"], second["p"]) == ("", "")


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_says_that_p_is_below_what_is_printed(made, form):
    shown = {"latex": r"\textless{}0.001", "html": "&lt;0.001", "md": r"\<0.001", "csv": "0.0004"}
    assert shown.get(form, "<0.001") in render(made, form)


def test_columns_put_first(made):
    moved = made.led_by("p", "gap")
    assert [column.id for column in moved.columns] == ["gap", "p", "a", "least"]
    cells = json.loads(render(moved, "json"))["rows"][0]["cells"]
    assert cells == json.loads(render(made, "json"))["rows"][0]["cells"]
