"""A table as a piece of a web page."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from medbench.report.tables.marks import Words, legend
from medbench.report.tables.table import DASH, Cell, Row, Table

WORDS = Words("bold", "underlined")
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Signs that a browser refuses, or that turn the order of the text around them."""
TAGS = {"best": "b", "second": "u"}


def render_html(table: Table, link: Callable[[Row], str | None] = lambda row: None) -> str:
    """Return one `<section>` in plain ASCII (other signs as references), so it reads rightly in any page.

    Args:
        table: The table; each number stands in full precision in its cell's `data-value`, for scripts that sort.
        link: Where the first head cell of a row leads to; None: nowhere.
    """
    heads = [*table.heads, *(column.title for column in table.columns)]
    parts = ['<section class="medbench">', "<table>", f"<caption>{_text(table.title)}</caption>", "<thead><tr>"]
    parts += [f"<th>{_text(head)}</th>" for head in heads] + ["</tr></thead>"]
    for name, rows in table.sections():
        parts.append("<tbody>")
        if name:
            parts.append(f'<tr><th colspan="{len(heads)}">{_text(name)}</th></tr>')
        parts += [_row(row, table.intervals, link(row)) for row in rows] + ["</tbody>"]
    parts.append("</table>")
    if notes := [*legend(table, WORDS), *table.notes]:
        parts += ["<ul>", *(f"<li>{_text(note)}</li>" for note in notes), "</ul>"]
    if table.commands:
        parts += [f"<pre>{_escaped(chr(10).join(table.commands))}</pre>"]
    return "\n".join([*parts, "</section>"]) + "\n"


def _row(row: Row, intervals: bool, target: str | None) -> str:
    heads = [_escaped(head) for head in row.heads]
    if target is not None:
        heads[0] = f'<a href="{_escaped(target)}">{heads[0]}</a>'
    cells = [f"<th>{head}</th>" for head in heads]
    for cell in row.cells:
        grey = "" if cell.style == "ours" else ' style="color:#777"'
        hover = f' title="{_text(cell.command)}"' if cell.command else f' title="n={cell.n}"' if cell.n else ""
        value = f' data-value="{cell.value!r}"' if cell.value is not None else ""
        cells.append(f'<td class="{cell.style}"{value}{grey}{hover}>{_cell(cell, intervals)}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def _cell(cell: Cell, intervals: bool) -> str:
    number, rest = _text(cell.number), _escaped(cell.rest(intervals))
    tag = TAGS.get(cell.rank)
    shown = f"<{tag}>{number}</{tag}>" if tag else number
    return (shown + rest).strip() or _text(DASH)


def _text(text: str) -> str:
    return _escaped(" ".join(text.split()))


def _escaped(text: str) -> str:
    return html.escape(UNSAFE.sub("\ufffd", text)).encode("ascii", "xmlcharrefreplace").decode()
