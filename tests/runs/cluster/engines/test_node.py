"""`--on node`: the GPUs of one machine make what a single process makes; a task that is killed is taken up again."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from medbench.progress import Stopped, stoppable
from medbench.runs.cluster.engines import node
from medbench.runs.cluster.stages import Stage, Task

from ..conftest import World, same_as_single

ONE = Task((0,), "toy-vit", 0.0)
TASK = """
import os, pathlib, signal, sys, time
place, number, ends = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3].split(",")
def save(*_):
    with (place / f"saved-{number}").open("a") as file:
        file.write("saved ")
    time.sleep(1.5)
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
lives = len(list(place.glob(f"{number}_*")))
(place / f"{number}_{lives}").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
end = ends[min(lives, len(ends) - 1)]
if end == "deaf":
    signal.signal(signal.SIGTERM, lambda *_: (place / "deaf").touch())
    while True:
        time.sleep(60)
time.sleep(60 if end == "sleep" else 0.1)
os.kill(os.getpid(), signal.SIGKILL) if end == "die" else sys.exit(int(end))
"""
"""Notes the GPU that it sees and ends as told: for each life an exit status, `die`, `sleep`, or `deaf` (never)."""


def run(folder: Path, gpus: tuple[int, ...], stages: Sequence[Stage], ends: dict[str, str]) -> dict[str, str]:
    lives = folder / "lives"
    lives.mkdir()

    def command(stage: str, number: int) -> list[str]:
        task = f"{stage}-{number}"
        return [sys.executable, "-S", "-c", TASK, str(lives), task, ends.get(task, "0")]

    return node.run(stages, gpus, folder / "processes", 2, command)


def train(tasks: int) -> list[Stage]:
    return [Stage("train", "train", (ONE,) * tasks, ())]


def test_gpus_are_dealt_out_and_a_killed_task_is_taken_up_once(tmp_path: Path) -> None:
    ends = {"train-0": "die,0", "train-2": "die", "train-3": "1"}
    failed = run(tmp_path, (3, 5), train(4), ends)
    seen = {file.name.removeprefix("train-"): file.read_text() for file in (tmp_path / "lives").iterdir()}
    assert sorted(seen) == ["0_0", "0_1", "1_0", "2_0", "2_1", "3_0"], "a task that failed itself is not repeated"
    assert set(seen.values()) == {"3", "5"}
    assert failed == {"train-2": "ended twice by signal 9", "train-3": "exit status 1"}


def test_a_stage_waits_for_those_it_needs_and_for_no_others(tmp_path: Path) -> None:
    stages = [
        Stage("prepare", "prepare", (ONE, ONE), ()),
        Stage("heads", "heads", (ONE,), ("prepare",)),
        Stage("train", "train", (ONE,), ("heads",)),
        Stage("features-2", "features", (ONE,), ()),
    ]
    assert run(tmp_path, (3,), stages, {"heads-0": "2"}) == {"heads-0": "exit status 2"}
    made = {file.name: (file.stat().st_mtime, file.read_text()) for file in (tmp_path / "lives").iterdir()}
    order = ["prepare-1_0", "heads-0_0", "train-0_0"]
    assert sorted(order, key=lambda name: made[name][0]) == order
    assert made["features-2-0_0"][0] < made["heads-0_0"][0], "the GPU does not wait for the CPU's tasks"
    assert (made["heads-0_0"][1], made["train-0_0"][1]) == ("", "3"), "a task of the CPU sees no GPU"


def test_a_task_that_cannot_start_has_failed(tmp_path: Path) -> None:
    failed = node.run(train(2), (0, 1), tmp_path, 2, lambda *_: [str(tmp_path / "nothing")])
    assert sorted(failed) == ["train-0", "train-1"]
    assert failed["train-0"].startswith("FileNotFoundError: ")


def stop_soon(folder: Path, files: Sequence[str] = ("*_*",)) -> None:
    """Send this process a signal as soon as each of some files of the tasks is there."""

    def stop() -> None:
        for name in files:
            while not list((folder / "lives").glob(name)):
                time.sleep(0.05)
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop).start()


Living = Callable[[], list[psutil.Process]]


@pytest.fixture
def living() -> Living:
    """Return the processes of the test that live; the suite's fork server is not one of them."""
    before = set(psutil.Process().children(recursive=True))

    def now() -> list[psutil.Process]:
        found = set(psutil.Process().children(recursive=True)) - before
        return [one for one in found if one.status() != psutil.STATUS_ZOMBIE]

    return now


def test_all_tasks_save_once_and_end_with_the_one_who_started_them(tmp_path: Path, living: Living) -> None:
    stop_soon(tmp_path)
    with stoppable(), pytest.raises(Stopped):
        run(tmp_path, (0,), train(2), {"train-0": "sleep"})
    assert not living()
    assert (tmp_path / "lives" / "saved-train-0").read_text() == "saved ", "one signal, not several"
    assert not (tmp_path / "lives" / "train-1_0").exists()


def test_a_second_signal_kills_tasks_that_do_not_end(tmp_path: Path, living: Living) -> None:
    stop_soon(tmp_path, ["*_*", "deaf"])
    with stoppable(), pytest.raises(Stopped):
        run(tmp_path, (0,), train(1), {"train-0": "deaf"})
    end = time.monotonic() + 10
    while living():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_two_gpus_make_what_a_single_process_makes(world: World, apart: Path, medbench) -> None:
    request = world.words("toy-vit", "knn,linear-unfrozen", apart, "--on", "node", "--gpus", "0,1")
    done = medbench(*request)
    assert done.status == 0, done.err
    assert same_as_single(world, apart) == 6
    assert "4 tasks, 0 failed" in done.out
