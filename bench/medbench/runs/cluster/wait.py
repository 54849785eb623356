"""Waiting for submitted tasks: checks the run store and the queue now and then until all tasks have ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from medbench.errors import MedbenchError
from medbench.progress import bar
from medbench.runs.cluster.follow import State, TaskState, states

POLL = 10.0
"""Seconds between two checks; few, because all users share Slurm's controller."""
PATIENCE = 30
"""Checks in a row without an answer of squeue after which waiting ends."""
ALIVE: tuple[State, ...] = ("queued", "running", "unknown")


def wait(runs: Path, names: Collection[str]) -> list[TaskState]:
    """Show how many tasks have ended until all have; return those that failed or were lost.

    Args:
        runs: The run store.
        names: The submissions that are waited for.

    Raises:
        MedbenchError: squeue stopped answering.
        Stopped: The user stopped the waiting; the tasks continue.
    """
    found = _tasks(runs, names)
    ended = unanswered = 0
    with bar("submitted tasks", len(found), "tasks") as advance:
        while True:
            counts = Counter(one.state for one in found)
            alive = sum(counts[state] for state in ALIVE)
            advance(len(found) - alive - ended, ", ".join(f"{number} {state}" for state, number in counts.items()))
            ended = len(found) - alive
            unanswered = unanswered + 1 if counts["unknown"] else 0
            if unanswered > PATIENCE:
                raise MedbenchError(
                    f"squeue has not answered for {PATIENCE * POLL / 60:.0f} minutes",
                    "the tasks may still run; see: medbench status --jobs",
                )
            time.sleep(POLL)
            before, found = found, _tasks(runs, names)
            if not alive and found == before:  # a record may be seen here later than the end of its task
                return [one for one in found if one.state in ("failed", "lost")]


def _tasks(runs: Path, names: Collection[str]) -> list[TaskState]:
    return [one for one in states(runs, names) if one.submission in names]
