"""The report's content as one HTML file, by the template `report.html`."""

from __future__ import annotations

from markupsafe import Markup

from medbench.report.html.content import Content, key_of, link_of
from medbench.report.html.run_page import number
from medbench.report.tables.render_html import render_html
from medbench.report.tables.table import Row, Table
from medbench.storage import html_pages


def rendered(content: Content) -> str:
    """Return the page in plain ASCII."""
    links = link_of(page.group for page in content.pages)

    def table(shown: Table) -> Markup:
        def link(row: Row) -> str | None:
            """Return the address of a row's run, within the file."""
            found = links.get(key_of(shown, row))
            return None if found is None else f"#{found}"

        return html_pages.markup(render_html(shown, link))

    return html_pages.render("report.html", content=content, table=table, number=number, links=links)
