"""What became of submitted tasks: the run store says what is done, Slurm's queue what is still to come."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medbench.errors import MedbenchError, unknown
from medbench.records import Unit, store
from medbench.records.submitted import DONE, FAILED, PLAN, Submission, SubmittedTask, last_lines, submissions
from medbench.runs.cluster.engines import squeue

State = Literal["done", "failed", "running", "queued", "lost", "unknown"]
LAST_LINES = 3
"""Lines of a lost task's log that are shown."""
Queue = dict[str, tuple[str, str]]
Units = Sequence[tuple[Unit, str]]


@dataclass(frozen=True)
class TaskState:
    """What became of a task.

    Attributes:
        submission: Name of its submission.
        task: STAGE-NUMBER.
        job: Slurm's name of it.
        state: `lost`: ended from outside (a limit, memory, its node); `unknown`: squeue does not answer.
        done: Its units that are done.
        units: All its units; 0 for tasks that prepare, extract or write tables.
        why: The queue's reason or node, an error, or what is known of the end.
        log: Its log.
        printed: What its process printed.
    """

    submission: str
    task: str
    job: str
    state: State
    done: int
    units: int
    why: str
    log: Path
    printed: Path


def states(runs: Path, whole: Collection[str] = ()) -> Iterator[TaskState]:
    """Yield what became of the tasks of a run store, the oldest first.

    A task that runs or waits has all its units. If it has ended, units that were submitted again are left out; so are
    ended tasks and submissions that have no others.

    Args:
        runs: The run store.
        whole: Names of submissions of which nothing is left out.
    """
    queue = squeue.queue()
    every = list(submissions(runs))
    last = {unit: one.name for one in every for task in one.tasks for unit in task.places}
    current = {*last.values(), *whole}
    for one in every:
        for task in one.tasks:
            if one.name in whole or _queued(task, queue):
                yield _state(runs, one, task, task.units, queue)
            elif one.name in current:
                pairs = zip(task.units, task.places, strict=True)
                own = [unit for unit, place in pairs if last[place] == one.name]
                if own or not task.units:
                    yield _state(runs, one, task, own, queue)


def _queued(task: SubmittedTask, queue: Queue | None) -> bool:
    return (queue or {}).get(task.job, ("", ""))[0] in squeue.ALIVE


def _state(runs: Path, one: Submission, task: SubmittedTask, units: Units, queue: Queue | None) -> TaskState:
    done = sum(store.is_done(runs, unit, key) for unit, key in units)
    log = one.log(task)
    lines = last_lines(log, LAST_LINES)
    end = lines[-1] if lines else ""

    def told(state: State, why: str = "") -> TaskState:
        name = f"{task.stage}-{task.number}"
        return TaskState(one.name, name, task.job, state, done, len(units), why, log, one.printed(task))

    if (units and done == len(units)) or (not units and end.endswith(DONE)):
        return told("done")
    known, place = (queue or {}).get(task.job, ("", ""))
    if known in squeue.ALIVE:
        return told("running" if known in ("RUNNING", "COMPLETING") else "queued", place)
    folders = [store.folder_of(runs, *unit) for unit in units]
    since = _changed(one.folder / PLAN)
    failures = [error for _, error in store.failures_of(at for at in folders if _changed(at / store.FAILURE) >= since)]
    if failures or end.endswith(FAILED):
        said = (failures or _errors(lines) or [""])[0].strip()
        return told("failed", said.splitlines()[-1] if said else "")
    if queue is None:
        return told("unknown", "squeue does not answer on this machine")
    how = squeue.ended(task.job) or ", ".join(filter(None, (known, place))) or "no longer in the queue"
    return told("lost", "; ".join([how, *(lines or last_lines(one.printed(task), LAST_LINES))]))


def _changed(file: Path) -> int:
    """Return when a file was written, in nanoseconds; 0 if there is none."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _errors(lines: Sequence[str]) -> list[str]:
    """Return the last line of a log that reports an error, else the last one before the end."""
    return [line for line in lines if " error: " in line or " failed: " in line][-1:] or list(lines[-2:-1])


def logs(runs: Path, what: str) -> list[TaskState]:
    """Return the tasks of a Slurm job (12, 12_3), or those of units below DATASET/MODEL/PROTOCOL, the newest last.

    Raises:
        MedbenchError: There is none.
    """
    found = []
    names: list[str] = []
    queue = squeue.queue()
    for one in submissions(runs):
        for task in one.tasks:
            made = [store.folder_of(runs, unit, key).relative_to(runs).as_posix() for unit, key in task.units]
            names += [task.job, *(name.rpartition("/")[0] for name in made)]
            if what in (task.job, task.job.partition("_")[0]) or any(_below(name, what) for name in made):
                found.append(_state(runs, one, task, list(task.units), queue))
    if not found:
        raise unknown("submitted job or unit", what, dict.fromkeys(names))
    return found


def _below(name: str, what: str) -> bool:
    return f"{name}/".startswith(f"{what.strip('/')}/")


def cancel(runs: Path, name: str | None) -> list[str]:
    """End the user's tasks of a submission (None: of all) that run or wait; return Slurm's names of them.

    Raises:
        MedbenchError: There is no such submission, none of its tasks runs or waits, or there is no Slurm to tell.
    """
    every = {one.name: one for one in submissions(runs)}
    if name is not None and name not in every:
        raise unknown("submission", name, every)
    if (queue := squeue.queue(own=True)) is None:
        raise MedbenchError("squeue does not answer on this machine", "cancel on a login node of the cluster")
    chosen = every.values() if name is None else [every[name]]
    alive = [task.job for one in chosen for task in one.tasks if _queued(task, queue)]
    if not alive:
        raise MedbenchError(
            f"you have no running or waiting task of {name or runs}", "to see their states: medbench status --jobs"
        )
    squeue.cancel(alive)
    return alive
