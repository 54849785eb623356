"""Folders in the cache that medbench fills itself: whole or not there, made by one process at a time."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from medbench.storage import files
from medbench.storage.locks import exclusive


def ensure(folder: Path, busy: str, whole: Callable[[], bool], fill: Callable[[Path], None]) -> Path:
    """Return `folder`, filling it first where it is not there or not whole. It appears by one rename.

    Args:
        folder: The folder.
        busy: What to say when another process is at it; it is waited for.
        whole: Tells whether the folder holds all that it should.
        fill: Fills an empty folder.

    Raises:
        OutputError: The cache is read-only or full.
    """
    if whole():
        return folder
    with exclusive(folder.with_name(folder.name + ".lock"), busy), files.writing(folder):
        if not whole():
            _make(folder, fill)
    return folder


def _make(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside and rename it. The lock is ours: what a killed process left is swept away."""
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
