"""`medbench figure` and `medbench ls figures`, on SYNTHETIC records."""

from __future__ import annotations

import csv
import json

import pytest

import medbench as package
from medbench.cli import plan_text
from medbench.errors import MedbenchError

from ...records.made import save, synthetic
from ...report.figures.predictions.conftest import put
from ...report.made import make_paper_records

OWN = """
name: own
title: A card of one's own
tables:
  t:
    title: t
    source: Table 1
    heads: [Foundation]
    columns: [{dataset: aptos, metric: kappa_quadratic, title: κ}]
    rows: [{labels: [Sam], model: sam, protocol: knn, published: {aptos: [0.5]}}]
figures:
  neighbours:
    kind: bars
    title: Two models
    source: Figure 7
    seeds: 1
    width: column
    columns: 1
    panels: [{dataset: aptos, metric: kappa_quadratic, title: κ}]
    rows: [{label: Sam, model: sam, protocol: knn}, {label: Nobody, model: nobody, protocol: knn}]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    runs = tmp_path_factory.mktemp("made") / "results" / "runs"
    return runs, make_paper_records(runs, datasets=["aptos"])


def test_listed(medbench):
    done = medbench("figure")
    assert done.status == 0
    for i in range(1, 9):
        assert f"wacv2024/figure{i} " in done.out
    rows = json.loads(medbench("figure", "--json").out)
    kinds = {row["name"]: row["kind"] for row in rows}
    assert kinds["wacv2024/figureA1"] == "heatmaps"
    assert kinds["ranks/losses"] == "ranks"
    assert json.loads(medbench("ls", "figures", "--json", "--filter", "wacv2024/*").out) == [
        row for row in rows if row["name"].startswith("wacv2024/")
    ]
    assert "wacv2024/figure4" in medbench("ls", "figures", "--filter", "freezing").out


def test_a_figure_is_written_next_to_the_runs(medbench, made):
    runs, known = made
    done = medbench("figure", "wacv2024/fig2", "--runs", runs)
    assert done.status == 0, done.err
    folder = runs.parent / "figures" / "wacv2024"
    assert done.out.splitlines() == [str(folder / "figure2.png"), str(folder / "figure2.csv")]
    assert (folder / "figure2.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((folder / "figure2.csv").read_text(encoding="utf-8").splitlines()))
    found = {(row["panel"], row["x"]): row["mean"] for row in rows}
    assert float(found["aptos", "Sam"]) == known["scores"]["sam", "knn", "aptos", "{}"][0]
    assert found["ddsm", "Sam"] == ""
    assert "note: not run: 24 of 32 values" in done.err
    assert "  medbench figure wacv2024/figure2 --fill" in done.err


def test_the_figure_of_ones_own_results(medbench, runs):
    assert "dataset/toy " in medbench("figure", "--runs", runs).out
    done = medbench("figure", "dataset/toy", "--runs", runs)
    assert done.status == 0, done.err
    folder = runs.parent / "figures" / "dataset"
    assert done.out.splitlines() == [str(folder / "toy.png"), str(folder / "toy.csv")]
    (row,) = csv.DictReader((folder / "toy.csv").read_text(encoding="utf-8").splitlines())
    assert (row["panel"], row["x"], float(row["mean"])) == ("knn · paper", "m", pytest.approx(0.6))
    assert "to fill" not in done.err


def test_from_python(made, tmp_path):
    runs, known = made
    written = package.figure("wacv2024/fig2", tmp_path, "svg,png", runs=runs)
    assert written == [tmp_path / "wacv2024" / f"figure2.{suffix}" for suffix in ("svg", "png", "csv")]
    rows = list(csv.DictReader(written[-1].read_text(encoding="utf-8").splitlines()))
    found = {(row["panel"], row["x"]): row["mean"] for row in rows}
    assert float(found["aptos", "Sam"]) == known["scores"]["sam", "knn", "aptos", "{}"][0]
    assert package.figure("wacv2024/fig2", out=tmp_path / "old", runs=runs)[0].is_relative_to(tmp_path / "old")
    assert package.figure("wacv2024/fig2", runs=runs)[0] == runs.parent / "figures" / "wacv2024" / "figure2.png"
    with pytest.raises(MedbenchError, match="unknown format 'gif'"):
        package.figure("wacv2024/fig2", tmp_path, ["png", "gif"], runs=runs)


def test_formats_folder_and_reference(medbench, made, tmp_path):
    done = medbench("figure", "wacv2024/figureA1", "--runs", made[0], "--to", tmp_path, "--format", "pdf,svg")
    names = ["figureA1.csv", "figureA1.pdf", "figureA1.svg"]
    assert (done.status, sorted(p.name for p in (tmp_path / "wacv2024").iterdir())) == (0, names)
    done = medbench("figure", "wacv2024/figure3", "--runs", made[0], "--to", tmp_path, "--ref", "frozen")
    assert "note: 1 is Linear ImNet-1k-Sup of the panel Train time, frozen" in done.err


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["wacv2024/figure44"], "unknown figure 'wacv2024/figure44'", "wacv2024/figure4"),
        (["table1"], "unknown figure 'table1'", "All: medbench figure"),
        (["wacv2024/figure4", "--format", "gif"], "unknown format 'gif'", "png"),
        (["wacv2024/figure3", "--ref", "x"], "unknown reference 'x'", "same"),
        (["dataset/none"], "unknown figure 'dataset/none'", "All: medbench figure"),
        (["dataset/toy", "--fill"], "--fill: dataset/toy shows all finished runs", "medbench run"),
        (["--model", "sam"], "--model needs the name of a figure", "all names: medbench figure"),
        (["wacv2024/figure4", "--dry-run"], "--dry-run has no effect without --fill", "--fill --dry-run"),
    ],
)
def test_mistakes(medbench, tmp_path, words, error, hint):
    done = medbench("figure", *words, "--runs", tmp_path / "runs")
    assert done.status == 2
    assert f"error: {error}" in done.err
    assert hint in done.err.split("hint:")[1]
    assert not list(tmp_path.iterdir())


def test_a_new_figure_is_a_card_and_no_code(medbench, made, own_cards, tmp_path):
    (own_cards / "results/published/own.yaml").write_text(OWN)
    done = medbench("figure", "own/neighbours", "--runs", made[0], "--to", tmp_path, "--published")
    assert done.status == 0, done.err
    sam, nobody = csv.DictReader((tmp_path / "own/neighbours.csv").read_text(encoding="utf-8").splitlines())
    assert float(sam["mean"]) == made[1]["scores"]["sam", "knn", "aptos", "{}"][0]
    assert float(sam["published"]) == 0.5
    assert nobody["mean"] == ""
    assert "models nobody" in done.err


def test_fill_runs_the_missing_units_and_draws_the_figure(medbench, made, tmp_path, monkeypatch):
    asked = []

    def fill(paper, places, options, *, seeds, preset, dry_run, calibrate):
        assert calibrate is dry_run
        asked.append((paper.name, list(places), options.runs, seeds, preset, dry_run))
        return None if dry_run else (None, None)

    monkeypatch.setattr(plan_text, "fill", fill)
    monkeypatch.setattr(plan_text, "complain", lambda result: 1)
    words = ["figure", "wacv2024/fig6", "--fill", "--runs", made[0], "--to", tmp_path, "--seeds", "2"]
    done = medbench(*words, "--dry-run", "--calibrate")
    assert (done.status, done.out, list(tmp_path.iterdir())) == (0, "", [])
    done = medbench(*words)
    assert done.status == 1  # a unit failed; the others are drawn
    assert (tmp_path / "wacv2024/figure6.png").is_file()
    assert asked == [("wacv2024", ["figure6"], made[0], 2, None, dry) for dry in (True, False)]


def test_a_kind_can_be_named(medbench, tmp_path):
    runs = tmp_path / "results" / "runs"
    for shots in (1, 2):
        save(runs, synthetic("m", "few-shot", seeds=(0, 1), options={"shots": shots}))
    assert "dataset/aptos/few-shot " in medbench("figure", "--runs", runs).out
    written = tmp_path / "results" / "figures" / "dataset" / "aptos" / "few-shot"
    for words in (("dataset/aptos", "few-shot"), ("aptos/few-shot",)):
        done = medbench("figure", *words, "--runs", runs)
        assert done.status == 0, done.err
        assert done.out.splitlines() == [f"{written}.png", f"{written}.csv"]
    done = medbench("figure", "dataset/aptos", "roc-ish", "--runs", runs)
    assert done.status == 2
    assert "unknown kind of figure 'roc-ish'" in done.err


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    place = tmp_path_factory.mktemp("predicted") / "results" / "runs"
    put(place, "good", 2.0, "multiclass", weights="random")
    return place


@pytest.mark.parametrize(
    ("words", "said"),
    [(("multiclass/roc", "--class", "severe", "--random"), ""),
     (("dataset/multiclass", "interval", "--random", "--metric", "ece"), ""),
     (("dataset/multiclass", "pr"), "all runs on 'multiclass' have random weights"),
     (("dataset/multiclass", "rok"), "unknown kind of figure 'rok'"),
     (("dataset/multiclass", "roc", "--random", "--model", "toy-cnn"), "unknown model 'toy-cnn'"),
     (("dataset/multiclass", "confusion", "--metric", "ece"), "--metric: the figure 'confusion' has a fixed metric"),
     (("dataset/multiclass", "decision-curve", "--random"), "shows one class")],
)  # fmt: skip
def test_figures_of_chosen_runs(medbench, predicted, words, said):
    done = medbench("figure", *words, "--runs", predicted)
    assert (done.status != 0) == bool(said), done.err
    assert said in done.err
    if said:
        assert len(done.err.strip().splitlines()) == 2, "what is wrong, then what to do"
    else:
        assert len(done.out.splitlines()) == 2
        assert "note: † random weights" in done.err
