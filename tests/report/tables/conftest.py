"""Tables that every format is tried on: one with cells of all kinds, one with marks."""

from __future__ import annotations

import pytest

from medbench.report.tables.table import Cell, Column, Row, Table

NASTY = "a_b & c% $5 #1 {x} <b>|\\ ~^ [link](y) `code` *é*\nκ ±"


@pytest.fixture
def made() -> Table:
    cells = (
        Cell(0.8812345678901234, 0.0020001, 5, 0.878, 0.004, show_n=True),
        Cell(None, None, 0, 0.9, 0.0, command="medbench run --model a"),
        Cell(0.5, None, 1, show_n=True, mark="†"),
        Cell(),
    )
    columns = tuple(Column(f"c{i}", f"column {i}", "kappa", "aptos") for i in range(4))
    rows = (
        Row(("Linear", NASTY), cells, {"model": "m", "odd": NASTY, "toy": False}),
        Row(("DeiT", "z"), cells[::-1], {"model": "n", "odd": "", "toy": True}, "a section"),
    )
    return Table(
        "t/1", f"title {NASTY}", ("head", "name"), columns, rows, (f"note {NASTY}",), ("medbench run --model a_b",)
    )


TEXTS = ["0.881 ± 0.002 n=5 (0.878 ± 0.004, +0.003)", "(0.900 ± 0.000)", "0.500† n=1", "–"]


@pytest.fixture
def ranked() -> Table:
    """One column: the best, the second, one tied with the best, one neither, one that does not count."""
    cells = (
        Cell(0.9, 0.01, 5, low=0.85, high=0.95, rank="best"),
        Cell(0.8, 0.02, 5, rank="second", gain=1.25),
        Cell(0.7, 0.03, 5, tied=True, published=0.75, published_gain=-0.5),
        Cell(0.6, None, 1, show_n=True),
        Cell(0.95, 0.04, 5, mark="†"),
    )
    rows = tuple(Row((f"r{i}",), (cell,), {"model": f"r{i}"}) for i, cell in enumerate(cells))
    return Table("t/2", "title", ("head",), (Column("c", "column", "kappa", "aptos"),), rows, ranking="its column")
