"""`medbench status`, `medbench ls runs` and `medbench table`, on a run store of a few records."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest

from medbench import table
from medbench.records import Record, SplitCount, Unit, pending, store
from medbench.storage import paths


def unit(seed: int = 0, **changes) -> Unit:
    values = {"model": "m", "protocol": "knn", "dataset": "toy", "preset": "paper", "weights": "official"}
    return Unit(**{**values, "seed": seed, **changes})


def finish(runs: Path, seed: int, score: float | None, **changes) -> Record:
    n = {split: SplitCount(images=4, classes={"a": 2, "b": 2}) for split in ("train", "val", "test")}
    record = Record(
        key=str(seed) * 64,
        group="f" * 64,
        unit=unit(seed, **changes),
        material={},
        metric="accuracy",
        metrics={"accuracy": score},
        metrics_val={"accuracy": score},
        n=n,
    )
    return store.write(runs, record, pd.DataFrame({"id": ["x"]}), pd.DataFrame({"epoch": [0]}))


@pytest.fixture
def runs() -> Path:
    place = paths.runs_dir()
    finish(place, 0, 0.5)
    finish(place, 1, 0.7)
    finish(place, 2, None)
    store.write_failure(place, unit(3), "3" * 64, "RuntimeError: out of memory")
    store.write_failure(place, unit(0, model="other"), "4" * 64, "ValueError: bad")
    return place


def test_status_counts_and_shows_the_errors(medbench, runs):
    rows = json.loads(medbench("status", "--json").out)
    assert [(row["model"], row["done"], row["failed"]) for row in rows] == [("m", 3, 1), ("other", 0, 1)]
    assert rows[0]["mean"] == pytest.approx(0.6), "the undefined score does not count"
    assert rows[0]["seeds"] == [0, 1, 2]
    done = medbench("status")
    assert done.status == 0
    assert "failed: toy m knn seed 3: RuntimeError: out of memory" in done.out
    assert done.err == f"3 done, 2 failed, in {runs}\n"


def test_status_shows_what_a_run_has_still_to_do(medbench, runs):
    asked = [(unit(seed), str(seed) * 64, "job") for seed in range(6)] + [(unit(0, model="new"), "a" * 64, "other")]
    with pending.noted(runs, asked):
        pending.unfinished("job").mkdir(parents=True)
        rows = json.loads(medbench("status", "--json").out)
        assert [(row["model"], row["planned"], row["begun"]) for row in rows] == [
            ("m", 3, 3), ("new", 1, 0), ("other", 0, 0),
        ]  # fmt: skip
        told = medbench("status").err
    assert told.endswith(f"\n3 done, 2 failed, 4 planned, in {runs}\n")
    assert "the same command goes on" in told
    assert "planned," not in medbench("status").err


def test_a_failure_that_was_mended_is_forgotten(medbench, runs):
    finish(runs, 3, 0.6)
    store.write_failure(runs, unit(3), "3" * 64, "an old error")
    rows = json.loads(medbench("status", "--json").out)
    assert "old error" not in json.dumps(rows)


def test_status_of_another_and_of_an_empty_store(medbench, runs, tmp_path):
    assert "nothing was run yet" in medbench("status", "--out", tmp_path / "none").err
    assert "3 done" in medbench("status", "--out", runs).err


def test_a_damaged_record_is_passed_over(medbench, runs):
    file = next(runs.glob("*/*/*/*/record.json"))
    file.write_text("{")
    done = medbench("status")
    assert done.status == 0
    assert "2 done" in done.err


def test_ls_runs(medbench, runs):
    rows = json.loads(medbench("ls", "runs", "--json", "--filter", "toy").out)
    assert sorted(row["seed"] for row in rows) == [0, 1, 2]
    assert len(medbench("ls", "runs").out.splitlines()) == 4
    assert not json.loads(medbench("ls", "runs", "--json", "--filter", "sam*").out)


def test_table_of_a_data_set(medbench, runs):
    assert "dataset/toy" in medbench("ls", "tables").out
    assert "dataset/toy" in medbench("table").out
    done = medbench("table", "dataset/toy", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(done.out))
    assert float(row["accuracy_mean"]) == pytest.approx(0.6)
    frame = table("dataset/toy")
    assert frame["accuracy_mean"].tolist() == pytest.approx([0.6])


@pytest.mark.parametrize("form", ["text", "md", "csv", "latex", "html", "json"])
def test_table_in_every_format(medbench, runs, form):
    done = medbench("table", "dataset/toy", "--format", form)
    assert done.status == 0
    assert "0.6" in done.out
    if form == "text":
        assert done.out == medbench("table", "dataset/toy").out


def test_random_weights_only_when_asked(medbench, runs):
    finish(runs, 9, 0.1, model="chance", weights="random")
    assert "chance" not in medbench("table", "dataset/toy").out
    assert "chance" in medbench("table", "dataset/toy", "--random").out


def test_a_papers_table_with_nothing_run(medbench):
    plain = medbench("table", "wacv2024/table1")
    published = medbench("table", "wacv2024/table1", "--published")
    assert (plain.status, published.status) == (0, 0)
    assert "0.881" not in plain.out
    assert len(published.out) > len(plain.out)


@pytest.mark.parametrize("words", [("wacv2024/tabel1",), ("dataset/toy",), ("dataset/nope",)])
def test_tables_that_are_not_there(medbench, words):
    done = medbench("table", *words)
    assert (done.status, done.out) == (2, "")
    assert len(done.err.splitlines()) == 2


def test_an_unknown_format(medbench, runs):
    done = medbench("table", "dataset/toy", "--format", "pdf")
    assert (done.status, done.out) == (2, "")
    assert "unknown format 'pdf'" in done.err


def test_status_marks_models_that_have_seen_the_data(medbench, runs):
    record = finish(runs, 5, 0.9, model="seen")
    path = record.path / "record.json"
    path.write_text(
        path.read_text().replace('"warnings": []', '"warnings": ["contamination: seen was pre-trained on toy"]')
    )
    rows = {row["model"]: row["seen"] for row in json.loads(medbench("status", "--json").out)}
    assert rows == {"m": False, "other": False, "seen": True}
