"""Locks for one process at a time; a lock ends with its process.

Locks only save time: where they have no effect, work is done twice and no result changes. On a file system
without locks (ENOSYS) filelock uses the file itself as a marker that names its holder. A killed holder's marker is
removed by the next process on its machine; from other machines nobody can tell, so a person has to remove it.
"""

from __future__ import annotations

import contextlib
import errno
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from medbench.errors import OutputError
from medbench.progress import say
from medbench.storage import files

if TYPE_CHECKING:
    from filelock import BaseFileLock

QUICKEST, SLOWEST, SLOWER = 0.1, 30.0, 1.25
"""Seconds between the first two tries, the longest pause, and how much longer each pause is than the one before it."""
TOLD_AFTER = 60.0
"""Seconds of waiting after which the holder of a marker is named."""
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)


class BusyError(Exception):
    """Another process holds a lock that was not to be waited for."""


@contextlib.contextmanager
def exclusive(lock: Path, busy: str, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `lock`, which is made with its folder; if another process holds it, print `busy` and wait.

    The operating system frees the lock when its process ends, even if it is killed.

    Args:
        lock: The lock file.
        busy: What another process is doing.
        wait: Whether to wait for it.

    Raises:
        BusyError: Another process holds it, and `wait` is False.
        OutputError: The lock file cannot be made, or the file system has no locks.
    """
    from filelock import FileLock

    with files.writing(lock), _explained(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock)
        if not _taken(held):
            if not wait:
                raise BusyError(busy)
            say(busy)
            _wait(held, lock)
    try:
        yield
    finally:
        held.release()


def _taken(held: BaseFileLock) -> bool:
    """Try to get a lock, once."""
    from filelock import Timeout

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "flock not supported")  # the markers take over
            held.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _wait(held: BaseFileLock, lock: Path) -> None:
    """Try again and again, less and less often: hundreds of processes may wait for a file on one server."""
    pause, start, told = QUICKEST, time.monotonic(), False
    while True:
        time.sleep(pause)
        if _taken(held):
            return
        pause = min(SLOWER * pause, SLOWEST)
        if not told and time.monotonic() - start > TOLD_AFTER and (holder := _holder(lock)):
            say(f"{lock} has been held by {holder}; if that process has ended, delete this file")
            told = True


def _holder(lock: Path) -> str | None:
    """Return who holds a marker, and how long; None for a lock of the operating system, which names nobody."""
    try:
        process, machine, *_ = lock.read_text(encoding="utf-8").splitlines()
        minutes = (time.time() - lock.stat().st_mtime) / 60
    except (OSError, ValueError):  # freed just now, or an empty file
        return None
    return f"process {process} on {machine} for {minutes:,.0f} minutes"


@contextlib.contextmanager
def _explained(lock: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise OutputError(
            f"the file system of {lock.parent} cannot lock files: {error.strerror}",
            "use another file system for --runs (records) and MEDBENCH_HOME (cache), or ask its administrator to "
            "enable locks "
            "(NFS: a lock service; Lustre: mount with -o flock); test it: medbench doctor disk",
        ) from error
