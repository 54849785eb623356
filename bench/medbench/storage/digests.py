"""Cached digests of files: a file is hashed again only if its size, times or inode have changed."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from medbench import progress
from medbench.errors import DataError
from medbench.storage import files, paths

log = logging.getLogger(__name__)

T = TypeVar("T")

BATCH = 400  # files hashed between two writes of the cache; a killed run loses at most this many
SETTLED = 2.0  # seconds since a file's last change before its digest is cached
SCHEMA = "CREATE TABLE IF NOT EXISTS digests (path TEXT PRIMARY KEY, stamp TEXT NOT NULL, sha256 TEXT NOT NULL)"


def file_digests(paths: Sequence[Path], what: str = "hashing", most: int | None = None) -> list[str]:
    """Return the sha256 (hex) of each file's bytes, in the order given.

    Digests are cached in `hashes.sqlite` under the file's absolute path. A cached digest is valid while size,
    modification time, change time and inode stay the same. If the cache cannot be read or written, files are hashed
    again.

    Args:
        paths: The files; a file may appear more than once.
        what: Text of the progress bar, which is shown if more than one batch must be hashed.
        most: Bytes a file may have.

    Raises:
        DataError: A file is missing, is no regular file, is too large or cannot be read; its digest is not cached.
    """
    names = [os.path.abspath(path) for path in paths]  # noqa: PTH100 - links are not resolved
    stamps = {name: _stamp(name) for name in dict.fromkeys(names)}
    for name, stamp in stamps.items():
        if most is not None and (size := int(stamp.partition(":")[0])) > most:
            raise DataError(f"{name} has {size:,} bytes, more than the limit of {most:,}", "replace it, or remove it")
    with _cache() as cache:
        known = _known(cache, stamps)
        todo = [name for name in stamps if name not in known]
        _hash_all(cache, todo, stamps, known, what)
    return [known[name] for name in names]


def _stamp(name: str) -> str:
    try:
        stat = Path(name).stat()
    except OSError as error:
        raise _unreadable(name, error) from error
    return f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}:{stat.st_ino}"


def _unreadable(name: str, error: OSError) -> DataError:
    return DataError(f"cannot read {name}: {error.strerror}", "check that the file exists and is readable")


def _hash_all(
    cache: sqlite3.Connection | None, todo: list[str], stamps: dict[str, str], known: dict[str, str], what: str
) -> None:
    """Hash the files of `todo` in threads (hashing releases the interpreter lock) and cache them batch by batch."""
    from joblib import cpu_count

    workers = min(8, cpu_count() + 2)
    bar = progress.bar(what, len(todo), "files") if len(todo) > BATCH else contextlib.nullcontext(lambda n: None)
    with ThreadPoolExecutor(workers) as pool, bar as advance:
        for batch in _batches(todo, BATCH):
            found = dict(zip(batch, pool.map(_digest, batch), strict=True))
            known.update(found)
            _remember(cache, [(name, stamps[name], sha) for name, sha in found.items() if _settled(name, stamps[name])])
            advance(len(batch))


def _digest(name: str) -> str:
    try:
        return files.sha256_file(Path(name))
    except OSError as error:
        raise _unreadable(name, error) from error


def _settled(name: str, stamp: str) -> bool:
    """Tell whether a digest may be cached: a file changed just now could change again without a new time."""
    if _stamp(name) != stamp:
        return False
    _, modified, changed, _ = stamp.split(":")
    return time.time() - max(int(modified), int(changed)) / 1e9 > SETTLED


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


@contextlib.contextmanager
def _cache() -> Iterator[sqlite3.Connection | None]:
    """Yield the open cache, or None if it cannot be opened."""
    file = paths.home() / "hashes.sqlite"
    connection = _open(file)
    try:
        yield connection
    finally:
        if connection is not None:
            connection.close()


def _open(file: Path) -> sqlite3.Connection | None:
    for _ in range(2):
        connection: sqlite3.Connection | None = None
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(file, timeout=30, isolation_level=None)
            connection.execute(SCHEMA)
        except (sqlite3.OperationalError, OSError) as error:  # read-only, full, or locked too long
            log.warning("file digests are not cached: %s: %s", file, error)
        except sqlite3.DatabaseError as error:  # not a database; it is only a cache, so start a new one
            log.warning("%s is damaged (%s) and is replaced", file, error)
            if connection is not None:
                connection.close()
            file.unlink(missing_ok=True)
            continue
        else:
            return connection
        if connection is not None:
            connection.close()
        return None
    return None


def _known(cache: sqlite3.Connection | None, stamps: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    if cache is None:
        return found
    try:
        for batch in _batches(list(stamps), BATCH):
            marks = ",".join("?" * len(batch))
            query = f"SELECT path, stamp, sha256 FROM digests WHERE path IN ({marks})"  # noqa: S608 - marks only
            found.update((p, sha) for p, stamp, sha in cache.execute(query, batch) if stamps[p] == stamp)
    except sqlite3.DatabaseError as error:
        log.warning("the cache of file digests cannot be read: %s", error)
    return found


def _remember(cache: sqlite3.Connection | None, rows: Iterable[tuple[str, str, str]]) -> None:
    if cache is None:
        return
    try:
        cache.execute("BEGIN IMMEDIATE")
        cache.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", rows)
        cache.execute("COMMIT")
    except sqlite3.DatabaseError as error:
        log.warning("file digests are not cached: %s", error)
        with contextlib.suppress(sqlite3.DatabaseError):
            cache.execute("ROLLBACK")
