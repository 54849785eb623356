"""Every format from one SYNTHETIC table: the numbers read back are the table's."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from medbench.errors import MedbenchError
from medbench.report import FORMATS, Cell, Column, Row, Table, render, rich_table

NASTY = "a_b & c% $5 #1 {x} <b>|\\ ~^ [link](y) `code` *é*\nκ ±"


@pytest.fixture
def made() -> Table:
    cells = (
        Cell(0.8812345678901234, 0.0020001, 5, 0.878, 0.004, show_n=True),
        Cell(None, None, 0, 0.9, 0.0, command="medbench run --model a"),
        Cell(0.5, None, 1, show_n=True, mark="†"),
        Cell(),
    )
    columns = tuple(Column(f"c{i}", f"column {i}", "kappa", "aptos") for i in range(4))
    rows = (
        Row(("Linear", NASTY), cells, {"model": "m", "odd": NASTY, "toy": False}),
        Row(("DeiT", "z"), cells[::-1], {"model": "n", "odd": "", "toy": True}, "a section"),
    )
    return Table(
        "t/1", f"title {NASTY}", ("head", "name"), columns, rows, (f"note {NASTY}",), ("medbench run --model a_b",)
    )


TEXTS = ["0.881 ± 0.002 n=5 (0.878 ± 0.004, +0.003)", "(0.900 ± 0.000)", "0.500† n=1", "–"]


def test_cell_text(made):
    assert [cell.text for cell in made.rows[0].cells] == TEXTS
    assert [cell.style for cell in made.rows[0].cells] == ["ours", "published", "ours", "missing"]
    assert made.rows[0].cells[0].difference == pytest.approx(0.0032345678901234)


def test_csv(made):
    first, second = csv.DictReader(io.StringIO(render(made, "csv")))
    assert float(first["c0_mean"]) == 0.8812345678901234  # to the last digit
    assert float(first["c0_std"]) == 0.0020001
    assert (first["c0_n"], first["c0_published"], first["c0_published_std"]) == ("5", "0.878", "0.004")
    assert float(first["c0_difference"]) == pytest.approx(0.0032345678901)
    assert (first["c1_mean"], first["c1_n"], first["c1_published"]) == ("", "0", "0.900")
    assert first["odd"] == NASTY
    assert (second["model"], second["toy"], second["c3_mean"]) == ("n", "true", "0.8812345678901234")


def test_json(made):
    found = json.loads(render(made, "json"))
    cell = found["rows"][0]["cells"]["c0"]
    assert (cell["value"], cell["std"], cell["n"], cell["published"]) == (0.8812345678901234, 0.0020001, 5, 0.878)
    assert found["rows"][0]["cells"]["c1"]["command"] == "medbench run --model a"
    assert found["rows"][1]["section"] == "a section"
    assert found["rows"][0]["heads"] == {"head": "Linear", "name": NASTY}


def test_md(made):
    text = render(made, "md")
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
    assert {len(row) for row in rows} == {6}
    assert [cell.strip() for cell in rows[2][2:]] == TEXTS
    assert r"a_b & c% $5 \#1 {x} \<b\>\|\\ \~^ \[link\](y) \`code\` \*é\* κ ±" in rows[2][1]
    assert "### a section" in text
    assert "```sh\nmedbench run --model a_b\n```" in text


def test_latex(made):
    text = render(made, "latex")
    body = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {5}
    assert "0.881 $\\pm$ 0.002 n=5 (0.878 $\\pm$ 0.004, +0.003)" in text
    assert r"a\_b \& c\% \$5 \#1 \{x\} \textless{}b\textgreater{}\textbar{}\textbackslash{}" in text
    assert text.count(r"\begin") == text.count(r"\end") == 2


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


def test_text(made):
    lines = render(made, "text").splitlines()
    row = next(line for line in lines if line.startswith("Linear"))
    assert re.split(r"  +", row)[2:] == TEXTS
    assert "  medbench run --model a_b" in lines


def shown(made: Table, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(rich_table(made, width))
    assert max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue()).splitlines())) <= width
    return console.file.getvalue()


def test_terminal(made):
    wide, narrow = shown(made, 400), shown(made, 110)
    assert "\x1b[2m(0.900 ± 0.000)" in wide  # published numbers are dim
    assert all(text in wide for text in TEXTS)
    assert "[link](y)" in wide
    assert "column 3" in narrow  # four columns wrap rather than go
    assert "more columns" not in narrow


def test_terminal_leaves_out_what_does_not_fit():
    columns = tuple(Column(f"c{i}", f"column{i}", "kappa", "aptos") for i in range(9))
    made = Table("t", "title", ("head",), columns, (Row(("a",), (Cell(0.5, 0.1, 5),) * 9),))
    text = shown(made, 62)
    assert "column2" in text
    assert "6 more columns than fit here (column3, column4, column5," in text


@pytest.mark.parametrize("form", FORMATS)
def test_empty_table_and_line_end(form):
    text = render(Table("t", "title", ("head",), (Column("c", "c", "kappa", "d"),), ()), form)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_unknown_format(made):
    with pytest.raises(MedbenchError, match="unknown format 'mdd'"):
        render(made, "mdd")
