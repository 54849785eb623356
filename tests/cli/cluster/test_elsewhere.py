"""`medbench run --on`: what would be submitted, as JSON; waiting; mistakes, each reported in two lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from medbench.progress import Stopped
from medbench.runs.cluster import wait
from medbench.runs.cluster.engines import node, slurm, squeue
from medbench.runs.cluster.site import EXAMPLE

RUN = ("run", "--model", "toy-vit", "--protocol", "knn,linear-unfrozen", "--dataset", "toy", "--seeds", "2")
ON_SLURM = (*RUN, "--on", "slurm")


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a site file: the example with changes."""

    def written(**changes: Any) -> str:
        content = {**yaml.safe_load(EXAMPLE), **changes}
        (tmp_path / "lab.yaml").write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}))
        return str(tmp_path / "lab.yaml")

    return written


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[str, str]]:
    """Let submitted tasks wait in a queue that is made up."""
    tasks: dict[str, tuple[str, str]] = {}

    def submitted(stage: Any, *_: Any) -> list[str]:
        names = [f"{1 + len(tasks)}_{number}" for number in range(len(stage.tasks))]
        tasks.update(dict.fromkeys(names, ("PENDING", "Priority")))
        return names

    monkeypatch.setattr(slurm, "check", lambda *_: None)
    monkeypatch.setattr(slurm, "submit", submitted)
    monkeypatch.setattr(squeue, "queue", lambda: tasks)
    return tasks


def test_a_dry_run_tells_stages_and_hours_as_json(medbench: Any, site: Callable[..., str], tmp_path: Path) -> None:
    done = medbench(*ON_SLURM, "--site", site(), "--dry-run", "--json", "--runs", tmp_path / "runs")
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert [(stage["name"], stage["class"], len(stage["tasks"])) for stage in told["stages"]] == [
        ("prepare", "prepare", 1), ("features", "features", 1), ("heads", "heads", 1), ("train", "train", 1),
    ]  # fmt: skip
    (train,) = told["stages"][-1]["tasks"]
    assert (train["resources"]["partition"], train["resources"]["gpus"], train["minutes"]) == ("gpu", 1, 1.0)
    assert [unit["seed"] for unit in train["units"]] == [0, 1]
    assert len({unit["key"] for unit in train["units"]}) == 2
    assert told["hours"]["prepare"] == 4.0
    assert told["gpu_hours"] == 26.0, "the limits of the classes: features 2 hours, train 24"
    assert not list((tmp_path / "runs").rglob("plan.json")), "nothing was submitted, and no plan is left"


def test_a_dry_run_for_other_schedulers_knows_no_hours(medbench: Any) -> None:
    told = json.loads(medbench(*RUN, "--on", "commands", "--dry-run", "--json").out)
    assert (told["engine"], told["hours"], told["gpu_hours"]) == ("commands", None, None)
    assert told["stages"][0]["tasks"][0]["resources"] is None


def test_wait_returns_1_if_a_task_failed(
    medbench: Any, site: Callable[..., str], queue: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait, "POLL", 0.0)
    looks: list[int] = []

    def now() -> dict[str, Any]:
        looks.append(1)
        if len(looks) > 3:
            queue.clear()
        return queue

    monkeypatch.setattr(squeue, "queue", now)
    done = medbench(*ON_SLURM, "--site", site(), "--wait")
    assert done.status == 1
    assert "failed: train-0 (4_0), lost: no longer in the queue" in done.err


def test_who_stops_waiting_is_told_that_the_tasks_go_on_and_can_wait_again(
    medbench: Any, site: Callable[..., str], queue: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def stopped(_: Path, names: list[str]) -> Any:
        asked.append(names)
        raise Stopped(2)

    monkeypatch.setattr(wait, "wait", stopped)
    done = medbench(*ON_SLURM, "--site", site(), "--wait")
    assert done.status == 130
    assert done.err.splitlines()[-2:] == [
        "the tasks continue; see them: medbench status --jobs; cancel them: medbench cancel",
        "stopped; run the same command again to resume",
    ]
    again = medbench(*ON_SLURM, "--site", site(), "--wait")
    assert "nothing to submit: the 3 unfinished units are already queued" in again.err
    assert asked[0] == asked[1]
    assert len(asked[0]) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"precision": "auto"}, "'auto' depends on the machine: give the precision of the workers"),
        ({"precision": None}, "precision"),
        ({"classes": {"train": {}}}, "no resources for prepare, features, heads"),
        ({"classes": {**yaml.safe_load(EXAMPLE)["classes"], "gpus": {}}}, "gpus"),
        ({"models": {"toy-*": {"heads": {"gpus": 2}}}}, "heads: only tasks of class train can use several GPUs"),
    ],
)
def test_mistakes_in_the_site_file(changes: dict[str, Any], said: str, medbench: Any, site: Callable[..., str]) -> None:
    done = medbench(*ON_SLURM, "--site", site(**changes))
    assert done.status == 2
    assert said in done.err
    assert [line.split(":")[0] for line in done.err.splitlines()] == ["error", "hint"]


def test_without_a_site_file_an_example_is_printed(medbench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDBENCH_SITE", raising=False)
    monkeypatch.setattr(Path, "home", lambda: Path("/nowhere"))
    done = medbench(*ON_SLURM)
    assert done.status == 2
    assert done.err.startswith("error: --on slurm needs a site file, and there is none at /nowhere/")
    assert EXAMPLE.rstrip() in done.err


def test_without_slurm_nothing_is_submitted(
    medbench: Any, site: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = medbench(*ON_SLURM, "--site", site())
    assert (done.status, done.err.splitlines()) == (2, [
        "error: --on slurm: the command sbatch is not on this machine",
        "hint: submit on a login node of the cluster; on one machine with several GPUs use --on node",
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--wait",), "--wait works only with --on slurm"),
        (("--on", "node", "--wait"), "--wait works only with --on slurm"),
        (("--on", "slrum"), "unknown engine 'slrum'"),
        (("--gpus", "0"), "--gpus and --per-gpu work only with --on node"),
        (("--per-gpu", "2"), "--gpus and --per-gpu work only with --on node"),
        (("--on", "slurm", "--gpus", "0,1"), "--gpus and --per-gpu work only with --on node"),
        (("--on", "commands", "--per-gpu", "3"), "--gpus and --per-gpu work only with --on node"),
        (("--on", "node", "--site", "nope.yaml"), "--site works only with --on slurm and --on commands"),
        (("--site", "nope.yaml"), "--site works only with --on slurm and --on commands"),
        (("--on", "node", "--gpus", "a"), "--gpus a: not a list of numbers"),
        (("--on", "node", "--per-gpu", "0"), "--per-gpu 0 is below 1"),
    ],
)
def test_options_that_do_not_go_together(words: tuple[str, ...], said: str, medbench: Any) -> None:
    done = medbench(*RUN, *words)
    assert done.status == 2
    assert done.err.startswith(f"error: {said}")
    assert len(done.err.splitlines()) == 2


def test_a_request_that_is_queued_completely_is_no_mistake(
    medbench: Any, site: Callable[..., str], queue: dict[str, Any], tmp_path: Path
) -> None:
    words = (*ON_SLURM, "--site", site(), "--json", "--runs", tmp_path / "runs")
    made = medbench(*words)
    told = json.loads(made.out)
    assert (told["submission"][:2], told["jobs"]) == ("20", ["1", "2", "3", "4", "5"])
    again = medbench(*words)
    assert (again.status, json.loads(again.out)) == (0, {"submission": None, "jobs": []})
    assert again.err.splitlines()[-1] == "nothing to submit: the 3 unfinished units are already queued"
    planned = json.loads(medbench(*words, "--dry-run").out)
    assert planned == {"engine": "slurm", "queued": 3, "stages": [], "hours": {}, "gpu_hours": 0}


def test_wait_also_waits_for_what_was_queued_before(
    medbench: Any, site: Callable[..., str], queue: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(wait, "wait", lambda _, names: asked.append(names) or [])
    words = ("--site", site(), "--wait", "--runs", tmp_path / "runs")
    assert medbench(*ON_SLURM[:3], "--protocol", "knn", *ON_SLURM[5:], *words).status == 0
    assert medbench(*ON_SLURM, *words).status == 0
    assert (len(asked[0]), len(asked[1])) == (1, 2)
    assert set(asked[0]) < set(asked[1])


def test_lines_for_other_schedulers_run_in_any_folder_as_the_site_says(
    medbench: Any, site: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = site(env={"MEDBENCH_HOME": "/scratch/my lab"}, setup=["module load cuda"], python="/venv/bin/python")
    done = medbench(*RUN, "--on", "commands", "--site", given, "--runs", "runs")
    assert done.status == 0, done.err
    start = "module load cuda && env MEDBENCH_HOME='/scratch/my lab' /venv/bin/python -m medbench work "
    lines = [*done.out.splitlines(), done.err.splitlines()[-1].split("all are done, run: ")[1]]
    assert [line.split()[-1] for line in lines] == ["0", "0", "0", "0", "tables"]
    for line in lines:
        assert line.startswith(f"{start}{tmp_path}/runs/.submitted/"), line
    told = json.loads(medbench(*RUN, "--on", "commands", "--runs", "runs", "--json").out)
    assert (len(told["lines"]), told["last"].split()[-1]) == (4, "tables")


def test_failures_of_node_are_told_though_there_is_no_record(medbench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "run", lambda *_: {"heads-0": "exit status 2"})
    done = medbench(*RUN, "--on", "node", "--gpus", "0")
    assert done.status == 1
    assert done.out.startswith("4 tasks, 1 failed; records in ")
    (failure,) = [line for line in done.err.splitlines() if line.startswith("failed: ")]
    assert failure.startswith("failed: heads-0: exit status 2; see ")
    assert failure.endswith("/processes/heads-0.txt"), "the task has no log of its own"
