"""How commands print rows: a ruled table on a terminal, aligned text in a pipe, JSON for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from medbench.errors import visible
from medbench.report.tables.text_table import aligned, fit, grid, longest_word

Row = Mapping[str, Any]
TEXT = 14
"""Characters of a column of texts that wrap, at the least."""


def write(text: str = "") -> None:
    """Print one line (or several) to standard output."""
    sys.stdout.write(visible(text) + "\n")


def note(text: str) -> None:
    """Print one line about the output to standard error, so that it stays out of pipes."""
    sys.stderr.write(visible(text) + "\n")


def write_json(value: Any) -> None:
    """Print `value` as indented JSON; paths and dates become their text."""
    write(json.dumps(value, indent=1, ensure_ascii=False, default=str))


def write_rows(
    rows: Sequence[Row], columns: Sequence[str], *, title: str = "", as_json: bool = False, last: Sequence[str] = ()
) -> None:
    """Print `rows` as a table of `columns` (the keys of the rows, which are also the heads), or as JSON with all keys.

    Columns of numbers are aligned to the right. On a terminal, long texts wrap, and where that is not enough columns
    are left out and named below. In a pipe, a row is one line and there is no title.

    Args:
        rows: The rows.
        columns: The keys that are shown.
        title: Above the table, on a terminal.
        as_json: Print JSON instead.
        last: The columns that matter least, the least of all first: a narrow terminal leaves these out.
    """
    if as_json:
        write_json(rows)
        return
    cells = [[as_text(row.get(column)) for column in columns] for row in rows]
    right = [all(_is_number(row.get(column)) for row in rows) for column in columns]
    if sys.stdout.isatty():
        _write_grid([list(columns), *cells], right, [list(columns).index(name) for name in last], title)
    else:
        write("\n".join(aligned([columns, *cells], right)))


def _write_grid(texts: list[list[str]], right: list[bool], order: list[int], title: str) -> None:
    """Print a table, its heads first, for the terminal's width."""
    from rich.console import Console

    console = Console()
    natural = [max(map(len, column)) for column in zip(*texts, strict=True)]
    # A text of several words wraps, but not below TEXT characters: what is narrower reads badly.
    least = [longest_word(column, console.width // 2) for column in zip(*texts, strict=True)]
    least = [max(word, min(full, TEXT)) for word, full in zip(least, natural, strict=True)]
    found = fit(natural, least, order, console.width)
    heads, *rows = [[line[i] for i in found.shown] for line in texts]
    console.print(grid(heads, rows, [right[i] for i in found.shown], found.widths, title))
    if found.hidden:
        hidden = ", ".join(texts[0][i] for i in found.hidden)
        note(f"columns not shown at this width: {hidden} (to see them: a wider window, a pipe or --json)")


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def as_text(value: Any) -> str:
    """Return a cell for people: empty for None and False, four digits of a fraction, commas in an integer."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, (list, tuple)):
        return ", ".join(as_text(part) for part in value)
    return visible(" ".join(str(value).split()))
