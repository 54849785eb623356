"""`medbench table` as a shell sees it."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys

import pytest

from medbench import table
from medbench.report.tables.render import FORMATS

from ...records.made import save, synthetic

TABLES = ["wacv2024/table1", "wacv2024/table2", "wacv2024/table3", "wacv2024/tableB1", "wacv2024/tableB2"]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", [*TABLES, "flair/transfer"])
def test_every_table_of_a_paper_in_every_format_with_nothing_run(medbench, name, form):
    done = medbench("table", name, "--published", "--format", form)
    assert (done.status, done.err) == (0, "")
    assert done.out == medbench("table", name, "--published", "--format", form).out
    if name == "wacv2024/table3":
        assert "0.984" in done.out
        assert "3.4" in done.out, "the printed gain"


def test_tables_are_listed_with_their_titles(medbench):
    rows = json.loads(medbench("table", "--format", "json").out)
    assert {*TABLES, "flair/transfer"} <= {row["name"] for row in rows}
    assert all(row["title"] for row in rows)


def test_csv_carries_intervals_and_gains_by_name(medbench):
    rows = list(csv.DictReader(io.StringIO(medbench("table", "wacv2024/table3", "--published", "--format", "csv").out)))
    for part in ("mean", "std", "n", "low", "high", "gain", "published", "published_gain", "difference"):
        assert f"ddsm_auroc_{part}" in rows[0]
    assert rows[0]["ddsm_auroc_published_gain"] == "3.4"


def test_another_preset_says_so(medbench):
    done = medbench("table", "wacv2024/table1", "--preset", "fixed")
    assert "preset fixed (the paper's table is preset paper)" in done.out


def test_a_papers_table_imports_nothing_heavy(isolated):
    code = (
        "import sys, medbench.cli\n"
        "status = medbench.cli.main(['table', 'wacv2024/table1', '--published'])\n"
        "heavy = [n for n in ('torch', 'pandas', 'scipy', 'sklearn', 'matplotlib') if n in sys.modules]\n"
        "sys.exit(str(heavy) if heavy else status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr


def test_a_data_sets_table_imports_no_cards(runs):
    code = (
        "import sys, medbench.cli\n"
        f"status = medbench.cli.main(['table', 'dataset/toy', '--runs', {str(runs)!r}])\n"
        "sys.exit('cards' if 'medbench.cards' in sys.modules else status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr


def test_table_of_a_data_set(medbench, runs):
    assert "dataset/toy" in medbench("table", "--runs", runs).out
    done = medbench("table", "dataset/toy", "--runs", runs, "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(done.out))
    assert float(row["accuracy_mean"]) == pytest.approx(0.6)
    assert table("dataset/toy", runs=runs)["accuracy_mean"].tolist() == pytest.approx([0.6])


@pytest.mark.parametrize("form", FORMATS)
def test_table_of_a_data_set_in_every_format(medbench, runs, form):
    done = medbench("table", "dataset/toy", "--out", runs, "--format", form)
    assert done.status == 0
    assert "0.6" in done.out
    if form == "text":
        assert done.out == medbench("table", "dataset/toy", "--runs", runs).out


def test_random_weights_only_if_asked_for(medbench, runs):
    save(runs, synthetic("chance", "knn", "toy", (9,), values={"accuracy": [0.1]}, weights="random"))
    assert "chance" not in medbench("table", "dataset/toy", "--runs", runs).out
    assert "chance" in medbench("table", "dataset/toy", "--runs", runs, "--random").out


def test_metrics_that_no_record_holds(medbench, runs):
    done = medbench("table", "dataset/toy", "--runs", runs, "--metrics", "accuracy,ece@temperature", "--format", "csv")
    assert {"accuracy_mean", "ece@temperature_mean"} < set(done.out.splitlines()[0].split(","))
    done = medbench("table", "dataset/toy", "--runs", runs, "--metrics", "ece")
    assert "no predictions are stored with the records" in done.out
    assert "sensitivity@youden" in medbench("table", "dataset/toy", "--runs", runs, "--per-class").out
    for wrong in ("sensitvity", "ece:tall", "sensitivity@best", "net_benefit"):
        done = medbench("table", "dataset/toy", "--runs", runs, "--metrics", wrong)
        assert done.status == 2
        assert len(done.err.splitlines()) == 2


def test_a_papers_table_with_nothing_run(medbench):
    plain = medbench("table", "wacv2024/table1")
    published = medbench("table", "wacv2024/table1", "--published")
    assert (plain.status, published.status) == (0, 0)
    assert "0.881" not in plain.out
    assert len(published.out) > len(plain.out)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["wacv2024/tabel1"], "unknown table 'wacv2024/tabel1'"),
        (["dataset/toy"], "nothing has been run"),
        (["dataset/nope"], "unknown table 'dataset/nope'"),
        (["dataset/toy", "--format", "pdf"], "unknown format 'pdf'"),
        (["wacv2024/table1", "--per-class"], "'wacv2024/table1' has no table of classes"),
        (["wacv2024/table1", "--dry-run"], "--dry-run has no effect without --fill"),
        (["--fill"], "--fill needs the name of a table"),
        (["--by", "sex"], "--by needs the name of a table"),
        (["--metrics", "ece", "--random"], "--metrics, --random need the name of a table"),
        (["dataset/toy", "--labels", "toy"], "--labels has no effect without --by"),
        (["dataset/toy", "--min-group", "5"], "--min-group has no effect without --by"),
        (["dataset/toy", "--fill"], "--fill: dataset/toy shows all finished runs"),
        (["wacv2024/tabel1", "--fill"], "unknown table 'wacv2024/tabel1'"),
    ],
)
def test_mistakes(medbench, words, error):
    done = medbench("table", *words)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"error: {error}")
    assert len(done.err.splitlines()) == 2


def test_subgroups_of_old_records_come_from_the_labels(medbench, monkeypatch):
    assert medbench("run", "--model", "toy-cnn", "--protocol", "knn", "--dataset", "toy", "--set", "k=auto").status == 0
    asked = ("table", "dataset/toy", "--random", "--by", "sex,age:40:60", "--min-group", "10", "--format", "csv")
    new = medbench(*asked)
    assert new.status == 0, new.err
    rows = list(csv.DictReader(io.StringIO(new.out)))
    assert [row["group"] for row in rows] == ["F", "M", "gap", "<40", "40 to <60", "≥60", "gap"]
    assert medbench(*asked, "--labels", "toy").out == new.out, "from the labels, as for records of earlier versions"
    monkeypatch.setattr("medbench.data.load.find_source", lambda *_: pytest.fail("the labels were read"))
    assert medbench(*asked).out == new.out, "from the texts next to the predictions"
    frame = table("dataset/toy", include_random=True, by="sex,age:40:60", min_group=10)
    assert frame["kappa_quadratic_p"].notna().sum() == 2
