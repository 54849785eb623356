"""A task that starts again and again without saving anything is ended, and its units say why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medbench.errors import MedbenchError
from medbench.records import pending, store
from medbench.records.submitted import Submission, SubmittedTask
from medbench.records.submitted import note as note_submission
from medbench.runs.cluster import lives
from medbench.runs.jobs import Options, Plan
from medbench.runs.plan import make_plan
from medbench.storage import paths


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    runs = tmp_path / "runs"
    made = make_plan("toy-vit", "linear-unfrozen", "toy", Options(seeds=2, device="cpu", runs=runs))
    task = SubmittedTask("train", 0, "7", tuple(made.jobs[0].all_units))
    note_submission(runs, Submission("1", "slurm", folder_of(made), runs / "logs" / "1", "", (task,)))
    return made


def folder_of(plan: Plan) -> Path:
    return plan.options.runs / ".submitted" / "1"


def live(plan: Plan, life: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", str(life - 1))
    lives.begin(folder_of(plan), "train", 0, plan.jobs)


def checkpoint(plan: Plan, text: str) -> None:
    file = pending.unfinished(plan.jobs[0].partial) / "state.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def prepared(name: str) -> None:
    file = paths.home() / "prepared" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("")


def features(name: str) -> None:
    file = paths.home() / "features" / "toy" / "toy-vit" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("")


def test_three_lives_that_save_nothing_are_the_last(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    for life in (1, 2, 3):
        live(plan, life, monkeypatch)
    with pytest.raises(MedbenchError, match="train 0: its last 3 starts saved no progress"):
        live(plan, 4, monkeypatch)
    told = [error for _, error in store.failures_of(plan.jobs[0].folders())]
    assert told == ["train 0: its last 3 starts saved no progress"] * 2
    live(plan, 1, monkeypatch)  # submitted again: counted anew
    (file,) = (plan.options.runs / ".submitted").rglob("train-0.json")
    assert json.loads(file.read_text())["idle"] == 0


@pytest.mark.parametrize(
    ("begun", "new"),
    [
        (lambda plan: checkpoint(plan, "3 steps"), lambda plan: checkpoint(plan, "13 steps")),
        (lambda plan: None, lambda plan: features(".k.1-2.x.parts/part-0-8-abc.npy")),
        (lambda plan: None, lambda plan: features("k/manifest.json")),
        (lambda plan: None, lambda plan: prepared("toy-0123456789ab/images.npy")),
        (lambda plan: None, lambda plan: prepared("toyland-0123456789ab/images.npy")),
        (lambda plan: None, lambda plan: store.write_failure(plan.options.runs, *plan.jobs[0].units[0], "")),
    ],
    ids=["checkpoint", "part of features", "features", "images", "nothing of its own images", "nothing but a failure"],
)
def test_whatever_is_saved_counts(begun, new, plan: Plan, monkeypatch: pytest.MonkeyPatch, request) -> None:
    begun(plan)
    for life in (1, 2, 3):
        live(plan, life, monkeypatch)
    new(plan)
    if "nothing" in request.node.name:
        with pytest.raises(MedbenchError):
            live(plan, 4, monkeypatch)
        return
    for life in (4, 5, 6):
        live(plan, life, monkeypatch)
    with pytest.raises(MedbenchError, match="its last 3 starts saved"):
        live(plan, 7, monkeypatch)


def test_the_same_parts_in_a_new_folder_are_nothing_new(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    for life in (1, 2, 3):
        features(f".k.1-{life}.x.parts/part-0-8-abc.npy")
        live(plan, life, monkeypatch)
    features(".k.1-4.x.parts/part-0-8-abc.npy")
    with pytest.raises(MedbenchError):
        live(plan, 4, monkeypatch)


def test_lives_that_end_before_their_work_begins_count(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    live(plan, 1, monkeypatch)
    checkpoint(plan, "3 steps")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "3")
    lives.check(folder_of(plan), "train", 0)  # lives 2 and 3 did not reach their work
    live(plan, 4, monkeypatch)
    checkpoint(plan, "40 steps")
    live(plan, 6, monkeypatch)  # 5 did not get as far
    live(plan, 7, monkeypatch)  # 6 saved nothing
    with pytest.raises(MedbenchError, match="its last 3 starts saved"):
        live(plan, 8, monkeypatch)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "10")
    with pytest.raises(MedbenchError, match="its last 3 starts saved"):
        lives.check(folder_of(plan), "train", 0)
    assert len(list(store.failures(plan.options.runs))) == 2
    with pytest.raises(MedbenchError, match="train 1: its last 10 starts saved"):
        lives.check(folder_of(plan), "train", 1)  # none ever began


def test_lives_are_slurms_alone(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID")
    for _ in range(5):
        live(plan, 9, monkeypatch)
        lives.check(folder_of(plan), "train", 0)
    assert not list(folder_of(plan).rglob("*.json"))
