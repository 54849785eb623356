"""How much faster two workers of a cluster are than one, and the overhead of a task."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psutil

from medbench.records import store
from medbench.records.submitted import submissions
from runs.cluster import loopback
from runs.conftest import write_pictures

TASKS, SECONDS = 4, 60.0
"""Number of tasks, and the least seconds that each of them takes."""
RUN = [sys.executable, "-m", "medbench", "run", "--model", "toy-vit", "--protocol", "linear-unfrozen", "--seeds", "1"]
RUN += ["--device", "cpu", "--workers", "0", "--set", "learning_rates=[1e-3]", "--set", "batch_size=16", "--quiet"]
SUBMITIT = re.compile(r"^submitit INFO \((.*?)\)", re.MULTILINE)
"""A line of submitit, with the time."""
FEW, SOME = 10, 60
"""Epochs of the two trainings from which the time of an epoch is taken."""


def measured(folder: Path) -> Iterator[str]:
    """Yield what was measured, line by line: with 1 worker, with 2 workers, and a task that finds its work done."""
    bench = Path(__file__).parents[2] / "bench"
    os.environ |= {"PYTHONPATH": str(bench), "OMP_NUM_THREADS": "1", "MEDBENCH_HOME": str(folder / "home")}
    data = [str(write_pictures(folder / f"pictures-{number}", 48 + number)) for number in range(TASKS)]
    names = ",".join(data)
    took = []
    for epochs in (FEW, FEW, SOME):  # the first one prepares the images
        begun = time.perf_counter()
        _run([*RUN, "--dataset", data[0], "--set", f"epochs={epochs}", "--runs", folder / f"{len(took)}"])
        took.append(time.perf_counter() - begun)
    epochs = round(SECONDS / ((took[2] - took[1]) / (SOME - FEW)))
    with loopback.running(folder / "slurm") as variables:
        os.environ.update(variables)
        walls, spent = [], []
        for workers in (1, 2):
            runs = folder / f"runs-{workers}"
            site = _site(folder, workers)
            request = [*RUN, "--dataset", names, "--set", f"epochs={epochs}", "--runs", runs, "--on", "slurm", "--wait"]
            with _Watch() as watch:
                _run([*request, "--site", site])
            assert len(list(store.read_all(runs))) == TASKS
            walls.append(_wall(runs))
            spent.append(watch.spent)
            load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
            yield f"{workers} workers: {TASKS} tasks in {walls[-1]:.0f} s, {spent[-1]:.0f} s of CPU time; load {load}"
        yield f"two workers: {walls[0] / walls[1]:.2f} times as fast; by CPU time {2 * spent[0] / spent[1]:.2f}"
    yield from _overhead(folder / "runs-2")


def _run(words: list[str | Path]) -> None:
    subprocess.run(list(map(str, words)), check=True, capture_output=True)


def _site(folder: Path, workers: int) -> Path:
    own = {"cpus": 1, "memory_gb": 0.5, "minutes": 60}
    classes = dict.fromkeys(("prepare", "features", "heads", "train"), own)
    content = {"device": "cpu", "precision": "fp32", "at_once": workers, "classes": classes}
    file = folder / f"lab-{workers}.yaml"
    file.write_text(json.dumps(content))
    return file


def _wall(runs: Path) -> float:
    """Return the seconds from the start of the first training's process to the end of the last one's."""
    (one,) = submissions(runs)
    text = "".join(one.printed(task).read_text() for task in one.tasks if task.stage == "train")
    times = [datetime.strptime(found, "%Y-%m-%d %H:%M:%S,%f") for found in SUBMITIT.findall(text)]  # noqa: DTZ007
    return (max(times) - min(times)).total_seconds()


class _Watch:
    """The CPU time of trainings, read every second: what a process spends after the last reading is not counted."""

    def __init__(self) -> None:
        self._seen: dict[int, float] = {}
        self._ended = threading.Event()

    @property
    def spent(self) -> float:
        """Seconds of CPU time of all processes, those that only prepare or write tables included."""
        return sum(self._seen.values())

    def __enter__(self) -> _Watch:
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(1.0):
            for process in loopback.steps():
                try:
                    times = process.cpu_times()
                except psutil.Error:
                    continue
                self._seen[process.pid] = times.user + times.system


def _overhead(runs: Path) -> Iterator[str]:
    """Yield the cost of a task whose work is already done: starting Python, reading the plan, looking for records."""
    (plan,) = runs.glob(".submitted/*/plan.json")
    before, begun = os.times(), time.perf_counter()
    _run([sys.executable, "-m", "medbench", "work", plan.parent, "train", "0"])
    wall, after = time.perf_counter() - begun, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    yield f"a task whose work is done: {wall:.1f} s, {cpu:.1f} s of CPU time"
