"""Folders in the cache that medbench fills itself: complete or absent, and filled by one process at a time."""

from __future__ import annotations

import shutil
import tempfile
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
            _make(folder, fill)
    return folder


def _make(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a temporary folder next to `folder` and rename it; the caller holds the lock.

    Temporary folders of killed processes are removed first.
    """
    for leftover in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if folder.exists():
        shutil.rmtree(folder)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        fill(part)
        part.chmod(0o755)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
