"""How commands print rows: a table with frames on a terminal, aligned text in a pipe, JSON for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from medbench.report.tables.text_table import aligned, grid

Row = Mapping[str, Any]


def write(text: str = "") -> None:
    """Print one line (or several) to standard output."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Print one line about the output to standard error, so that it stays out of pipes."""
    sys.stderr.write(text + "\n")


def write_json(value: Any) -> None:
    """Print `value` as indented JSON; paths and dates become their text."""
    write(json.dumps(value, indent=1, ensure_ascii=False, default=str))


def write_rows(rows: Sequence[Row], columns: Sequence[str], *, title: str = "", as_json: bool = False) -> None:
    """Print `rows` as a table of `columns` (the keys of the rows, which are also the heads), or as JSON with all keys.

    Columns of numbers are aligned to the right. On a terminal, long texts wrap, except those of the first column. In a
    pipe, a row is one line and there is no title.
    """
    if as_json:
        write_json(rows)
        return
    cells = [[as_text(row.get(column)) for column in columns] for row in rows]
    right = [all(_is_number(row.get(column)) for row in rows) for column in columns]
    if sys.stdout.isatty():
        from rich.console import Console

        wrap = [i > 0 and not number for i, number in enumerate(right)]
        Console().print(grid(columns, cells, right, wrap, title))
    else:
        write("\n".join(aligned([columns, *cells], right)))


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
    return " ".join(str(value).split())
