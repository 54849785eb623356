"""What is submitted: what is neither done nor queued, on a plan of the workers' machine."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from medbench.errors import MedbenchError
from medbench.progress import Stopped, steps, stoppable
from medbench.records import store
from medbench.records.listing import Listing
from medbench.records.submitted import submissions
from medbench.runs.cluster import submit
from medbench.runs.cluster.engines import slurm, squeue
from medbench.runs.cluster.site import EXAMPLE, Resources, Site
from medbench.runs.cluster.stages import Stage, Task
from medbench.runs.jobs import Options, Plan
from medbench.runs.plan import make_plan
from medbench.storage import files

ASKED = squeue.queue
SITE = Site.model_validate({"name": "lab", **yaml.safe_load(EXAMPLE)})


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[str, str]]:
    """Let submitted tasks wait in a queue that is made up; arrays are numbered from 1."""
    tasks: dict[str, tuple[str, str]] = {}

    def submitted(stage: Any, *_: Any) -> list[str]:
        array = 1 + len({name.partition("_")[0] for name in tasks})
        names = [f"{array}_{number}" for number in range(len(stage.tasks))]
        tasks.update(dict.fromkeys(names, ("PENDING", "Priority")))
        return names

    monkeypatch.setattr(slurm, "submit", submitted)
    monkeypatch.setattr(squeue, "queue", lambda: tasks)
    return tasks


def planned(protocols: str = "knn,linear-unfrozen", **options: Any) -> Plan:
    options = {"seeds": 2, **options}
    return make_plan("toy-vit", protocols, "toy", submit.for_site(Options(**options), SITE))


def send(plan: Plan) -> Any:
    made = submit.prepare(plan, [], "cuda", 20.0)
    return submit.to_slurm(made, SITE, "medbench run …", lambda stage, number: lambda: 0)


def test_the_plan_is_that_of_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    (here,) = make_plan("toy-vit", "linear-unfrozen", "toy", Options(device="cpu", seeds=1)).jobs
    (there,) = planned("linear-unfrozen", seeds=1).jobs
    assert (here.precision, there.precision) == ("fp32", "bf16")
    assert here.group != there.group
    (same,) = make_plan(
        "toy-vit", "linear-unfrozen", "toy", submit.for_site(Options(precision="fp32", seeds=1), SITE)
    ).jobs
    assert same.group == here.group


def test_only_what_is_neither_done_nor_queued_is_submitted(queue: dict) -> None:
    first = send(planned())
    assert len(queue) == 5, "prepare, features, heads, train, tables"
    units = {key for task in first.tasks for _, key in task.units}
    assert len(units) == 3
    with pytest.raises(MedbenchError, match="the 3 unfinished units are already queued"):
        send(planned())
    more = submit.prepare(planned(seeds=3), [], "cuda", 20.0)
    assert [stage.name for stage in more.stages] == ["prepare", "train"]
    assert more.queued == 1, "knn's; the task of the third seed has the other two as well"
    queue.clear()  # all of it is lost
    assert {key for task in send(planned()).tasks for _, key in task.units} == units
    plan = planned()
    for job in plan.jobs:
        for unit, key in job.units:
            files.write_json(store.folder_of(plan.options.runs, unit, key) / store.RECORD, {})
    with pytest.raises(MedbenchError, match="nothing to submit: all units are done"):
        send(planned())


def test_another_card_of_the_same_network_is_not_queued(queue: dict) -> None:
    options = submit.for_site(Options(seeds=1), SITE)
    plan = make_plan("toy-vit", "knn", "toy", options)
    send(plan)
    (job,) = plan.jobs
    other = dataclasses.replace(job, model=job.model.model_copy(update={"name": "toy-other"}))
    assert other.keys == job.keys
    assert not submit.queued(options.runs).issuperset(submit.missing(other, Listing(options.runs)))
    assert submit.queued(options.runs).issuperset(submit.missing(job, Listing(options.runs)))


def test_nothing_is_submitted_while_squeue_does_not_answer(
    queue: dict, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plan = planned()
    send(plan)
    (tmp_path / "squeue").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setattr(squeue, "queue", ASKED)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(MedbenchError, match="squeue does not answer"):
        submit.prepare(plan, [], "cuda", 20.0)
    with pytest.raises(MedbenchError, match="squeue does not answer"):
        submit.alive(plan.options.runs)
    for job in plan.jobs:
        for unit, key in job.units:
            files.write_json(store.folder_of(plan.options.runs, unit, key) / store.RECORD, {})
    assert submit.queued(plan.options.runs) == set(), "all is done: there is nothing to ask squeue"


@pytest.mark.parametrize("overwrite", ["always", "never"])
def test_only_what_is_missing_goes_to_a_cluster(overwrite: Any) -> None:
    with pytest.raises(MedbenchError, match=f"--overwrite {overwrite} does not work with --on"):
        submit.prepare(planned(overwrite=overwrite), [], "cuda", 20.0)


def test_a_task_finds_its_plan_from_any_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    made = submit.prepare(planned(runs=Path("here")), [], "cuda", 20.0)
    assert made.folder.parent == tmp_path / "here" / ".submitted"


def test_a_job_that_keeps_more_stands_for_the_one_that_others_need() -> None:
    plan = make_plan("toy-vit", "cka,linear-unfrozen", "toy", Options(seeds=3, keep_weights=True))
    assert [job.protocol.name for job in plan.jobs if job.needs] == ["cka"]
    trained = [job for job in submit.with_needs(plan.jobs[::-1]) if job.protocol.name == "linear-unfrozen"]
    assert [job.keep for job in trained] == [(0, 1, 2)]


def test_what_slurm_refuses_whole_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> list[str]:
        raise MedbenchError("Slurm refuses the jobs: Invalid account", "fix the site file")

    monkeypatch.setattr(slurm, "submit", refused)
    plan = planned()
    with pytest.raises(MedbenchError, match="Invalid account"):
        send(plan)
    assert not list((plan.options.runs / ".submitted").iterdir())


def test_what_slurm_refuses_later_leaves_what_is_queued_and_says_so(queue: dict, monkeypatch: Any) -> None:
    plain = slurm.submit

    def full(stage: Any, *more: Any) -> list[str]:
        if stage.name == "heads":
            raise MedbenchError("Slurm refuses the jobs: the queue is full", "wait")
        return plain(stage, *more)

    monkeypatch.setattr(slurm, "submit", full)
    plan = planned()
    with pytest.raises(MedbenchError, match="heads: Slurm refuses the jobs: the queue is full; the 2 tasks before it"):
        send(plan)
    (noted,) = submissions(plan.options.runs)
    assert [task.stage for task in noted.tasks] == ["prepare", "features"]
    monkeypatch.setattr(slurm, "submit", plain)
    assert {task.stage for task in send(plan).tasks} >= {"heads", "train"}, "run the same command to submit the rest"


def test_a_stage_is_submitted_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def submitted(_: Any, calls: list[Any]) -> list[str]:
        if len(calls) == 1:
            raise MedbenchError("Slurm refuses the jobs: the queue is full", "wait")
        return ["1_0", "1_1"]

    ended: list[str] = []
    monkeypatch.setattr(slurm, "_executor", lambda *_: None)
    monkeypatch.setattr(slurm, "_submitted", submitted)
    monkeypatch.setattr(slurm, "longest_array", lambda: 2)
    monkeypatch.setattr(slurm, "cancel", ended.extend)
    stage = Stage("train", "train", (Task((0,), "toy-vit", 1.0),) * 3, ())
    with pytest.raises(MedbenchError, match="the queue is full"):
        slurm.submit(stage, SITE, [], tmp_path, "1", lambda stage, number: lambda: 0)
    assert ended == ["1_0", "1_1"]


def test_a_partition_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr(slurm, "told", lambda *_: "cpu\ngpu\nlong\n")
    slurm.check(SITE)
    train = {"*-giant": {"train": Resources(partition="gpu,gpus")}}
    with pytest.raises(MedbenchError, match="unknown partition of this cluster 'gpus'"):
        slurm.check(SITE.model_copy(update={"models": train}))
    monkeypatch.setattr(slurm, "told", lambda *_: None)
    slurm.check(SITE)  # sinfo does not answer: sbatch will


def test_ctrl_c_while_submitting_ends_after_the_stage_and_notes_it(
    queue: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import signal

    plain = slurm.submit

    def interrupted(*arguments: Any) -> list[str]:
        if len(queue) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(*arguments)

    monkeypatch.setattr(slurm, "submit", interrupted)
    plan = planned()
    with stoppable(), pytest.raises(Stopped):
        send(plan)
    (noted,) = submissions(plan.options.runs)
    assert [task.job for task in noted.tasks] == list(queue) == ["1_0", "2_0"]


def test_ctrl_c_does_not_reach_sbatch() -> None:
    import os
    import signal
    import subprocess

    pytest.importorskip("submitit")
    told: list[str] = []

    class Executor:
        @contextlib.contextmanager
        def batch(self) -> Iterator[None]:
            yield
            os.kill(os.getpid(), signal.SIGINT)
            told.append(subprocess.run(["sh", "-c", "kill -INT $$; echo 7"], capture_output=True, text=True).stdout)

        def submit(self, call: Any) -> Any:
            return types.SimpleNamespace(job_id="7_0")

    def submitted() -> None:
        with steps():
            told.extend(slurm._submitted(Executor(), [lambda: 0]))

    with stoppable(), pytest.raises(Stopped):
        submitted()
    assert told == ["7\n", "7_0"], "sbatch ends well, then the jobs are known, then the command stops"


def test_hours_count_gpus_where_there_are_some() -> None:
    made = submit.prepare(planned(), [], "cuda", 20.0)
    assert submit.hours(made, SITE) == {"prepare": 4.0, "features": 2.0, "heads": 2.0, "train": 24.0}
    (train,) = made.stages[-1].tasks
    long = dataclasses.replace(made.stages[-1], tasks=(dataclasses.replace(train, minutes=6000.0),) * 2)
    assert submit.hours(dataclasses.replace(made, stages=[long]), SITE) == {"train": 200.0}


def test_the_note_holds_what_was_submitted(queue: dict) -> None:
    one = send(planned())
    (file,) = one.folder.parent.glob("*.json")
    assert json.loads(file.read_text())["name"] == one.name
    (again,) = submissions(one.folder.parents[1])
    assert again == one
    file.with_name("damaged.json").write_text("{")
    assert len(list(submissions(one.folder.parents[1]))) == 1


def test_there_is_no_submitting_without_sbatch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(MedbenchError, match="the command sbatch is not on this machine"):
        slurm.check()


@pytest.mark.parametrize(("said", "most"), [("MaxArraySize            = 1001\n", 1000), ("", 1000), (None, 1000)])
def test_arrays_are_cut_below_the_limit(said: str | None, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "told", lambda *_: said)
    assert slurm.longest_array() == most
    assert [list(part) for part in slurm._parts(range(5), 2)] == [[0, 1], [2, 3], [4]]


def test_names_of_folders_do_not_clash(tmp_path: Path) -> None:
    plan = planned(runs=tmp_path / "runs")
    assert len({submit.prepare(plan, [], "cuda", 20.0).name for _ in range(3)}) == 3
