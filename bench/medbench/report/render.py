"""Tables to text, Markdown, CSV, LaTeX, HTML and JSON; the same table gives the same bytes."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from medbench.errors import unknown
from medbench.report.table import Row, Table

if TYPE_CHECKING:
    from rich.console import RenderableType

FEW = 6  # columns of numbers that a terminal shows in any case
LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "±": r"$\pm$", "–": "--", "−": "$-$", "×": r"$\times$", "·": r"$\cdot$", "κ": r"$\kappa$",
    "↓": r"$\downarrow$", "↑": r"$\uparrow$", "²": r"$^2$", "…": r"\ldots{}", "†": r"\dag{}",
}  # fmt: skip


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


def _texts(row: Row) -> list[str]:
    return [" ".join(text.split()) for text in (*row.heads, *(cell.text for cell in row.cells))]


def _notes(table: Table) -> list[str]:
    return [" ".join(note.split()) for note in table.notes]


def render_text(table: Table) -> str:
    """Return aligned columns, two spaces apart, one line a row; notes and commands below."""
    lines = [table.title]
    for name, rows in table.sections():
        lines += ["", *([name] if name else []), *_aligned([_heads(table), *map(_texts, rows)], len(table.heads))]
        lines += [] if rows else ["(no rows)"]
    return "\n".join([*lines, *_below(table)]) + "\n"


def _aligned(rows: list[list[str]], left: int) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    sides = [str.ljust if i < left else str.rjust for i in range(len(widths))]
    lines = [[side(text, w) for side, text, w in zip(sides, row, widths, strict=True)] for row in rows]
    return ["  ".join(line).rstrip() for line in lines]


def _below(table: Table) -> list[str]:
    lines = ["", *(f"note: {note}" for note in _notes(table))] if table.notes else []
    return lines + (["", "to fill what is missing:", *(f"  {c}" for c in table.commands)] if table.commands else [])


def render_md(table: Table) -> str:
    """Return GitHub's Markdown, a heading per section; published numbers stand in parentheses."""
    lines = [f"**{_md(table.title)}**"]
    rule = ["---"] * len(table.heads) + ["---:"] * len(table.columns)
    for name, rows in table.sections():
        lines += ["", *([f"### {_md(name)}", ""] if name else [])]
        for cells in ([_md(head) for head in _heads(table)], rule, *([_md(t) for t in _texts(row)] for row in rows)):
            lines.append(f"| {' | '.join(cells)} |")
        lines += [] if rows else ["", "(no rows)"]
    if table.notes:
        lines += ["", *(f"- {_md(note)}" for note in _notes(table))]
    if table.commands:
        lines += ["", "To fill what is missing:", "", "```sh", *table.commands, "```"]
    return "\n".join(lines) + "\n"


def _md(text: str) -> str:
    """Escape what Markdown would read as its own; an underscore inside a word is none of that."""
    return re.sub(r"([\\`*\[\]<>|~#]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def render_csv(table: Table) -> str:
    """Return one line per row with plain numbers: mean, std and n of each column, in full precision.

    Published numbers and deviations have the three decimals they were printed with.
    """
    names, rows = table.flat()
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    printed = [name.endswith(("_published", "_published_std")) for name in names]
    for row in rows:
        writer.writerow([_number(v, fixed) for v, fixed in zip(row, printed, strict=True)])
    return out.getvalue()


def _number(value: Any, fixed: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.3f}" if fixed else repr(value) if isinstance(value, float) else str(value)


def render_latex(table: Table) -> str:
    """Return a `table` environment that needs no package."""
    form = "l" * len(table.heads) + "r" * len(table.columns)
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{_latex(table.title)}}}", rf"\begin{{tabular}}{{{form}}}"]
    lines += [r"\hline", _latex_line(_heads(table)), r"\hline"]
    for name, rows in table.sections():
        if name:
            lines += [r"\hline", rf"\multicolumn{{{len(form)}}}{{l}}{{{_latex(name)}}} \\"]
        lines += [_latex_line(_texts(row)) for row in rows]
    lines += [r"\hline", r"\end{tabular}"]
    lines += [rf"\par\footnotesize {_latex(note)}" for note in _notes(table)]
    lines += [rf"% {command}" for command in table.commands]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _latex_line(texts: list[str]) -> str:
    return " & ".join(map(_latex, texts)) + r" \\"


def _latex(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)


def render_html(table: Table) -> str:
    """Return one `<section>` in plain ASCII (other signs as references), so it reads rightly in any page."""
    parts = ['<section class="medbench">', "<table>", f"<caption>{_html(table.title)}</caption>", "<thead><tr>"]
    parts += [f"<th>{_html(head)}</th>" for head in _heads(table)] + ["</tr></thead>"]
    for name, rows in table.sections():
        parts.append("<tbody>")
        if name:
            parts.append(f'<tr><th colspan="{len(table.heads) + len(table.columns)}">{_html(name)}</th></tr>')
        parts += [_html_row(row) for row in rows] + ["</tbody>"]
    parts.append("</table>")
    if table.notes:
        parts += ["<ul>", *(f"<li>{_html(note)}</li>" for note in _notes(table)), "</ul>"]
    if table.commands:
        parts += [f"<pre>{_html(chr(10).join(table.commands))}</pre>"]
    return "\n".join([*parts, "</section>"]) + "\n"


def _html_row(row: Row) -> str:
    cells = [f"<th>{_html(head)}</th>" for head in row.heads]
    for cell in row.cells:
        grey = "" if cell.style == "ours" else ' style="color:#777"'
        hover = f' title="{_html(cell.command)}"' if cell.command else f' title="n={cell.n}"' if cell.n else ""
        cells.append(f'<td class="{cell.style}"{grey}{hover}>{_html(cell.text)}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def _html(text: str) -> str:
    return html.escape(text).encode("ascii", "xmlcharrefreplace").decode()


def render_json(table: Table) -> str:
    """Return the whole table as JSON: rows with what they stand for, cells with text and numbers."""
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
        "columns": [vars(column) for column in table.columns],
        "rows": rows,
        "notes": list(table.notes),
        "commands": list(table.commands),
    }
    return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _json_cell(cell: Any) -> dict[str, Any]:
    names = ("text", "style", "value", "std", "n", "published", "published_std", "difference", "command")
    return {name: getattr(cell, name) for name in names}


def rich_table(table: Table, width: int = 80) -> RenderableType:
    """Return the table for a terminal `width` columns wide: published numbers grey, notes and commands below.

    Of many columns those that do not fit are left out from the right, and said to be; the first one always stays.
    A few columns all stay, and their cells wrap.
    """
    from rich.console import Group
    from rich.table import Table as Grid
    from rich.text import Text

    texts = [_heads(table), *map(_texts, table.rows)]
    widths = [max(len(row[i]) for row in texts) for i in range(len(texts[0]))]
    shown = len(widths) if len(table.columns) <= FEW else _fitting(widths, len(table.heads), width)
    parts: list[RenderableType] = []
    for name, rows in table.sections():
        grid = Grid(title=Text(name or table.title), title_justify="left", header_style="bold")
        for i, head in enumerate(_heads(table)[:shown]):
            left = i < len(table.heads)
            grid.add_column(Text(head), justify="left" if left else "right", overflow="fold", no_wrap=left)
        for row in rows:
            styles = ["" for _ in row.heads] + ["" if cell.style == "ours" else "dim" for cell in row.cells]
            grid.add_row(*(Text(t, style=s) for t, s in list(zip(_texts(row), styles, strict=True))[:shown]))
        parts.append(grid)
    if hidden := len(texts[0]) - shown:
        names = ", ".join(_heads(table)[shown:])
        parts.append(Text(f"{hidden} more columns than fit here ({names}): --format md, csv or json", style="dim"))
    return Group(*parts, *(Text(line) for line in _below(table)))


def _fitting(widths: list[int], heads: int, width: int) -> int:
    """Return how many columns fit a terminal; a column takes three characters of frame."""
    used, shown = 1, 0
    for i, own in enumerate(widths):
        used += own + 3
        if used > width and i > heads:
            break
        shown = i + 1
    return shown


FORMATS: dict[str, Callable[[Table], str]] = {
    "text": render_text,
    "md": render_md,
    "csv": render_csv,
    "latex": render_latex,
    "html": render_html,
    "json": render_json,
}
"""The formats of `medbench table --format`."""
