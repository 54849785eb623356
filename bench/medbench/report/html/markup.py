"""HTML by construction: a text becomes markup only by being escaped.

Whatever a user or a file controls (names, paths, ids, error texts) is a plain `str` until it is passed to `tag` or
`text`, which escape it; only `Html` passes as it is. Inline styles are never written: the page's policy forbids them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

Child = object
"""`Html` as it is, None as nothing, anything else as its escaped text."""

VOID = ("meta", "br", "wbr", "img", "hr", "image", "use", "path", "line", "rect", "circle")

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Signs that a browser refuses, or that turn the order of the text around them."""


class Html(str):
    """Finished markup."""

    __slots__ = ()


def text(value: object) -> Html:
    """Return a value's text, escaped for content and quoted attributes alike, in plain ASCII."""
    shown = CONTROL.sub("\ufffd", str(value))
    return Html(html.escape(shown).encode("ascii", "xmlcharrefreplace").decode())


def join(parts: Iterable[Child], between: str = "") -> Html:
    """Return the parts one after the other, `between` (escaped) them."""
    return Html(text(between).join(_markup(part) for part in parts))


def tag(name: str, /, *children: Child, **attributes: object) -> Html:
    """Return one element.

    Args:
        name: The element's.
        children: Its content.
        attributes: `class_` is `class`, `aria_sort` is `aria-sort`; True is written without a value, None and False
            not at all.
    """
    start = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}"
    if name in VOID:
        return Html(f"{start}/>")
    return Html(f"{start}>{''.join(map(_markup, children))}</{name}>")


def _markup(child: Child) -> str:
    if child is None:
        return ""
    return child if isinstance(child, Html) else text(child)


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{text(value)}"'


def facts(pairs: Iterable[tuple[Child, Child]]) -> Html:
    """Return a table of two columns, name and value; nothing where there are no pairs."""
    rows = [tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in pairs]
    return scrolled(tag("table", tag("tbody", *rows), class_="facts")) if rows else Html()


def grid(heads: Sequence[Child], rows: Iterable[Sequence[Child]], *, caption: Child = None, numbers: int = 1) -> Html:
    """Return a plain table in a box that scrolls by itself.

    Args:
        heads: The head cells.
        rows: The cells of each row; those that are `td` or `th` elements already stay so.
        caption: Its title.
        numbers: The column from which cells are numbers, set to the right.
    """
    top = tag("tr", *(tag("th", head, scope="col", class_=_side(i, numbers)) for i, head in enumerate(heads)))
    body = [tag("tr", *(_cell(cell, _side(i, numbers)) for i, cell in enumerate(row))) for row in rows]
    title = tag("caption", caption) if caption is not None else None
    return scrolled(tag("table", title, tag("thead", top), tag("tbody", *body), class_="grid"))


def _side(column: int, numbers: int) -> str | None:
    return "num" if column >= numbers else None


def _cell(cell: Child, side: str | None) -> Html:
    if isinstance(cell, Html) and cell.startswith(("<td", "<th")):
        return cell
    return tag("td", cell, class_=side)


def scrolled(table: Html) -> Html:
    """Return a table in a box that scrolls sideways by itself."""
    return tag("div", table, class_="scroll")


def section(anchor: str, title: Child, *content: Child) -> Html:
    """Return a part of the page with its heading, which a link `#anchor` leads to."""
    return Html("\n" + tag("section", tag("h2", title), *content, id=anchor) + "\n")


def fold(title: Child, *content: Child, **attributes: object) -> Html:
    """Return content behind a line that opens it."""
    return tag("details", tag("summary", title), *content, **attributes)


def link(anchor: str, title: Child) -> Html:
    """Return a link within the page."""
    return tag("a", title, href=f"#{anchor}")


def number(value: float | None, digits: int = 3) -> str:
    """Return a number for people; a dash for none."""
    return "–" if value is None or value != value else f"{value:.{digits}f}"


def brief(value: object) -> str:
    """Return a value of a card or record for people: fractions to six figures, long lists as they are."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(brief, value)) or "–"
    return str(value) if value != "" else "–"


def plural(n: int, what: str, many: str = "") -> str:
    """Return `1 record` or `2 records`."""
    return f"{n:,} {what if n == 1 else many or what + 's'}"
