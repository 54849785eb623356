"""One process at a time: locks that end with their process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from medbench.progress import say
from medbench.storage import files


@contextlib.contextmanager
def exclusive(lock: Path, busy: str) -> Iterator[None]:
    """Hold the lock file `lock`, made with its folder; while another process has it, say `busy` once and wait.

    The operating system frees the lock of a process that ends, however it ends: none is ever stale.

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
