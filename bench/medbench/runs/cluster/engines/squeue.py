"""What Slurm's own commands say about its tasks; imports nothing heavy."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

ALIVE = ("PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "RESIZING")
"""States of a task that will go on."""
AT_ONCE = 500
"""Names of tasks in one command line."""


def queue(*, own: bool = False) -> dict[str, tuple[str, str]] | None:
    """Return the state and the reason (or the node) of each task that Slurm knows; None: squeue does not answer.

    Args:
        own: Only the user's own tasks; else those of all users, because several people can share a run store.
    """
    if shutil.which("squeue") is None:
        return None
    text = told("squeue", *(["--me"] if own else []), "-r", "-h", "-t", "all", "-o", "%i|%T|%R")
    if text is None:
        return None
    rows = [line.split("|") for line in text.splitlines() if line.count("|") == 2]
    return {name.strip(): (state.strip(), why.strip()) for name, state, why in rows}


def state(job: str) -> str:
    """Return the state of one task; empty: it is not in the queue, or squeue does not answer."""
    return (told("squeue", "-h", "-j", job, "-o", "%T") or "").strip()


def ended(job: str) -> str:
    """Return the state, exit status and node of a task that is no longer in the queue; empty: nobody knows."""
    if shutil.which("sacct") is None:
        return ""
    rows = (told("sacct", "-n", "-X", "-P", "-j", job, "-o", "State,ExitCode,NodeList") or "").splitlines()
    return rows[-1].replace("|", ", ") if rows else ""


def cancel(jobs: Sequence[str]) -> None:
    """End tasks, whether they run or wait."""
    for start in range(0, len(jobs), AT_ONCE):
        told("scancel", *jobs[start : start + AT_ONCE])


def told(*words: str) -> str | None:
    """Return what one of Slurm's commands prints; None if it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - Slurm's own commands, in a session of their own: Ctrl-C does not end them
            words, capture_output=True, text=True, timeout=60, check=False, start_new_session=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None
