"""Version and commit of this code."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path


def version() -> str:
    """Return the version of this package."""
    try:
        return metadata.version("medbench")
    except metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return "0+unknown"


def commit() -> str | None:
    """Return the commit of the checkout that medbench runs from, marked if files have changed; None in a wheel."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    try:
        head, changes = (_git(root, *words) for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "-uno")))
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+changes" if changes else "")


def _git(root: Path, *words: str) -> str:
    command = ["git", "-C", str(root), *words]  # fixed words: no user input
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()  # noqa: S603
