"""The HTML environment: what templates are filled with is shown as text, whatever it is."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import pytest

from medbench.storage import html_pages
from medbench.storage.html_pages import TEMPLATES, markup, render


@pytest.fixture
def filled(monkeypatch, tmp_path):
    """Render a template that is given as text."""

    def fill(template: str, **values: object) -> str:
        (tmp_path / "t.html").write_text(template, encoding="utf-8")
        return render("t.html", **values)

    monkeypatch.setattr(html_pages, "TEMPLATES", tmp_path)
    html_pages._environment.cache_clear()
    yield fill
    html_pages._environment.cache_clear()


class Read(HTMLParser):
    """The elements and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    "value", ["<b>", "a & b &amp; c", "\"x\" 'y'", "</p><script>alert(1)</script>", "é κ ☃ 𝔸", "a\n b"]
)
def test_a_value_is_read_back_as_text_and_as_attribute(filled, value):
    text = filled('<p title="{{ value }}">{{ value }}</p>', value=value)
    assert text.isascii()
    found = Read(text)
    assert found.elements == [("p", [("title", value)])]
    assert found.text == value


@pytest.mark.parametrize("sign", ["\x00", "\x07", "\x85", "\u202e", "\u2066", "\ud800", "\ufffe"])
def test_unsafe_characters_are_replaced(filled, sign):
    assert filled("{{ value }}", value=f"a{sign}b") == "a&#65533;b"
    assert filled("{{ value }}", value=Path(f"a{sign}b")) == "a&#65533;b"


def test_only_markup_is_not_escaped_again(filled):
    inner = markup(filled("<b>{{ value }}</b>", value="<i>"))
    assert filled("{{ inner }}", inner=inner) == "<b>&lt;i&gt;</b>"
    assert filled("{% macro m(x) %}<u>{{ x }}</u>{% endmacro %}{{ m(value) }}", value="&") == "<u>&amp;</u>"
    assert filled("{{ values|join(', ') }}", values=["<", ">"]) == "&lt;, &gt;"


def test_a_misspelt_name_is_an_error(filled):
    with pytest.raises(jinja2.UndefinedError):
        filled("{{ vale }}", value=1)


@pytest.mark.parametrize(("value", "text"), [(None, ""), (0, "0"), (1234567, "1,234,567"), ("<1234>", "&lt;1234&gt;")])
def test_thousands(filled, value, text):
    assert filled("{{ value|thousands }}", value=value) == text


def test_a_path_may_break_after_slashes_and_underscores(filled):
    assert filled("{{ value|breakable }}", value="a_b/<c>") == "a_<wbr>b/<wbr>&lt;c&gt;"


def test_an_image_is_part_of_the_page(filled):
    kind, data = filled("{{ value|uri('png') }}", value=b"\x89PNG").split(",")
    assert (kind, base64.b64decode(data)) == ("data:image/png;base64", b"\x89PNG")


@pytest.mark.parametrize("path", sorted(TEMPLATES.iterdir()), ids=lambda path: path.name)
def test_templates_are_ascii_and_compile(path):
    """Style sheets and scripts are put into pages as they are: a reference in a script would change its digest."""
    assert path.read_bytes().isascii()
    if path.suffix == ".html":
        html_pages._environment().get_template(path.name)
