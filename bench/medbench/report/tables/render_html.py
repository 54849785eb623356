"""A table as a piece of a web page."""

from __future__ import annotations

from collections.abc import Callable

from medbench.report.tables.marks import Words, legend
from medbench.report.tables.table import DASH, Row, Table
from medbench.storage.html_pages import render

WORDS = Words("bold", "underlined")


def render_html(table: Table, link: Callable[[Row], str | None] = lambda row: None) -> str:
    """Return one `<section>` in plain ASCII (references for other characters), which fits a page of any encoding.

    Args:
        table: The table; each number is in full precision in its cell's `data-value`, for scripts that sort.
        link: Where the first head cell of a row leads to; None: nowhere.
    """
    heads = [*table.heads, *(column.title for column in table.columns)]
    notes = [*legend(table, WORDS), *table.notes]
    return render("table.html", table=table, heads=heads, notes=notes, link=link, dash=DASH)
