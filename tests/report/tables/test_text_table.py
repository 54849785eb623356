"""Text tables: aligned lines, and grids for a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from medbench.report.tables.text_table import aligned, grid


def test_cells_are_aligned_and_two_spaces_apart():
    rows = [["name", "n", ""], ["a", "12", "x"], ["long", "3", ""]]
    assert aligned(rows, [False, True, False]) == ["name   n", "a     12  x", "long   3"]


@pytest.mark.parametrize("rows", [[["a", "b"]], [["a", "b"], ["", ""]]])
def test_a_head_without_rows_and_empty_cells(rows):
    assert aligned(rows, [False, True])[0] == "a  b"


def shown(width: int, **options: object) -> list[str]:
    file = io.StringIO()
    made = grid(["[b]head", "n"], [["[i]a b c d e f", "1"], [Text("styled"), "23"]], **options)  # type: ignore[arg-type]
    Console(width=width, file=file).print(made)
    return file.getvalue().splitlines()


def test_a_grid_shows_brackets_and_aligns_numbers():
    lines = shown(60, right=[False, True], wrap=[True, False], title="2 [red]rows")
    assert lines[0].strip() == "2 [red]rows"
    assert "[b]head" in lines[2]
    assert "[i]a b c d e f" in lines[4]
    assert lines[4].replace("│", " ").rstrip().endswith("  1")
    assert lines[5].replace("│", " ").rstrip().endswith(" 23")


@pytest.mark.parametrize("may_wrap", [True, False])
def test_only_columns_that_may_wrap_do(may_wrap):
    file = io.StringIO()
    cells = ["a b c d e f", "u v w x y z"]
    Console(width=22, file=file).print(grid(["name", "other"], [cells], [False, True], [may_wrap, True], ""))
    assert ("a b c d e f" in file.getvalue()) is not may_wrap
    assert "u v w x y z" not in file.getvalue()
