"""How commands show what they found: a rich table on a terminal, aligned text in a pipe, JSON for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def write(text: str = "") -> None:
    """Print one line (or several) to standard output."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Print one line about what was printed to standard error, where a pipe does not pick it up."""
    sys.stderr.write(text + "\n")


def write_json(value: Any) -> None:
    """Print `value` as indented JSON; paths and dates become their text."""
    write(json.dumps(value, indent=1, ensure_ascii=False, default=str))


def write_rows(rows: Sequence[Row], columns: Sequence[str], *, title: str = "") -> None:
    """Print `rows` as a table of `columns` (the keys of the rows, which are also the heads).

    Columns in which every value is a number are set to the right. On a terminal long cells wrap; in a pipe a row is
    one line, cells two spaces apart, and the title is left out.
    """
    cells = [[as_text(row.get(column)) for column in columns] for row in rows]
    right = [all(_is_number(row.get(column)) for row in rows) for column in columns]
    if sys.stdout.isatty():
        _write_rich(cells, columns, right, title)
    else:
        _write_plain(cells, columns, right)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def as_text(value: Any) -> str:
    """Return a cell for people: nothing for None and False, four figures for a fraction, thousands set apart."""
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


def _write_plain(cells: list[list[str]], columns: Sequence[str], right: list[bool]) -> None:
    table = [list(columns), *cells]
    widths = [max(len(row[i]) for row in table) for i in range(len(columns))]
    for row in table:
        padded = [cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right, strict=True)]
        write("  ".join(padded).rstrip())


def _write_rich(cells: list[list[str]], columns: Sequence[str], right: list[bool], title: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", header_style="bold")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if right[i] else "left", no_wrap=i == 0 or right[i], overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))  # Text: a bracket in a cell is a bracket
    Console().print(table)
