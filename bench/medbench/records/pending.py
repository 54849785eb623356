"""What runs were asked for and have not done yet, so that `medbench status` sees it from elsewhere.

A run notes its units when it begins and takes the note away when it ends by itself; after a kill it stays, and the same
command goes on with what it names. Notes of requests that nobody will take up again may be deleted.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from medbench.records import store
from medbench.records.schema import Unit
from medbench.storage import files, paths

FOLDER = ".plans"
Planned = tuple[Unit, str, str]
"""A unit, its key, and the name of its folder for unfinished work (`unfinished`)."""


def unfinished(name: str) -> Path:
    """Return the folder for the state of unfinished work called `name`."""
    return paths.home() / "partial" / name


@contextlib.contextmanager
def noted(runs: Path, units: Iterable[Planned]) -> Iterator[None]:
    """Have the units of a request noted inside this block, and after it if it was broken off.

    Raises:
        OutputError: The folder is read-only or full.
    """
    rows = [[unit.model_dump(mode="json"), key, partial] for unit, key, partial in units]
    place = runs / FOLDER / f"{files.digest(rows)[:16]}.json"
    files.write_json(place, rows)
    yield
    place.unlink(missing_ok=True)  # what is left has failed or waits for a person, and said so
    for file in (runs / FOLDER).glob("*.json"):  # of runs that were broken off, and of which nothing is left
        if all(_over(runs, unit, key, file) for unit, key, _ in _read(file)):
            file.unlink(missing_ok=True)


def left(runs: Path) -> Iterator[tuple[Unit, bool]]:
    """Yield (unit, whether it has begun) of what was noted and neither done nor failed since, each once."""
    seen: set[str] = set()
    for file in sorted((runs / FOLDER).glob("*.json")):
        for unit, key, partial in _read(file):
            if key not in seen and not _over(runs, unit, key, file):
                yield unit, unfinished(partial).is_dir()
            seen.add(key)


def _over(runs: Path, unit: Unit, key: str, noted: Path) -> bool:
    """Tell whether a unit is done, or has failed since it was noted."""
    if store.is_done(runs, unit, key):
        return True
    try:
        failed = (store.folder_of(runs, unit, key) / store.FAILURE).stat().st_mtime_ns
        return failed >= noted.stat().st_mtime_ns
    except OSError:
        return False


def _read(file: Path) -> Sequence[Planned]:
    """Return the units of a note; none of one that was just taken away, or is damaged."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        return [(Unit.model_validate(unit), str(key), str(partial)) for unit, key, partial in rows]
    except (OSError, ValueError, TypeError, ValidationError):
        return []
