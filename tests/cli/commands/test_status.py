"""`medbench status` on a run store of a few SYNTHETIC records."""

from __future__ import annotations

import json

import pytest

from medbench.records import pending, store
from medbench.records.pending import Planned

from ...records.made import save, synthetic


def test_status_counts_and_shows_the_errors(medbench, runs):
    rows = json.loads(medbench("status", "--runs", runs, "--json").out)
    assert [(row["model"], row["done"], row["failed"]) for row in rows] == [("m", 3, 1), ("other", 0, 1)]
    done = medbench("status", "--runs", runs)
    assert done.status == 0
    assert "failed: toy m knn seed 3: RuntimeError: out of memory" in done.out
    assert done.err == f"3 done, 2 failed, in {runs}\n"


def test_planned_units_are_explained(medbench, runs):
    records = synthetic("new", "knn", "toy", (0, 1))
    with pending.noted(runs, [Planned(records[0].unit, (0, 1), [record.key for record in records], "job")]):
        told = medbench("status", "--runs", runs).err
    assert told.splitlines() == [
        "planned: units of running or interrupted runs; rerun the command to continue",
        f"3 done, 2 failed, 2 planned, in {runs}",
    ]
    assert "planned:" not in medbench("status", "--runs", runs).err


def test_at_80_columns_the_mean_of_each_row_is_shown(medbench, runs, monkeypatch):
    save(runs, synthetic("visionfm-ultrasound", "linear-unfrozen", "chexpert-frontal", (0, 1), split="official"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    done = medbench("status", "--runs", runs)
    assert done.width <= 80
    names = ("visionfm-ultrasound", "linear-unfrozen", "chexpert-frontal", "kappa_quadratic", "0.805")
    assert set(names) <= {*done.plain.split()}
    assert done.err.startswith("columns not shown at this width: settings, ")


@pytest.mark.parametrize("option", ["--runs", "--out"])
def test_status_of_another_store_and_of_an_empty_one(medbench, runs, tmp_path, option):
    assert "3 done" in medbench("status", option, runs).err
    assert "nothing has been run yet" in medbench("status", option, tmp_path / "none").err
    assert "nothing has been run yet" in medbench("status").err, "the default store"


def test_the_default_store_is_that_of_the_environment(medbench, runs, monkeypatch):
    monkeypatch.setenv("MEDBENCH_RUNS", str(runs))
    assert "3 done" in medbench("status").err


def test_a_damaged_record_is_ignored(medbench, runs):
    next(runs.glob("*/*/*/*/record.json")).write_text("{")
    done = medbench("status", "--runs", runs)
    assert done.status == 0
    assert "2 done" in done.err


def test_models_that_have_seen_the_data_are_marked(medbench, runs):
    save(runs, synthetic("seen", "knn", "toy", (0,), warnings=["contamination: seen was pre-trained on toy"]))
    rows = {row["model"]: row["seen"] for row in json.loads(medbench("status", "--runs", runs, "--json").out)}
    assert rows == {"m": False, "other": False, "seen": True}


def test_the_folder_of_a_failure_is_in_json(medbench, runs):
    row = json.loads(medbench("status", "--runs", runs, "--json").out)[1]
    (failure,) = row["failures"]
    assert failure["folder"] == str(next(runs.glob(f"toy/other/*/*/{store.FAILURE}")).parent)
