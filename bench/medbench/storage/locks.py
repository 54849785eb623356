"""Locks for one process at a time; a lock ends with its process."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from medbench.progress import say
from medbench.storage import files


def remove_unless_used(folder: Path, lock: Path) -> None:
    """Remove a folder with all its files, unless another process holds its lock."""
    from filelock import FileLock, Timeout

    with contextlib.suppress(Timeout, OSError), FileLock(lock, timeout=0):
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def exclusive(lock: Path, busy: str) -> Iterator[None]:
    """Hold the lock file `lock`, which is made with its folder; if another process holds it, print `busy` and wait.

    The operating system frees the lock when its process ends, even if it is killed, so no lock is ever stale.

    Raises:
        OutputError: The lock file cannot be made.
    """
    from filelock import FileLock, Timeout

    with files.writing(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock)
        try:
            held.acquire(timeout=0)
        except Timeout:
            say(busy)
            held.acquire()
    try:
        yield
    finally:
        held.release()
