"""Atomic writes, digests, and paths that stay inside their root."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import itertools
import json
import os
import platform
import re
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from medbench.errors import DataError, OutputError

PART = re.compile(r"\.([0-9a-f]{8})-(\d+)\.[^.]*\.part$")
"""End of a temporary file's name: machine and process."""

DAY = 86_400.0
"""Seconds."""


def canonical(value: Any) -> str:
    """Return the canonical JSON of `value`: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: Any) -> str:
    """Return the sha256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the sha256 (hex) of a file's bytes; OSError if it is no regular file, or cannot be read."""
    sha = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading, unless it is a pipe, a device or a view of the kernel, which may never end.

    Raises:
        OSError: It is no regular file, or cannot be opened.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_dev in _kernel_devices():
        os.close(handle)
        kind = errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.EINVAL
        raise OSError(kind, "a folder" if kind == errno.EISDIR else "not a regular file", str(path))
    return os.fdopen(handle, "rb")


@functools.cache
def _kernel_devices() -> frozenset[int]:
    return frozenset(os.stat(place).st_dev for place in ("/proc", "/sys") if os.path.ismount(place))  # noqa: PTH116


@contextlib.contextmanager
def writing(what: Path) -> Iterator[None]:
    """Turn errors of the operating system (read-only, full, not a folder) into an `OutputError` that names `what`."""
    try:
        yield
    except OSError as error:
        refusals = (
            errno.EACCES,
            errno.EPERM,
            errno.EROFS,
            errno.ENOSPC,
            errno.EDQUOT,
            errno.ENOTDIR,
            errno.EISDIR,
            errno.EEXIST,
            errno.ENAMETOOLONG,
        )
        if error.errno not in (*refusals, errno.ENOENT, errno.EFBIG):
            raise
        raise OutputError(
            f"cannot write {what}: {error.strerror}",
            "free space there, or choose another folder: --runs (records), --to (other files), MEDBENCH_HOME (cache)",
        ) from error


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; if the block succeeds, it becomes `path` by one rename.

    Raises:
        OutputError: The folder is read-only or full.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        owner = f"{_machine()}-{os.getpid()}"
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.{owner}.", suffix=".part", dir=path.parent)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.chmod(0o644)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def sweep(*roots: Path) -> None:
    """Remove the temporary files that killed processes left below `roots`.

    A file is removed if it is of a process of this machine that no longer runs, or has not changed for a day: whether
    the processes of other machines still run cannot be told.
    """
    import psutil

    for root in roots:
        for path in root.rglob(".*.part"):
            named = PART.search(path.name)
            with contextlib.suppress(OSError):  # another process removes it, too
                dead = named is not None and named[1] == _machine() and not psutil.pid_exists(int(named[2]))
                if dead or time.time() - path.stat().st_mtime > DAY:
                    path.unlink()


@functools.cache
def _machine() -> str:
    """Return a short name of this machine, for names of files."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` by atomic rename."""
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON to `path` by atomic rename; NaN raises ValueError."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_sealed(path: Path, value: Any) -> None:
    """Write `value` as JSON together with its digest, for `read_sealed`."""
    write_json(path, {"value": value, "digest": digest(value)})


def read_sealed(path: Path) -> Any:
    """Return what `write_sealed` wrote; None if there is no such file, or it has changed since."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found["value"] if found["digest"] == digest(found["value"]) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def inside(root: Path, relative: str, *, allow_outside: bool = False) -> Path:
    """Return `root / relative` for a path read from a data file.

    Only the text of the path is checked: links that a user made on disk are followed.

    Raises:
        DataError: The path is absolute or leaves `root`, and `allow_outside` is False.
    """
    clean = PurePosixPath(os.path.normpath(relative.replace("\\", "/")))
    if not allow_outside and (clean.is_absolute() or ".." in clean.parts or clean.drive):
        raise DataError(
            f"path '{relative}' leaves the data folder {root}",
            "put the images below the data folder, or pass --allow-outside if you trust the file that names them",
        )
    return root / clean


CHUNK = 1000
"""Rows encoded at once: much faster than one by one, in constant memory. Part of the digest's definition."""


def rows_digest(rows: Iterable[tuple[Any, ...]], head: str = "") -> str:
    """Return the sha256 (hex) of `head` and of rows of strings, integers and lists of them, in order."""
    encode = json.JSONEncoder(separators=(",", ":")).encode
    sha = hashlib.sha256(head.encode())
    rows = iter(rows)
    while chunk := list(itertools.islice(rows, CHUNK)):
        sha.update(encode(chunk).encode() + b"\n")
    return sha.hexdigest()
