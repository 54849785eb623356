"""Atomic writes, digests, and paths that stay inside their root."""

from __future__ import annotations

import bisect
import contextlib
import errno
import functools
import hashlib
import itertools
import json
import os
import platform
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from medbench.errors import DataError, OutputError

OWNER = re.compile(r"\.([0-9a-f]{8})-(\d+)\.[^.]*\.(part|parts|user)$")
"""End of the name of what is a process's own: machine and process."""

DAY = 86_400.0
"""Seconds."""
WEEK = 7 * DAY
"""How long work that other processes can resume is kept."""


CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical(value: Any) -> str:
    """Return the canonical JSON of `value`: sorted keys, no spaces, no NaN."""
    return CANONICAL.encode(value)


def digest(value: Any) -> str:
    """Return the sha256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def digest_of_texts(texts: Mapping[str, str]) -> str:
    """Return the `digest` of a mapping whose values are given as canonical JSON."""
    return hashlib.sha256(
        ("{" + ",".join(f'"{name}":{texts[name]}' for name in sorted(texts)) + "}").encode()
    ).hexdigest()


def digests_by(texts: Mapping[str, str], name: str, values: Iterable[int]) -> list[str]:
    """Return the `digest` of a mapping with one more entry, for each value of this entry.

    Args:
        texts: The other entries, their values as canonical JSON.
        name: The further entry.
        values: Its values.
    """
    others = sorted(texts)
    at = bisect.bisect(others, name)
    before = "".join(f'"{other}":{texts[other]},' for other in others[:at])
    end = ("".join(f',"{other}":{texts[other]}' for other in others[at:]) + "}").encode()
    start = hashlib.sha256(f'{{{before}"{name}":'.encode())
    found = []
    for value in values:
        sha = start.copy()
        sha.update(str(value).encode())
        sha.update(end)
        found.append(sha.hexdigest())
    return found


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
            "free some space there, or choose another folder: --runs (records), --to (other files), MEDBENCH_HOME "
            "(cache)",
        ) from error


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; if the block succeeds, it becomes `path` by one rename.

    Raises:
        OutputError: The folder is read-only or full.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_prefix(path), suffix=".part", dir=path.parent)
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


def own_folder(path: Path, suffix: str = ".part") -> Path:
    """Make a folder next to `path` for this process alone; its name tells whose it is.

    Args:
        path: What the folder will become, or belong to.
        suffix: `.part`, which `sweep` removes once its process has ended; `.parts`: work to be resumed; or `.user`: a
            mark that the process uses `path` (`cache_folder`).

    Raises:
        OutputError: The folder of `path` is read-only or full.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=suffix, dir=path.parent))


def _prefix(path: Path) -> str:
    return f".{path.name}.{_machine()}-{os.getpid()}."


def is_own(path: Path) -> bool:
    """Tell whether this process made the temporary file or folder `path`."""
    named = OWNER.search(path.name)
    return named is not None and (named[1], int(named[2])) == (_machine(), os.getpid())


def is_abandoned(path: Path, after: float = DAY) -> bool:
    """Tell whether the process that made the temporary file or folder `path` has ended.

    Whether processes of other machines still run cannot be told: they count as ended if nothing changed for `after`
    seconds.

    Raises:
        OSError: There is no such file.
    """
    import psutil

    named = OWNER.search(path.name)
    if named is not None and named[1] == _machine():
        return not psutil.pid_exists(int(named[2]))
    return _is_older(path, after)


def sweep(*roots: Path) -> None:
    """Remove the temporary files and folders below `roots` whose processes have ended (see `is_abandoned`).

    What other processes can resume is kept for a week: work to be resumed, and folders that ended processes used.
    """
    for root in roots:
        for folder, folders, names in os.walk(root):  # unlike rglob it bears folders that vanish meanwhile
            for path in (Path(folder) / name for name in (*folders, *names) if name.startswith(".")):
                with contextlib.suppress(OSError):  # another process removes it, too
                    if path.suffix == ".part" and is_abandoned(path):
                        remove(path)
                    if path.suffix in (".parts", ".user") and _is_older(path, WEEK):
                        remove(path)
                        _remove_unmarked(path)


def _remove_unmarked(mark: Path) -> None:
    """Remove the folder that `mark` was the last to mark."""
    marked = OWNER.sub("", mark.name).removeprefix(".")
    if mark.suffix == ".user" and not any(mark.parent.glob(f".{marked}.*.user")):
        remove(mark.with_name(marked))


def _is_older(path: Path, seconds: float) -> bool:
    return time.time() - path.stat().st_mtime > seconds


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it as far as it can be removed; nothing if it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@functools.cache
def _machine() -> str:
    """Return a short name of this machine, for names of files; containers on one machine have names of their own."""
    try:
        processes = str(Path("/proc/self/ns/pid").readlink())  # whose process numbers these are
    except OSError:
        processes = ""
    return hashlib.sha256((platform.node() + processes).encode()).hexdigest()[:8]


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
