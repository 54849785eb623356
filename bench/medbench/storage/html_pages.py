"""The HTML that medbench writes: one Jinja environment for the report, the page of a check and tables.

The templates lie in `templates/`. Names, paths and error texts come from users and files, so every value is escaped.
A page is one file (`page.html`): the policy in its head forbids a browser to load anything, and to run any script but
the page's own.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from medbench.storage.version import version

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Characters that a browser refuses, or that change the direction of the text around them."""


def render(template: str, **values: Any) -> str:
    """Return a template with its values filled in.

    The text is plain ASCII, with references for other characters: it looks the same in a page of any encoding.

    Args:
        template: The name of a file in `templates/`.
        values: What the template names. All of it is escaped, except `Markup` that this module returned.
    """
    text: str = _environment().get_template(template).render(values)
    return text.encode("ascii", "xmlcharrefreplace").decode()


def markup(rendered: str) -> Markup:
    """Return what `render` gave, to be filled into another template as it is."""
    return Markup(rendered)  # noqa: S704 - escaped by `render`


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # slow to import, and few commands need it

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_escaped,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals |= {"asset": _asset, "version": version()}
    made.filters |= {"breakable": _breakable, "digest": _digest, "line": _line, "thousands": _thousands, "uri": _uri}
    return made


def _escaped(value: object) -> Markup:
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(UNSAFE.sub("\ufffd", str(value))))  # noqa: S704 - escaped here


def _asset(name: str) -> Markup:
    """Return a style sheet or a script of `templates/` as it is."""
    return markup((TEMPLATES / name).read_text(encoding="ascii"))


def _breakable(path: str) -> Markup:
    """Return a path that a browser may break after each slash and underscore."""
    return markup(str(_escaped(path)).replace("/", "/<wbr>").replace("_", "_<wbr>"))


def _digest(script: str) -> str:
    """Return how a content security policy names a script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _line(text: str) -> str:
    """Return a text on one line."""
    return " ".join(text.split())


def _thousands(value: object) -> object:
    """Return an integer with commas, nothing for None, and any other value as it is."""
    return "" if value is None else f"{value:,}" if isinstance(value, int) else value


def _uri(image: bytes, kind: str = "jpeg") -> str:
    """Return an image as an address that holds the image itself."""
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
