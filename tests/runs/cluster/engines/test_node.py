"""`--on node`: the GPUs of one machine make what a single process makes; a task that is killed is taken up again."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from medbench.progress import Stopped, stoppable
from medbench.runs.cluster.engines import node
from medbench.runs.cluster.stages import Stage, Task

from ..conftest import World, same_as_single

ONE = Task((0,), "toy-vit", 0.0)

pytestmark = pytest.mark.cluster


def told(folder: Path, number: int, deaths: int) -> Callable[[], int]:
    """Return a task that notes the GPU it sees, ends itself badly in its first lives, or (-1) takes a minute."""

    def task() -> int:  # travels by value: its process imports nothing of the tests
        lives = len(list(folder.glob(f"{number}-*")))
        (folder / f"{number}-{lives}").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
        if lives < deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60.0 if deaths < 0 else 0.3)
        return 0

    return task


def run(folder: Path, gpus: tuple[int, ...], deaths: dict[int, int], tasks: int = 3) -> list[str]:
    lives = folder / "lives"
    lives.mkdir()
    stage = Stage("train", "train", (ONE,) * tasks, ())
    return node.run([stage], gpus, folder / "logs", 2, lambda _, number: told(lives, number, deaths.get(number, 0)))


def test_gpus_are_dealt_out_and_a_killed_task_is_taken_up_again(tmp_path: Path) -> None:
    failed = run(tmp_path, (3, 5), {0: 1, 2: 2})
    seen = {file.name: file.read_text() for file in (tmp_path / "lives").iterdir()}
    assert sorted(seen) == ["0-0", "0-1", "1-0", "2-0", "2-1"]
    assert set(seen.values()) == {"3", "5"}
    assert failed == ["train-2"], "it died twice"


def test_all_tasks_end_with_the_one_who_started_them(tmp_path: Path) -> None:
    def stop() -> None:
        while not list((tmp_path / "lives").glob("*")):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop).start()
    with stoppable(), pytest.raises(Stopped):
        run(tmp_path, (0,), {0: -1}, tasks=1)
    assert not [one for one in psutil.Process().children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.timeout(600)
def test_two_gpus_make_what_a_single_process_makes(world: World, apart: Path, medbench) -> None:
    request = world.words("toy-vit", "knn,linear-unfrozen", apart, "--on", "node", "--gpus", "0,1")
    done = medbench(*request)
    assert done.status == 0, done.err
    assert same_as_single(world, apart) == 6
    assert "4 tasks, 0 failed" in done.out
