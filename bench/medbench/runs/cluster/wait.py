"""Waiting for submitted tasks: the run store and the queue are looked at now and then until nothing is to come."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from medbench.errors import MedbenchError
from medbench.progress import bar
from medbench.runs.cluster.follow import State, TaskState, states

POLL = 10.0
"""Seconds between two looks: Slurm's controller answers everyone."""
PATIENCE = 30
"""Looks in a row that squeue may leave without an answer."""
ALIVE: tuple[State, ...] = ("queued", "running", "unknown")


def wait(runs: Path, names: Collection[str]) -> list[TaskState]:
    """Show how many tasks have ended until all have; return those that failed or were lost.

    Args:
        runs: The run store.
        names: The submissions that are waited for.

    Raises:
        MedbenchError: squeue stopped answering.
        Stopped: The person stopped waiting; the tasks go on.
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
                    "the tasks may go on; see: medbench status --jobs",
                )
            time.sleep(POLL)
            before, found = found, _tasks(runs, names)
            if not alive and found == before:  # a record may be seen here later than the end of its task
                return [one for one in found if one.state in ("failed", "lost")]


def _tasks(runs: Path, names: Collection[str]) -> list[TaskState]:
    return [one for one in states(runs) if one.submission in names]
