"""Tables as a piece of a web page: the numbers, the marks, and one table byte for byte."""

from __future__ import annotations

from html.parser import HTMLParser

from medbench.report.tables.render import render
from medbench.report.tables.render_html import render_html
from medbench.report.tables.table import Cell, Column, Row, Table

from .conftest import NASTY, TEXTS

EXPECTED = """\
<section class="medbench">
<table>
<caption>a &lt;title&gt;</caption>
<thead><tr>
<th>head</th>
<th>name</th>
<th>column 0</th>
<th>column 1</th>
</tr></thead>
<tbody>
<tr><th>&#233;</th><th>b</th><td class="ours" data-value="0.9" title="n=5">\
<b>0.900 &#177; 0.010</b> [0.850, 0.950]</td>\
<td class="ours" data-value="0.8"><u>0.800</u> +1.2 pt</td></tr>
</tbody>
<tbody>
<tr><th colspan="4">other &quot;q&quot;</th></tr>
<tr><th><a href="#run-1">x</a></th><th></th><td class="ours" data-value="0.25">0.250</td>\
<td class="published" style="color:#777" title="medbench run --model &#x27;a b&#x27;">(0.750)</td></tr>
<tr><th>y</th><th>z</th><td class="missing" style="color:#777">&#8211;</td>\
<td class="missing" style="color:#777">&#8211;</td></tr>
</tbody>
</table>
<ul>
<li>bold: the best of its column, underlined: the second, as printed</li>
<li>in brackets: 95 % interval</li>
<li>note&#65533;</li>
</ul>
<pre>medbench run &#x27;x&#x27;</pre>
</section>
"""


def test_bytes():
    cells = (
        Cell(0.9, 0.01, 5, low=0.85, high=0.95, rank="best"),
        Cell(0.8, rank="second", gain=1.25),
        Cell(0.25, form="number"),
        Cell(None, published=0.75, command="medbench run\n--model 'a b'"),
        Cell(),
    )
    columns = tuple(Column(f"c{i}", f"column {i}", "kappa", "aptos") for i in range(2))
    rows = (
        Row(("é", "b"), cells[:2]),
        Row(("x", ""), cells[2:4], section='other "q"'),
        Row(("y", "z"), (cells[4],) * 2, section='other "q"'),
    )
    notes, commands = ("note\x07",), ("medbench run 'x'",)
    table = Table("t", "a  <title>", ("head", "name"), columns, rows, notes, commands, "its column", intervals=True)
    assert render_html(table, lambda row: "#run-1" if row.heads[0] == "x" else None) == EXPECTED


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
