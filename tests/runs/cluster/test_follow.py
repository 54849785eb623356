"""What became of submitted tasks, from a run store of SYNTHETIC records and a queue that is made up."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from medbench.errors import MedbenchError
from medbench.records import Record, store
from medbench.records.submitted import DONE, FAILED, PLAN, Submission, SubmittedTask, note
from medbench.runs.cluster import follow
from medbench.runs.cluster.engines import squeue

from ...records.made import save, synthetic


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def submitted(runs: Path, name: str, tasks: dict[str, list[Record]]) -> Submission:
    """Note a submission of tasks `STAGE-NUMBER` -> the records of their units; their jobs are 1_0, 1_1, …"""
    made = tuple(
        SubmittedTask(task.rpartition("-")[0], int(task[-1]), f"{name}_{at}", tuple((r.unit, r.key) for r in records))
        for at, (task, records) in enumerate(tasks.items())
    )
    one = Submission(name, "slurm", runs / ".submitted" / name, runs / "logs" / name, "medbench run", made)
    note(runs, one)
    return one


def said(one: Submission, at: int, *lines: str) -> None:
    log = one.log(one.tasks[at])
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("".join(f"2026-11-28 15:00:00 {line}\n" for line in lines))


def found(runs: Path) -> dict[str, tuple[str, str, int, int]]:
    return {one.job: (one.state, one.why, one.done, one.units) for one in follow.states(runs)}


def test_the_run_store_and_the_queue_tell_together(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    r = synthetic(seeds=range(7))
    one = submitted(runs, "1", {
        "prepare-0": [], "features-0": [], "features-1": [], "heads-0": r[:1], "heads-1": r[1:3], "train-0": r[3:4],
        "train-1": r[4:5], "train-2": r[5:6], "train-3": r[6:], "tables-0": [],
    })  # fmt: skip
    said(one, 0, "begins", DONE)
    said(one, 1, "error: features 0: no weights", "hint: share them", FAILED)
    said(one, 8, "begins", "epoch 3")
    save(runs, r[:2])
    store.write_failure(runs, r[5].unit, r[5].key, "Traceback\n  in f\nValueError: bad")
    monkeypatch.setattr(squeue, "queue", lambda: {
        "1_2": ("FAILED", "node7"), "1_3": ("COMPLETED", "node7"), "1_4": ("RUNNING", "node7"),
        "1_5": ("PENDING", "Priority"), "1_6": ("CANCELLED", "node2"), "1_9": ("PENDING", "Dependency"),
    })  # fmt: skip
    monkeypatch.setattr(squeue, "ended", lambda job: "OUT_OF_MEMORY, 0:9, node3" if job == "1_8" else "")
    states = found(runs)
    assert {job: state[0] for job, state in states.items()} == {
        "1_0": "done", "1_1": "failed", "1_2": "lost", "1_3": "done", "1_4": "running", "1_5": "queued", "1_6": "lost",
        "1_7": "failed", "1_8": "lost", "1_9": "queued",
    }  # fmt: skip
    assert states["1_1"][1] == "2026-11-28 15:00:00 error: features 0: no weights"
    assert states["1_4"] == ("running", "node7", 1, 2)
    assert states["1_5"][1] == "Priority"
    assert states["1_6"][1] == "CANCELLED, node2"
    assert states["1_7"][1] == "ValueError: bad"
    assert states["1_8"][1].startswith("OUT_OF_MEMORY, 0:9, node3; 2026-11-28 15:00:00 begins; ")


def test_a_unit_that_was_submitted_again_is_its_last_tasks(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    r = synthetic(seeds=range(3))
    submitted(runs, "1", {"prepare-0": [], "heads-0": r[:2], "heads-1": r[2:]})
    submitted(runs, "2", {"heads-0": r[:2]})
    monkeypatch.setattr(squeue, "queue", lambda: {"2_0": ("PENDING", "Priority")})
    assert {job: state[0] for job, state in found(runs).items()} == {"1_0": "lost", "1_2": "lost", "2_0": "queued"}
    submitted(runs, "3", {"heads-0": r[2:]})
    assert list(found(runs)) == ["2_0", "3_0"], "nothing of the first one is left"


def test_a_task_in_the_queue_is_shown_though_its_units_were_submitted_again(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = synthetic(seeds=range(3))
    submitted(runs, "1", {"prepare-0": [], "heads-0": r[:2]})
    submitted(runs, "2", {"prepare-0": [], "heads-0": r[:2]})
    submitted(runs, "3", {"prepare-0": []})
    queue = {"1_1": ("PENDING", "Priority"), "3_0": ("RUNNING", "node7")}
    monkeypatch.setattr(squeue, "queue", lambda: queue)
    assert {job: (state, units) for job, (state, _, _, units) in found(runs).items()} == {
        "1_1": ("queued", 2), "2_0": ("lost", 0), "2_1": ("lost", 2), "3_0": ("running", 0),
    }  # fmt: skip
    queue.clear()
    assert list(found(runs)) == ["2_0", "2_1"]
    assert {one.job: one.state for one in follow.states(runs, ["1", "3"])} == dict.fromkeys(
        ["1_0", "1_1", "2_0", "2_1", "3_0"], "lost"
    ), "who waits for a submission sees all its tasks to the end"


def test_two_cards_of_one_network_have_each_their_own_units(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (one,), (other,) = synthetic("vit", seeds=(0,)), synthetic("clip", seeds=(0,))
    submitted(runs, "1", {"heads-0": [one]})
    submitted(runs, "2", {"heads-0": [other.model_copy(update={"key": one.key})]})
    monkeypatch.setattr(squeue, "queue", dict)
    assert list(found(runs)) == ["1_0", "2_0"]


def test_an_error_from_before_the_submission_is_not_that_of_its_task(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (r,) = synthetic(seeds=(0,))
    monkeypatch.setattr(squeue, "queue", dict)
    monkeypatch.setattr(squeue, "ended", lambda _: "")
    one = submitted(runs, "1", {"heads-0": [r]})
    store.write_failure(runs, r.unit, r.key, "ValueError: old")
    old = store.folder_of(runs, r.unit, r.key) / store.FAILURE
    one.folder.mkdir()
    (one.folder / PLAN).write_text("{}")
    os.utime(one.folder / PLAN, ns=(0, old.stat().st_mtime_ns + 1))
    assert found(runs)["1_0"][:2] == ("lost", "no longer in the queue")
    os.utime(one.folder / PLAN, ns=(0, old.stat().st_mtime_ns))
    assert found(runs)["1_0"][:2] == ("failed", "ValueError: old")


def test_a_failure_of_which_nothing_was_said(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (r,) = synthetic(seeds=(0,))
    monkeypatch.setattr(squeue, "queue", dict)
    said(submitted(runs, "1", {"prepare-0": [], "heads-0": [r]}), 0, FAILED)
    store.write_failure(runs, r.unit, r.key, "")
    assert {job: state[:2] for job, state in found(runs).items()} == dict.fromkeys(["1_0", "1_1"], ("failed", ""))


def test_without_a_queue_nothing_is_called_lost(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submitted(runs, "1", {"heads-0": synthetic(seeds=(0,))})
    monkeypatch.setattr(squeue, "queue", lambda: None)
    assert found(runs)["1_0"][:2] == ("unknown", "squeue does not answer on this machine")


def test_commands_show_print_and_cancel(runs: Path, monkeypatch: pytest.MonkeyPatch, medbench) -> None:
    r = synthetic("vit", "knn", "toy", seeds=range(2))
    one = submitted(runs, "12", {"heads-0": r[:1], "heads-1": r[1:]})
    said(one, 0, "begins on node3", "epoch 7")
    printed = one.printed(one.tasks[0])
    printed.parent.mkdir(parents=True)
    printed.write_text("slurmstepd: error: Detected 1 oom_kill event\n")
    queue, ended = {"12_1": ("PENDING", "Priority")}, []
    monkeypatch.setattr(squeue, "queue", lambda **_: queue)
    monkeypatch.setattr(squeue, "cancel", ended.extend)
    shown = medbench("status", "--jobs", "--runs", runs)
    assert [line.split()[1:4] for line in shown.out.splitlines()[1:]] == [
        ["heads-0", "12_0", "lost"], ["heads-1", "12_1", "queued"],
    ]  # fmt: skip
    assert shown.err.splitlines()[0] == f"tasks: 1 lost, 1 queued, in {runs}"
    assert [row["state"] for row in json.loads(medbench("status", "--jobs", "--runs", runs, "--json").out)] == [
        "lost", "queued",
    ]  # fmt: skip
    for what in ("12_0", "12", "toy/vit/knn", f"toy/vit/knn/{r[0].key[:12]}"):
        told = medbench("logs", what, "--runs", runs).out
        assert "epoch 7" in told
        assert "oom_kill" in told
    odd = medbench("logs", "13", "--runs", runs)
    assert (odd.status, odd.err.splitlines()[0]) == (2, "error: unknown submitted job or unit '13'")
    assert medbench("cancel", "--runs", runs).out == "1 tasks cancelled: 12_1\n"
    assert ended == ["12_1"]
    assert "unknown submission '99'" in medbench("cancel", "99", "--runs", runs).err
    queue.clear()
    assert "you have no running or waiting task of 12" in medbench("cancel", "12", "--runs", runs).err


def test_nothing_is_cancelled_where_there_is_no_slurm(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submitted(runs, "1", {"heads-0": synthetic(seeds=(0,))})
    monkeypatch.setattr(squeue, "queue", lambda **_: None)
    with pytest.raises(MedbenchError, match="squeue does not answer"):
        follow.cancel(runs, None)
