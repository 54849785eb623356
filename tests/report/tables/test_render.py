"""Every format from one SYNTHETIC table: the numbers read back are the table's."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from medbench.errors import MedbenchError
from medbench.report.tables.render import FORMATS, render, rich_table
from medbench.report.tables.table import Cell, Column, Row, Table

from .conftest import NASTY, TEXTS


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
    assert "left out" not in narrow


def test_a_narrow_terminal_keeps_names_and_the_primary_metric_whole():
    columns = tuple(Column(name, name, name, "aptos") for name in ("kappa_quadratic", "accuracy", "log_loss"))
    cells = (Cell(0.9, 0.01, 5, low=0.8, high=0.95, rank="best"), Cell(0.8, 0.02, 5), Cell(0.7, 0.03, 5))
    heads = ("model", "protocol", "settings", "weights", "seeds")
    rows = [Row((name, "linear-frozen", settings, "official", "5"), cells) for name, settings in (
        ("visionfm-ultrasound", "paper"), ("m", "paper; views=100, learning_rate=0.001"))]  # fmt: skip
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown(Table("t", "title", heads, columns, tuple(rows), intervals=True), 80))
    assert "visionfm-ultrasound" in lines
    assert "0.900 ± 0.010¹" not in lines
    assert all(text in lines for text in ("0.900 ± 0.010", "[0.800, 0.950]", "kappa_quadratic", "views=100"))
    assert "equal in all rows: protocol linear-frozen, weights official, seeds 5\n" in lines
    more = tuple(Column(f"{name}_{i}", f"{name}_{i}", name, "d") for i in range(2) for name in ("kappa", "mcc"))
    wide = Table("t", "title", heads, columns + more, tuple(replace(row, cells=cells + cells[1:] * 2) for row in rows))
    assert "columns not shown at this width: kappa_0, mcc_0, kappa_1, mcc_1 (to see them: " in shown(wide, 80)


def test_terminal_leaves_out_what_does_not_fit():
    columns = tuple(Column(f"c{i}", f"column{i}", "kappa", "aptos") for i in range(9))
    made = Table("t", "title", ("head",), columns, (Row(("a",), (Cell(0.5, 0.1, 5),) * 9),))
    text = shown(made, 62)
    assert "column2" in text
    assert "columns not shown at this width: column3, column4, column5," in text


PLAIN = ["0.900 ± 0.010", "0.800 ± 0.020", "0.700 ± 0.030≈", "0.600 n=1", "0.950 ± 0.040†"]


def test_marks_in_text(ranked):
    lines = render(ranked, "text").splitlines()
    shown = [re.split(r"  +", line)[1] for line in lines if re.match(r"r\d ", line)]
    assert shown == [
        "0.900 ± 0.010¹",
        "0.800 ± 0.020² +1.2 pt",
        "0.700 ± 0.030≈ (0.750 -0.5 pt, -0.050)",
        "0.600 n=1",
        "0.950 ± 0.040†",
    ]
    assert "note: ¹: the best of its column, ²: the second, as printed" in lines
    assert any(line.startswith("note: ≈ not distinguishable from the best") for line in lines)


def test_marks_in_md(ranked):
    out = render(ranked, "md")
    assert "| **0.900 ± 0.010** |" in out
    assert "| 0.800 ± 0.020² +1.2 pt |" in out
    assert "- bold: the best of its column, ²: the second, as printed" in out


def test_marks_in_json_and_csv(ranked):
    found = json.loads(render(ranked, "json"))
    cells = [row["cells"]["c"] for row in found["rows"]]
    assert [cell["rank"] for cell in cells] == ["best", "second", "", "", ""]
    assert [cell["tied"] for cell in cells] == [False, False, True, False, False]
    assert (cells[0]["low"], cells[0]["high"], cells[1]["gain"]) == (0.85, 0.95, 1.25)
    rows = list(csv.DictReader(io.StringIO(render(ranked, "csv"))))
    assert [(row["c_low"], row["c_high"]) for row in rows] == [("0.85", "0.95")] + [("", "")] * 4
    assert [row["c_gain"] for row in rows] == ["", "1.25", "", "", ""]
    assert rows[2]["c_published_gain"] == "-0.5"


def test_marks_on_a_terminal(ranked):
    out = shown(ranked, 200)
    assert "\x1b[1m0.900 ± 0.010\x1b[0m" in out
    assert "\x1b[4m0.800 ± 0.020\x1b[0m" in out
    assert "bold: the best" in out


def test_intervals_show_only_on_request(ranked):
    on = dataclasses.replace(ranked, intervals=True)
    for form in ("text", "md", "latex", "html"):
        shown = re.sub(r'title="[^"]*"', "", render(ranked, form))  # HTML has them where one points at a number
        assert "0.850" not in shown
        assert re.search(r"\[0\.850, 0\.950\\?\]", render(on, form))
        assert "95" in render(on, form)


@pytest.mark.parametrize("form", FORMATS)
def test_empty_table_and_line_end(form):
    text = render(Table("t", "title", ("head",), (Column("c", "c", "kappa", "d"),), ()), form)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_unknown_format(made):
    with pytest.raises(MedbenchError, match="unknown format 'mdd'"):
        render(made, "mdd")
