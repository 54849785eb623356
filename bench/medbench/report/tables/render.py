"""Tables to text, Markdown, CSV, LaTeX, HTML and JSON; the same table gives the same bytes."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from medbench.errors import unknown
from medbench.report.tables.marks import Words, legend
from medbench.report.tables.render_html import render_html
from medbench.report.tables.render_latex import render_latex
from medbench.report.tables.table import DASH, Cell, Row, Table
from medbench.report.tables.text_table import Fit, aligned, fit, grid, longest_word

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

TEXT, MARKDOWN, TERMINAL = Words("¹", "²"), Words("bold", "²"), Words("bold", "underlined")
NAMES, WORD = 2, 12
PRINTED = {"_published": 3, "_published_std": 3, "_published_gain": 1}
JSON = Words("rank best", "rank second")
SIGNS = {"best": "¹", "second": "²"}
COLUMN = ("id", "title", "metric", "dataset")
FIELDS = (
    "text", "style", "value", "std", "n", "low", "high", "gain", "published", "published_std", "published_gain",
    "difference", "mark", "rank", "tied", "command",
)  # fmt: skip


def render(table: Table, form: str = "text") -> str:
    """Return the table as `text`, `md`, `csv`, `latex`, `html` or `json`, ending in a line break.

    Raises:
        CardError: The format is unknown.
    """
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    return FORMATS[form](table)


def _heads(table: Table) -> list[str]:
    return [*table.heads, *(column.title for column in table.columns)]


def _right(table: Table) -> list[bool]:
    """Return for each column whether it is aligned to the right, as numbers are."""
    return [False] * len(table.heads) + [True] * len(table.columns)


def _texts(row: Row, cells: Callable[[Cell], str]) -> list[str]:
    return [" ".join(text.split()) for text in (*row.heads, *map(cells, row.cells))]


def _notes(table: Table, words: Words) -> list[str]:
    return [" ".join(note.split()) for note in (*legend(table, words), *table.notes)]


def _plain(cell: Cell, intervals: bool) -> str:
    return (cell.number + SIGNS.get(cell.rank, "") + cell.rest(intervals)).strip() or DASH


def render_text(table: Table) -> str:
    """Return aligned columns, two spaces apart, one line a row; notes and commands below."""
    lines = [table.title]
    for name, rows in table.sections():
        texts = [_texts(row, lambda cell: _plain(cell, table.intervals)) for row in rows]
        lines += ["", *([name] if name else []), *aligned([_heads(table), *texts], _right(table))]
        lines += [] if rows else ["(no rows)"]
    return "\n".join([*lines, *_below(table, TEXT)]) + "\n"


def _below(table: Table, words: Words) -> list[str]:
    notes = _notes(table, words)
    lines = ["", *(f"note: {note}" for note in notes)] if notes else []
    return lines + (["", "to run what is missing:", *(f"  {c}" for c in table.commands)] if table.commands else [])


def render_md(table: Table) -> str:
    """Return GitHub's Markdown, with a heading per section and published numbers in parentheses."""
    lines = [f"**{_md(table.title)}**"]
    rule = ["---"] * len(table.heads) + ["---:"] * len(table.columns)
    for name, rows in table.sections():
        lines += ["", *([f"### {_md(name)}", ""] if name else [])]
        for cells in ([_md(head) for head in _heads(table)], rule, *(_md_row(row, table.intervals) for row in rows)):
            lines.append(f"| {' | '.join(cells)} |")
        lines += [] if rows else ["", "(no rows)"]
    if notes := _notes(table, MARKDOWN):
        lines += ["", *(f"- {_md(note)}" for note in notes)]
    if table.commands:
        lines += ["", "To run what is missing:", "", "```sh", *table.commands, "```"]
    return "\n".join(lines) + "\n"


def _md_row(row: Row, intervals: bool) -> list[str]:
    return [*(_md(" ".join(head.split())) for head in row.heads), *(_md_cell(cell, intervals) for cell in row.cells)]


def _md_cell(cell: Cell, intervals: bool) -> str:
    number = f"**{_md(cell.number)}**" if cell.rank == "best" else _md(cell.number)
    sign = SIGNS["second"] if cell.rank == "second" else ""
    return (number + sign + _md(cell.rest(intervals))).strip() or DASH


def _md(text: str) -> str:
    """Escape what Markdown reads as markup; an underscore inside a word is not markup."""
    return re.sub(r"([\\`*\[\]<>|~#]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def render_csv(table: Table) -> str:
    """Return one line per row with plain numbers: mean, std and n of each column, in full precision.

    Published numbers and deviations have three decimals and published gains one, as in the paper.
    """
    names, rows = table.flat()
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    printed = [next((digits for end, digits in PRINTED.items() if name.endswith(end)), None) for name in names]
    for row in rows:
        writer.writerow(map(_number, row, printed))
    return out.getvalue()


def _number(value: Any, digits: int | None) -> Any:
    """Return what to give to the CSV writer, which prints a float in full, and nothing for None."""
    if value is True or value is False:
        return str(value).lower()
    return value if digits is None or value is None else f"{value:.{digits}f}"


def render_json(table: Table) -> str:
    """Return the complete table as JSON: what each row is about, and text and numbers of each cell."""
    rows = [
        {
            "heads": dict(zip(table.heads, row.heads, strict=True)),
            "section": row.section,
            "about": row.about,
            "cells": {column.id: _json_cell(cell) for column, cell in zip(table.columns, row.cells, strict=True)},
        }
        for row in table.rows
    ]
    found = {
        "name": table.name,
        "title": table.title,
        "columns": [{name: getattr(column, name) for name in COLUMN} for column in table.columns],
        "rows": rows,
        "notes": [*legend(table, JSON), *table.notes],
        "commands": list(table.commands),
    }
    return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _json_cell(cell: Any) -> dict[str, Any]:
    return {name: getattr(cell, name) for name in FIELDS}


def rich_table(table: Table, width: int = 80, see_all: str = "--format md, csv or json") -> RenderableType:
    """Return the table for a terminal `width` characters wide: published numbers grey, notes and commands below.

    Where not all columns fit, those that say the same in all rows go first, then columns of numbers from the last one,
    then heads. The first head and the leading numbers go last, and names and numbers are never cut. A line below says
    what is left out.

    Args:
        table: The table.
        width: Of the terminal.
        see_all: What shows the columns that are left out.
    """
    from rich.console import Group
    from rich.text import Text

    texts = [_heads(table), *(_texts(row, lambda cell: _plain(cell, table.intervals)) for row in table.rows)]
    natural = [max(map(len, column)) for column in zip(*texts, strict=True)]
    same = [i for i in range(1, len(table.heads)) if len({text[i] for text in texts[1:]}) == 1]
    fitting = fit(natural, _least(table, texts, width // 2), _leaving(table, same), width)
    heads, right = [texts[0][i] for i in fitting.shown], [_right(table)[i] for i in fitting.shown]
    parts: list[RenderableType] = [Text(table.title)]
    for name, rows in table.sections():
        cells = [_terminal_row(table, row, fitting) for row in rows]
        parts.append(grid(heads, cells, right, fitting.widths, name))
    hidden = [(texts[0][i], texts[1][i] if i in same else "") for i in fitting.hidden]
    if alike := [f"{head} {text}" for head, text in hidden if text]:
        parts.append(Text(f"equal in all rows: {', '.join(alike)}", style="dim"))
    if gone := [head for head, text in hidden if not text]:
        parts.append(Text(f"columns not shown at this width: {', '.join(gone)} (to see them: {see_all})", style="dim"))
    return Group(*parts, *(Text(line) for line in _below(table, TERMINAL)))


def _least(table: Table, texts: list[list[str]], most: int) -> list[int]:
    """Return the least width of each column: names stay whole, and numbers with their marks and intervals.

    Names are the first `NAMES` heads; the words of the others may break.
    """
    broad = [most if i < NAMES or i >= len(table.heads) else WORD for i in range(len(texts[0]))]
    least = [longest_word(column, own) for column, own in zip(zip(*texts, strict=True), broad, strict=True)]
    for i in range(len(table.columns)):
        for cell in (row.cells[i] for row in table.rows):
            plain = _plain(cell, table.intervals)
            wholes = (plain.partition(" [")[0].partition(" (")[0], *re.findall(r"\[[^]]*\]", plain))
            at = len(table.heads) + i
            least[at] = max(least[at], *map(len, wholes))
    return least


def _leaving(table: Table, same: list[int]) -> list[int]:
    """Return the columns in the order in which a narrow terminal leaves them out."""
    heads, n = len(table.heads), len(table.heads) + len(table.columns)
    lead = heads + table.lead
    varied = [i for i in range(2, heads) if i not in same]
    return [*reversed(same), *range(n - 1, lead - 1, -1), *reversed(varied), *range(lead - 1, heads, -1)]


def _terminal_row(table: Table, row: Row, fitting: Fit) -> list[str | Text]:
    heads, found = len(row.heads), zip(fitting.shown, fitting.widths, strict=True)
    return [
        " ".join(row.heads[i].split()) if i < heads else _styled(row.cells[i - heads], table.intervals, width)
        for i, width in found
    ]


def _styled(cell: Cell, intervals: bool, width: int) -> Text:
    """Return a cell for a terminal: the best bold, the second underlined, published numbers dim.

    A cell that is too long for its column breaks before its brackets.
    """
    from rich.text import Text

    if cell.style != "ours":
        return Text(cell.text, style="dim")
    styles = {"best": "bold", "second": "underline"}
    rest = cell.rest(intervals)
    rest = re.sub(r" (?=[\[(])", "\n", rest) if len(cell.number + rest) > width else rest
    return Text.assemble((cell.number, styles.get(cell.rank, "")), rest)


FORMATS: dict[str, Callable[[Table], str]] = {
    "text": render_text,
    "md": render_md,
    "csv": render_csv,
    "latex": render_latex,
    "html": render_html,
    "json": render_json,
}
"""The formats of `medbench table --format`."""
