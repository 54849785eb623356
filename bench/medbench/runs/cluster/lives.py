"""The lives of a task: how often a scheduler has started it, and whether each start saved anything new.

After a time limit or a preemption a scheduler starts a task again, without end if nobody counts. A life (one start)
that reaches its work notes its number, and a digest of all state that is saved by then. So later lives know how many in
a row ended before they saved anything new, even if some ended while Python was still starting.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.errors import MedbenchError
from medbench.records import Unit, pending, store
from medbench.records.submitted import submissions
from medbench.runs.cluster.task_here import task_here
from medbench.storage import files, paths

if TYPE_CHECKING:
    from medbench.runs.jobs import Job

MOST_IDLE = 3
"""Lives in a row without new saved state after which a task is ended."""
HINT = (
    "read the log (medbench logs JOB), give this class of tasks more minutes or memory in the site file, and run "
    "the command again"
)


def check(folder: Path, stage: str, number: int) -> None:
    """Refuse to start a Slurm task whose last lives all ended before their work began; imports nothing heavy.

    Args:
        folder: The frozen plan.
        stage: Name of the task's stage.
        number: The task's place in it.

    Raises:
        MedbenchError: The `MOST_IDLE` lives before this one did.
    """
    if life := task_here().get("lives", 0):
        _refuse(folder, stage, number, life - 1 - _noted(folder, stage, number, life)["life"])


def begin(folder: Path, stage: str, number: int, jobs: Sequence[Job]) -> None:
    """Note in the frozen plan's folder that the work of a life begins; outside Slurm nothing is noted.

    Args:
        folder: The frozen plan.
        stage: Name of the task's stage.
        number: The task's place in it.
        jobs: All that the task does.

    Raises:
        MedbenchError: The `MOST_IDLE` lives before this one saved nothing new.
    """
    if life := task_here().get("lives", 0):
        before, saved = _noted(folder, stage, number, life), files.digest(sorted(_saved(jobs)))
        idle = life - 1 - before["life"]
        if before["saved"] == saved:  # the noted life added nothing, either
            idle += before["idle"] + 1
        _refuse(folder, stage, number, idle)
        files.write_json(_file(folder, stage, number), {"life": life, "saved": saved, "idle": idle})


def end(folder: Path, stage: str, number: int, why: str) -> None:
    """Record for each unit of a task that is not done why the task has ended for good."""
    runs = folder.parents[1]
    for one in submissions(runs):
        for task in one.tasks:
            if (one.name, task.stage, task.number) == (folder.name, stage, number):
                note(runs, task.units, why)


def note(runs: Path, units: Iterable[tuple[Unit, str]], why: str) -> None:
    """Record for those units that are not done why they failed."""
    for unit, key in units:
        if not store.is_done(runs, unit, key):
            with contextlib.suppress(MedbenchError):  # the log says it, too
                store.write_failure(runs, unit, key, why)


def _refuse(folder: Path, stage: str, number: int, idle: int) -> None:
    if idle >= MOST_IDLE:
        message = f"{stage} {number}: its last {idle} starts saved no progress"
        end(folder, stage, number, message)
        raise MedbenchError(message, HINT)


def _file(folder: Path, stage: str, number: int) -> Path:
    return folder / "lives" / f"{stage}-{number}.json"


def _noted(folder: Path, stage: str, number: int, life: int) -> dict[str, Any]:
    """Return the note of the last life that reached its work; of a first life there is none."""
    with contextlib.suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads(_file(folder, stage, number).read_text(encoding="utf-8"))
        if found["life"] < life:
            return found
    return {"life": 0, "saved": "", "idle": 0}


def _saved(jobs: Iterable[Job]) -> Iterator[str]:
    """Yield texts that change when any state is saved: finished units, checkpoints, features, prepared images."""
    models, images = set(), set()
    for job in jobs:
        yield f"{job.place} {job.finished()}"
        for path, found in _files(pending.unfinished(job.partial)):
            yield f"{path} {found.st_size} {found.st_mtime_ns}"
        models |= {model.name for model, _ in job.encoders}
        shown = (job.dataset, *job.dataset.inputs.values(), *(shift.dataset for shift in job.shifts))
        images |= {data.card.name for data in shown}
    for model in models:
        for features in (paths.home() / "features").glob(f"*/{model}"):
            yield from {path.name for path, _ in _files(features) if path.name.startswith("part-")}
            yield from (str(path) for path in features.glob("*/manifest.json"))
    for name in images:  # of one that is being made the name begins with a dot; others' are no progress of this task
        for folder in (paths.home() / "prepared").glob("*"):
            if re.match(rf"\.?{re.escape(name)}-[0-9a-f]{{12}}", folder.name):
                yield from (f"{path} {found.st_size}" for path, found in _files(folder))


def _files(folder: Path) -> Iterator[tuple[Path, Any]]:
    """Yield the files below a folder with what the system knows of them, without those that are being written."""
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # removed meanwhile
            if path.suffix != ".part" and path.is_file():
                yield path, path.stat()
