"""Forest plots from SYNTHETIC tables."""

from __future__ import annotations

import pytest

from medbench.errors import MedbenchError
from medbench.report.figures.dots import of_table
from medbench.report.figures.style import context
from medbench.report.tables.table import Cell, Column, Row, Table

from .conftest import drawn


def table(*cells: Cell, data: tuple[str, ...] = ()) -> Table:
    rows = tuple(
        Row((), (cell,), {"model": f"m{i}", "protocol": "knn", "preset": "paper", "options": "", "weights": "official",
                          "group": "g"} | ({"data": data[i]} if data else {}))
        for i, cell in enumerate(cells)
    )  # fmt: skip
    return Table("dataset/d", "title", (), (Column("c", "kappa", "kappa", "d"),), rows, ("a note",), intervals=True)


BEST, TIED, LAST = (
    Cell(0.9, 0.01, 5, low=0.8, high=0.95, rank="best"),
    Cell(0.85, tied=True),
    Cell(0.5, low=0.4, high=0.6),
)


def test_rows_keep_their_order_and_marks():
    data = of_table(table(BEST, TIED, Cell(), LAST))
    assert [(p.x, p.mean, p.low, p.high, p.marks) for p in data.points] == [
        ("m0", 0.9, 0.8, 0.95, "¹"), ("m1", 0.85, None, None, "≈"), ("m3", 0.5, 0.4, 0.6, "")
    ]  # fmt: skip
    assert any("not distinguishable from the best" in note for note in data.notes)
    assert data.notes[-1] == "a note"
    assert data.name == "dataset/d/interval"


def test_intervals_and_numbers_are_drawn():
    with context():
        (axes,) = drawn(of_table(table(BEST, LAST)))._axes
    assert [list(line.get_xdata()) for line in axes.lines] == [[0.8, 0.95], [0.9], [0.4, 0.6], [0.5]]
    assert [text.get_text() for text in axes.texts] == ["0.900 [0.800, 0.950]¹", "0.500 [0.400, 0.600]"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["m0", "m1"]
    low, high = axes.get_ylim()
    assert low > high, "the first row is on top"


def test_data_sets_of_one_name_have_a_panel_each():
    data = of_table(table(BEST, LAST, data=("e" * 8, "f" * 8)))
    assert [panel.title for panel in data.panels] == ["data eeeeeeee", "data ffffffff"]


def test_nothing_and_too_much():
    with pytest.raises(MedbenchError, match="no run has a number"):
        of_table(table(Cell()))
    with pytest.raises(MedbenchError, match="would show 61 runs, more than 60"):
        of_table(table(*[LAST] * 61))
