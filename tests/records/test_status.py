"""Which units of a run store are done, failed and planned."""

from __future__ import annotations

import pytest

from medbench.records import pending, store
from medbench.records.pending import Planned
from medbench.records.status import statuses

from .made import save, synthetic

SEEN = "contamination: seen was pre-trained on toy"


@pytest.fixture
def records():
    return synthetic("m", "knn", "toy", (0, 1, 2), values={"accuracy": [0.5, 0.7, None]})


def test_an_empty_store_has_no_rows(tmp_path):
    assert statuses(tmp_path / "none") == []


def test_a_row_counts_done_and_failed_units(tmp_path, records):
    save(tmp_path, records)
    failed = records[0].unit.model_copy(update={"seed": 3})
    store.write_failure(tmp_path, failed, "3" * 64, "RuntimeError: out of memory")
    (row,) = statuses(tmp_path)
    assert row["mean"] == pytest.approx(0.6), "the undefined score does not count"
    assert row["failures"] == [
        {"seed": 3, "error": "RuntimeError: out of memory", "folder": str(store.folder_of(tmp_path, failed, "3" * 64))}
    ]
    assert {key: value for key, value in row.items() if key not in ("mean", "failures")} == {
        "dataset": "toy",
        "model": "m",
        "protocol": "knn",
        "preset": "paper",
        "options": "",
        "settings": "paper",
        "weights": "official",
        "split": "paper",
        "data": "unknown",
        "group": records[0].group[:12],
        "precision": None,
        "done": 3,
        "failed": 1,
        "planned": 0,
        "begun": 0,
        "seeds": [0, 1, 2],
        "metric": "accuracy",
        "seen": False,
    }


def test_preset_and_weights_tell_rows_apart(tmp_path, records):
    fixed, random = (
        synthetic("m", "knn", "toy", (0,), **about) for about in ({"preset": "fixed"}, {"weights": "random"})
    )
    save(tmp_path, records + fixed + random)
    assert [(row["preset"], row["weights"], row["done"]) for row in statuses(tmp_path)] == [
        ("fixed", "official", 1),
        ("paper", "official", 3),
        ("paper", "random", 1),
    ]


def test_a_mean_is_that_of_one_row(tmp_path, records):
    """Other settings, other splits, other data and other numbers of seeds are rows of their own, as in a table."""
    others = [
        synthetic("m", "knn", "toy", (0,), values={"accuracy": [0.9]}, options={"k": 5}),
        synthetic("m", "knn", "toy", (0,), values={"accuracy": [0.8]}, split="grouped", material={"split": "g" * 64}),
        synthetic("m", "knn", "toy", (0, 1), values={"accuracy": [0.1, 0.2]}, material={"data": "d" * 64}),
    ]
    save(tmp_path, [*records, *(record for other in others for record in other)])
    failed = records[0].unit.model_copy(update={"seed": 7, "options": {"k": 9}})
    store.write_failure(tmp_path, failed, "3" * 64, "RuntimeError: out of memory")
    rows = statuses(tmp_path)
    shown = [(row["settings"], row["split"], row["data"], row["seeds"], row["mean"], row["failed"]) for row in rows]
    assert shown == [
        ("paper", "paper", "unknown", [0, 1, 2], pytest.approx(0.6), 0),
        ("paper", "paper", "d" * 8, [0, 1], pytest.approx(0.15), 0),
        ("paper", "grouped", "unknown", [0], 0.8, 0),
        ("paper; k=5", "paper", "unknown", [0], 0.9, 0),
        ("paper; k=9", None, None, [], None, 1),
    ]


def test_planned_units_are_those_that_are_not_done(tmp_path, records):
    save(tmp_path, records[:1])
    (new,) = synthetic("new", "knn", "toy", (0,))
    seeds, keys = zip(*((record.unit.seed, record.key) for record in records), strict=True)
    jobs = [Planned(records[0].unit, seeds, keys, "job"), Planned(new.unit, (0,), [new.key], "other")]
    with pending.noted(tmp_path, jobs):
        pending.unfinished("job").mkdir(parents=True)
        rows = {row["model"]: row for row in statuses(tmp_path)}
    assert {name: (row["done"], row["planned"], row["begun"]) for name, row in rows.items()} == {
        "m": (1, 2, 2),
        "new": (0, 1, 0),
    }
    assert (rows["new"]["metric"], rows["new"]["mean"], rows["new"]["seeds"]) == (None, None, [])
    assert [row["planned"] for row in statuses(tmp_path)] == [0], "the run has ended"


def test_a_failure_is_forgotten_once_the_unit_is_done(tmp_path, records):
    save(tmp_path, records)
    store.write_failure(tmp_path, records[0].unit, records[0].key, "an old error")
    (row,) = statuses(tmp_path)
    assert (row["failed"], row["failures"]) == (0, [])


def test_models_that_have_seen_the_data(tmp_path, records):
    save(tmp_path, records + synthetic("seen", "knn", "toy", (0, 1), warnings=["other", SEEN]))
    assert {row["model"]: row["seen"] for row in statuses(tmp_path)} == {"m": False, "seen": True}


def test_two_shots_come_before_ten(tmp_path):
    for shots in (10, 2, "all", 1):
        save(tmp_path, synthetic("m", "few-shot", "toy", (0,), options={"shots": shots}))
    assert [row["options"] for row in statuses(tmp_path)] == ["shots=1", "shots=2", "shots=10", "shots=all"]
