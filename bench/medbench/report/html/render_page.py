"""The report's content as one HTML file, by the templates beside this module.

Names, paths and error texts come from users and files: Jinja escapes all of them. A policy in the page's head forbids
whatever is not in the file: any address, and any script but the one whose digest it names.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from markupsafe import Markup

from medbench.report.html.content import Content, link_of
from medbench.report.html.run_page import Picture, number
from medbench.report.tables.render_html import UNSAFE, render_html
from medbench.report.tables.table import Row, Table
from medbench.storage.version import version

TEMPLATES = Path(__file__).parent / "templates"


def rendered(content: Content) -> str:
    """Return the whole page in plain ASCII, other signs as references, so that it reads rightly wherever it lies."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    script, style = ((TEMPLATES / name).read_text(encoding="ascii") for name in ("report.js", "report.css"))
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    links = link_of(page.group for page in content.pages)

    def table(shown: Table) -> Markup:
        return Markup(render_html(shown, lambda row: _target(row, links)))  # noqa: S704 - escaped there

    environment.filters |= {"table": table, "uri": _uri, "number": number}
    text = environment.get_template("report.html").render(
        content=content,
        version=version(),
        script=Markup(script),  # noqa: S704 - our own file
        style=Markup(style),  # noqa: S704 - our own file
        script_digest=_digest(script),
    )
    return text.encode("ascii", "xmlcharrefreplace").decode()


def _target(row: Row, links: dict[str, str]) -> str | None:
    """Return the address of the page behind a row, within the file."""
    found = links.get(str(row.about.get("group", "")))
    return None if found is None else f"#{found}"


def _clean(value: Any) -> Any:
    return UNSAFE.sub("\ufffd", value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _uri(picture: Picture) -> str:
    return f"data:image/{picture.kind};base64,{base64.b64encode(picture.data).decode()}"


def _digest(script: str) -> str:
    """Return how a content security policy names a script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
