"""`medbench work`: one task; what fails in it is told in its log, and the next try goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medbench.cli.cluster import work
from medbench.errors import MedbenchError
from medbench.protocols import dino_pretrain
from medbench.records import store
from medbench.records.submitted import DONE, FAILED, Submission, SubmittedTask, last_lines, log_of, note
from medbench.report.tables import dataset_table
from medbench.runs.cluster import frozen
from medbench.runs.cluster.engines import squeue

from ...records.made import synthetic
from ...runs.cluster.conftest import World, apart, prepared, same_as_single, world  # noqa: F401 - fixtures


@pytest.mark.cluster
def test_a_unit_that_fails_in_the_middle_stops_only_what_needs_it(
    world: World,  # noqa: F811
    apart: Path,  # noqa: F811
    medbench: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = "toy-vit,toy-vit@tiny-dino"
    lines = medbench(*world.words(models, "knn", apart, "--on", "commands")).out.splitlines()
    tasks = [line.split()[-3:] for line in lines]
    assert [stage for _, stage, _ in tasks] == ["prepare", "features", "heads", "train", "features-2", "heads-2"]

    def broken(_: object) -> None:
        raise RuntimeError("the node's memory is full")

    with monkeypatch.context() as patch:
        patch.setattr(dino_pretrain, "run", broken)
        assert [medbench("work", *task).status for task in tasks] == [0, 0, 0, 1, 1, 2]
    logs = apart / "logs" / Path(tasks[0][0]).name
    assert last_lines(logs / "heads-0.txt", 1)[0].endswith(DONE)
    told = last_lines(logs / "train-0.txt", 3)
    assert "failed: toy-vit · tiny-dino · pictures-labels: RuntimeError: the node's memory is full" in told[0]
    assert told[-1].endswith(FAILED)
    assert "which toy-vit · tiny-dino · pictures-labels did not write" in (logs / "heads-2-0.txt").read_text()
    assert same_as_single(world, apart) == 1
    assert [medbench("work", *task).status for task in tasks] == [0] * 6
    assert same_as_single(world, apart) == 3
    assert medbench("work", tasks[0][0], "tables").status == 0
    assert (apart.parent / "tables" / "pictures-labels.md").is_file()
    assert last_lines(logs / "tables-0.txt", 1)[0].endswith(DONE)


def test_a_data_set_without_records_leaves_the_tables_of_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wrote: list[str] = []

    def write(_: Path, __: Path, name: str) -> None:
        if name == "a":
            raise MedbenchError("nothing has been run on 'a' yet", "run it")
        wrote.append(name)

    jobs = [SimpleNamespace(dataset=SimpleNamespace(card=SimpleNamespace(name=name))) for name in "aba"]
    plan = SimpleNamespace(jobs=jobs, options=SimpleNamespace(runs=tmp_path))
    monkeypatch.setattr(frozen, "thaw", lambda _: plan)
    monkeypatch.setattr(dataset_table, "write_dataset_tables", write)
    result = work.tables(tmp_path)
    assert wrote == ["b"]
    assert [(name, error.message) for name, error in result.mistakes] == [
        ("tables a", "nothing has been run on 'a' yet")
    ]


def test_a_task_that_there_is_not(
    prepared: World,  # noqa: F811
    apart: Path,  # noqa: F811
    medbench: Callable[..., Any],
) -> None:
    folder = medbench(*prepared.words("toy-vit", "knn", apart, "--on", "commands")).out.split()[-3]
    for words, said in (
        ((folder, "heads", "1"), "heads has no task 1"),
        ((folder, "head", "0"), "unknown stage 'head'"),
        ((folder, "heads"), "no task number is given, and no environment variable of a scheduler has it"),
        ((apart, "heads", "0"), "contains no tasks"),
    ):
        done = medbench("work", *words)
        assert done.status == 2
        assert said in done.err
        assert len(done.err.splitlines()) == 2
    assert not (apart / "logs").exists()


@pytest.mark.parametrize(
    ("variable", "number"),
    [("SLURM_ARRAY_TASK_ID", 5), ("PBS_ARRAY_INDEX", 5), ("LSB_JOBINDEX", 4), ("JOB_COMPLETION_INDEX", 5)],
)
def test_the_schedulers_variable_tells_the_number(variable: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, _ in work.INDICES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "5")
    assert work._index() == number
    monkeypatch.setenv(variable, "")
    with pytest.raises(MedbenchError):
        work._index()


@pytest.mark.parametrize(
    ("number", "state", "asked"),
    [
        (signal.SIGUSR2, None, 1),
        (signal.SIGTERM, None, 0),
        (signal.SIGTERM, "RUNNING", 1),  # Slurm takes the node away
        (signal.SIGTERM, "COMPLETING", 0),  # cancelled
        (None, "RUNNING", 0),
    ],
)
def test_a_task_whose_time_is_up_asks_to_be_queued_again(
    number: int | None, state: str | None, asked: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if state is not None:
        monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr(squeue, "state", lambda job: state if job == "7" else "")
    times: list[int] = []

    def told(*_: object) -> int:
        if number is not None:
            os.kill(os.getpid(), number)
        return 0

    monkeypatch.setattr(work, "task", told)
    before = signal.signal(signal.SIGUSR2, lambda number, _: times.append(number))
    try:
        worker = work.Worker(tmp_path, "train", 0)
        assert worker() == (0 if number is None else 128 + number)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert times == [signal.SIGUSR2] * asked
    assert worker.checkpoint().function is worker, "the same again: all state is in files"


def test_a_task_that_reached_its_limit_too_often_is_noted_as_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from submitit.core.utils import UncompletedJobError

    (record,) = synthetic(seeds=[0])
    folder = tmp_path / "runs" / ".submitted" / "1"
    task = SubmittedTask("heads", 0, "7", ((record.unit, record.key),))
    note(tmp_path / "runs", Submission("1", "slurm", folder, tmp_path, "", (task,)))

    def refused(*_: object) -> None:
        raise UncompletedJobError("timed-out too many times")

    monkeypatch.setattr(work, "task", lambda *_: os.kill(os.getpid(), signal.SIGUSR2))
    before = signal.signal(signal.SIGUSR2, refused)
    try:
        assert work.Worker(folder, "heads", 0)() == 128 + signal.SIGUSR2
    finally:
        signal.signal(signal.SIGUSR2, before)
    ((_, unit, error),) = store.failures(tmp_path / "runs")
    assert (unit, error) == (
        record.unit,
        "heads 0: reached its time limit more often than `requeues` in the site file allows",
    )
    told = last_lines(log_of(folder, "heads", 0), 3)
    assert [line.split()[2] for line in told] == ["error:", "hint:", "task"]


def test_a_worker_tells_a_mistake_and_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "runs" / ".submitted" / "none"
    assert work.Worker(folder, "train", 0)() == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert last_lines(log_of(folder, "train", 0), 1)[0].endswith(FAILED)
