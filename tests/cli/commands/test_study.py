"""Studies as a shell sees them: listed, checked, run, and shown as a table and a diagram. All results SYNTHETIC."""

from __future__ import annotations

import json

import pytest

from ...records.made import save, synthetic

STUDY = """
name: mine
title: Two models
protocol: linear-frozen
entrants: [{model: dino}, {model: dinov2}]
data: [{dataset: aptos}, {dataset: ddsm}]
seeds: 2
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a study, of which all but one cell was run."""
    (tmp_path / "results/studies").mkdir(parents=True)
    (tmp_path / "results/studies/mine.yaml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDBENCH_RUNS", "results/runs")
    for model, score in (("dino", 0.7), ("dinov2", 0.8)):
        for dataset, metric in (("aptos", "kappa_quadratic"), ("ddsm", "auroc")):
            if (model, dataset) != ("dino", "ddsm"):
                values = {metric: [score, score + 0.02]}
                save(tmp_path / "results/runs", synthetic(model, dataset=dataset, values=values, seeds=(0, 1)))
    return tmp_path


def test_the_card_is_listed_shown_and_valid(medbench, project):
    rows = json.loads(medbench("ls", "studies", "--json").out)
    assert {"mine", "losses"} <= {row["name"] for row in rows}
    assert "study mine" in medbench("show", "mine").out
    assert "valid study card" in medbench("validate", "results/studies/mine.yaml").out
    assert "entrants: list of mappings" in medbench("show", "card", "study").out
    assert "ranks/mine" in medbench("ls", "tables").out
    assert "ranks/mine" in medbench("ls", "figures").out


def test_what_is_missing_is_planned(medbench, project):
    for words in (("run", "--study", "mine"), ("table", "ranks/mine", "--fill"), ("figure", "ranks/mine", "--fill")):
        done = medbench(*words, "--dry-run")
        assert (done.status, done.err) == (0, "")
        assert done.out.startswith("3 cells done, 0 to run, 1 cannot run now")
        assert "dino · linear-frozen · ddsm" in done.out
    assert "1 cells done, 0 to run, 0" in medbench("run", "--study", "mine", "--model", "dinov2", "--dataset",
                                                    "ddsm", "--dry-run").out  # fmt: skip


def test_table_and_diagram_once_all_is_run(medbench, project):
    done = medbench("table", "ranks/mine")
    assert (done.status, done.err) == (0, "")
    assert "no ranks yet" in done.out
    assert medbench("figure", "ranks/mine").status == 2
    save(project / "results/runs", synthetic("dino", dataset="ddsm", values={"auroc": [0.6, 0.7]}, seeds=(0, 1)))
    table = json.loads(medbench("table", "ranks/mine", "--format", "json").out)
    ranks = {row["heads"]["entrant"]: row["cells"]["mean_rank"]["value"] for row in table["rows"]}
    assert ranks == {"dinov2": 1.0, "dino": 2.0}
    drawn = medbench("figure", "ranks/mine", "--format", "svg")
    assert drawn.status == 0
    assert (project / "results/figures/ranks/mine.svg").is_file()
    assert (project / "results/figures/ranks/mine.csv").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "--study", "mine", "--paper", "flair"), "--paper and --study cannot be combined"),
        (("run", "--study", "mine", "--folds", "3"), "--folds and --study cannot be combined: the study's card"),
        (("run", "--study", "nime"), "unknown study 'nime'"),
        (("table", "ranks/nime"), "unknown table 'ranks/nime'"),
        (("figure", "ranks/nime"), "unknown study 'nime'"),
    ],
)
def test_mistakes_end_in_two_lines(medbench, project, words, message):
    done = medbench(*words)
    assert done.status == 2
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 2
