"""`medbench compare` as a shell sees it, on SYNTHETIC records."""

from __future__ import annotations

import csv
import io
import json

import pytest

from medbench import stats
from medbench.cli.commands import table
from medbench.report.comparison.compare import compare
from medbench.report.tables.render import FORMATS

from ...report.made import make_paper_records

WORDS = ("compare", "dinov2/linear-frozen", "imagenet", "--draws", "150")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    place = tmp_path_factory.mktemp("made") / "runs"
    make_paper_records(place, predictions=True, datasets=["aptos", "ddsm"])
    return place


@pytest.mark.parametrize("form", FORMATS)
def test_every_format(medbench, runs, form):
    done = medbench(*WORDS, "--runs", runs, "--format", form)
    assert (done.status, done.err) == (0, "")
    found = compare("dinov2/linear-frozen", "imagenet", draws=150, runs=runs)
    assert [row.heads[0] for row in found.rows] == ["aptos", "ddsm", "mean of 2"]
    if form == "json":
        cells = [row["cells"]["difference"]["value"] for row in json.loads(done.out)["rows"]]
        assert cells == [row.cells[2].value for row in found.rows]
    elif form == "csv":
        lines = list(csv.DictReader(io.StringIO(done.out)))
        assert [float(line["difference"]) for line in lines] == [row.cells[2].value for row in found.rows]
        assert [line["p"] for line in lines] == [
            repr(found.rows[0].cells[3].value),
            repr(found.rows[1].cells[3].value),
            "",
        ]
    else:
        assert f"{found.rows[1].cells[2].low:+.3f}".replace("-", "" if form == "latex" else "-") in done.out


def test_options_reach_the_comparison(medbench, runs):
    done = medbench(
        *WORDS, "--out", runs, "--dataset", "dds*", "--metric", "ap", "--preset", "paper", "--format", "json"
    )
    (row,) = json.loads(done.out)["rows"]
    assert (row["about"]["dataset"], row["about"]["metric"]) == ("ddsm", "ap")
    assert "150 draws" in " ".join(json.loads(done.out)["notes"])


def test_a_terminal_shows_the_difference_first(medbench, runs, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr(table.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    done = medbench(*WORDS, "--runs", runs)
    assert done.width <= 80
    out = done.plain
    assert out.index("A − B") < out.index("columns not shown at this width: ") < out.index("detectable")


def test_nothing_is_drawn_twice(medbench, runs, monkeypatch):
    first = medbench(*WORDS, "--runs", runs)

    def forbidden(*_, **__):
        raise AssertionError("computed again")

    for name in ("paired", "permutation"):
        monkeypatch.setattr(stats, name, forbidden)
    assert medbench(*WORDS, "--runs", runs) == first
    assert medbench(*WORDS[:-1], "151", "--runs", runs).status == 1, "other draws are other numbers"


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["dinov3", "sam"], "unknown model 'dinov3'", "dinov2"),
        (["dinov2/knm", "sam"], "unknown protocol of dinov2 'knm'", "knn"),
        (["dinov2", "sam", "--format", "xls"], "unknown format 'xls'", "csv"),
        (["dinov2", "sam", "--dataset", "isic"], "unknown data set 'isic'", "aptos"),
        (["dinov2", "sam", "--metric", "kapa"], "unknown metric 'kapa'", "kappa"),
        (["dinov2", "dinov2"], "dinov2 and dinov2 are the same", "another model"),
        (["dinov2/timing", "sam"], "nothing to compare", "no stored predictions of A and B"),
        (["dinov2", "sam", "--draws", "1"], "--draws 1: too few", "100 to 1,000,000"),
    ],
)
def test_mistakes(medbench, runs, words, error, hint):
    done = medbench("compare", *words, "--runs", runs)
    assert (done.status, done.out) == (2, "")
    assert f"error: {error}" in done.err
    assert hint in done.err.split("hint:")[1]


def test_nothing_run(medbench, tmp_path):
    done = medbench("compare", "dinov2", "sam", "--runs", tmp_path)
    assert done.status == 2
    assert "nothing has been run yet" in done.err


def test_one_side_alone_is_wrong_usage(medbench):
    assert medbench("compare", "dinov2").status == 2
