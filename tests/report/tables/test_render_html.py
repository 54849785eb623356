"""Tables as a piece of a web page: the numbers and the marks."""

from __future__ import annotations

from html.parser import HTMLParser

from medbench.report.tables.render import render

from .conftest import NASTY, TEXTS


class Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.rows = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_html(made):
    text = render(made, "html")
    assert text.isascii()
    parser = Cells()
    parser.feed(text)
    assert parser.open == []
    assert parser.rows[1] == ["Linear", NASTY, *TEXTS]
    assert parser.rows[3][2:] == TEXTS[::-1]


def test_marks_in_html(ranked):
    out = render(ranked, "html")
    assert "><b>0.900 &#177; 0.010</b></td>" in out
    assert "><u>0.800 &#177; 0.020</u> +1.2 pt</td>" in out
    assert "bold: the best of its column, underlined: the second" in out
