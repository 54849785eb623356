"""Text tables: aligned lines, and grids for a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from medbench.report.tables.text_table import aligned, fit, grid, longest_word


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
    lines = shown(60, right=[False, True], widths=[14, 2], title="2 [red]rows")
    assert lines[0].strip() == "2 [red]rows"
    assert "[b]head" in lines[1]
    assert lines[3:5] == ["[i]a b c d e f   1", "styled          23"]


def test_cells_wrap_at_the_width_of_their_column():
    lines = shown(40, right=[False, True], widths=[7, 2], title="")
    assert [line.rstrip() for line in lines[2:]] == ["[i]a b    1", "c d e f", "styled   23"]


@pytest.mark.parametrize(
    ("width", "shown", "widths", "hidden"),
    [
        (80, [0, 1, 2], [10, 30, 8], []),
        (44, [0, 1, 2], [10, 22, 8], []),  # the second wraps
        (31, [0, 1, 2], [10, 9, 8], []),
        (30, [0, 2], [10, 8], [1]),
        (19, [0], [10], [1, 2]),
        (5, [0], [10], [1, 2]),  # the last one stays, whatever the width
    ],
)
def test_columns_wrap_and_then_go(width, shown, widths, hidden):
    found = fit([10, 30, 8], [10, 9, 8], [1, 2], width)
    assert (found.shown, found.widths, found.hidden) == (shown, widths, hidden)


def test_words_stay_whole_up_to_a_limit():
    assert longest_word(["a bcd", "", "efghi j"], 40) == 5
    assert longest_word(["x" * 50], 40) == 40
    assert longest_word([], 40) == 0
