"""Folders in the cache that medbench fills itself: complete or absent, and filled by one process at a time.

Locks only save work. Where they have no effect, each process fills a folder of its own; the first one to finish gives
its folder the name, and the others throw theirs away. A folder that is kept only while it is used is removed by the
last process that has marked it.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable
from pathlib import Path

from medbench.storage import files
from medbench.storage.locks import exclusive


def ensure(folder: Path, busy: str, complete: Callable[[], bool], fill: Callable[[Path], None]) -> Path:
    """Return `folder`; if it is absent or incomplete, fill it first. It appears by one rename.

    Args:
        folder: The folder.
        busy: The message to print while another process fills it; this process waits.
        complete: Tells whether the folder holds everything it should.
        fill: Fills an empty folder.

    Raises:
        OutputError: The cache is read-only or full.
    """
    if complete():
        return folder
    with exclusive(folder.with_name(folder.name + ".lock"), busy), files.writing(folder):
        if not complete():
            _make(folder, complete, fill)
    return folder


def _make(folder: Path, complete: Callable[[], bool], fill: Callable[[Path], None]) -> None:
    """Fill a folder of this process's own and rename it; what killed processes left is removed first."""
    for leftover in folder.parent.glob(f".{folder.name}.*.part"):
        with contextlib.suppress(OSError):  # another process removes it, too
            if files.is_abandoned(leftover):
                files.remove(leftover)
    part = files.own_folder(folder)
    try:
        fill(part)
        put(part, folder, complete)
    finally:
        files.remove(part)


def put(made: Path, folder: Path, complete: Callable[[], bool]) -> bool:
    """Rename `made` to `folder`, unless another process was first; an incomplete `folder` is replaced.

    Several processes make the same folder at once where the file system's locks have no effect.

    Args:
        made: A complete folder next to `folder`, of this process alone (`files.own_folder`).
        folder: Its final place.
        complete: Tells whether `folder` holds everything it should.

    Returns:
        Whether `folder` is now what `made` was; else `made` is still there.

    Raises:
        OSError: The folder cannot be renamed.
    """
    made.chmod(0o755)
    while True:
        try:
            made.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return True
        if complete():
            return False
        aside = files.own_folder(folder)
        with contextlib.suppress(FileNotFoundError):  # another process replaces it, too
            folder.rename(aside / folder.name)
        files.remove(aside)


def mark(folder: Path) -> None:
    """Say that this process uses `folder`, which may not be there yet, until it calls `release`.

    Raises:
        OutputError: The cache is read-only or full.
    """
    files.own_folder(folder, ".user")


def release(folder: Path) -> None:
    """Remove this process's marks of `folder`, and `folder` itself unless another process that may live marked it.

    Raises:
        OSError, OutputError: The cache is read-only or full.
    """
    for one in _marks(folder):
        with contextlib.suppress(FileNotFoundError):  # another process removes it, too
            if files.is_own(one) or files.is_abandoned(one, files.WEEK):
                files.remove(one)
    if _marks(folder):
        return
    aside = files.own_folder(folder)
    with contextlib.suppress(FileNotFoundError):
        folder.rename(aside / folder.name)
        if _marks(folder):  # of a process that may have found it just before: files that vanish would kill it
            (aside / folder.name).rename(folder)
    files.remove(aside)


def _marks(folder: Path) -> list[Path]:
    return sorted(folder.parent.glob(f".{folder.name}.*.user"))
