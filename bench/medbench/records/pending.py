"""Units that runs have planned and not finished yet, so that `medbench status` can show them.

A run writes a note of its units when it starts and deletes it when it ends. The note of a killed run stays; the same
command continues with its units. You may delete the notes of runs that will not be continued.
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
"""A unit, its key, and the name of the folder of its unfinished work (`unfinished`)."""


def unfinished(name: str) -> Path:
    """Return the folder that holds the state of the unfinished work called `name`."""
    return paths.home() / "partial" / name


@contextlib.contextmanager
def noted(runs: Path, units: Iterable[Planned]) -> Iterator[None]:
    """Keep a note of the planned units during this block; the note stays if the block is interrupted.

    Raises:
        OutputError: The folder is read-only or full.
    """
    rows = [[unit.model_dump(mode="json"), key, partial] for unit, key, partial in units]
    place = runs / FOLDER / f"{files.digest(rows)[:16]}.json"
    files.write_json(place, rows)
    yield
    place.unlink(missing_ok=True)  # units that are not done have printed an error
    for file in (runs / FOLDER).glob("*.json"):  # notes of interrupted runs whose units are all over by now
        if all(_over(runs, unit, key, file) for unit, key, _ in _read(file)):
            file.unlink(missing_ok=True)


def left(runs: Path) -> Iterator[tuple[Unit, bool]]:
    """Yield (unit, whether it has begun) for each planned unit that is neither done nor failed since, each once."""
    seen: set[str] = set()
    for file in sorted((runs / FOLDER).glob("*.json")):
        for unit, key, partial in _read(file):
            if key not in seen and not _over(runs, unit, key, file):
                yield unit, unfinished(partial).is_dir()
            seen.add(key)


def _over(runs: Path, unit: Unit, key: str, noted: Path) -> bool:
    """Tell whether a unit is done, or has failed since the note was written."""
    if store.is_done(runs, unit, key):
        return True
    try:
        failed = (store.folder_of(runs, unit, key) / store.FAILURE).stat().st_mtime_ns
        return failed >= noted.stat().st_mtime_ns
    except OSError:
        return False


def _read(file: Path) -> Sequence[Planned]:
    """Return the units of a note; an empty list if the note was just deleted or is damaged."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        return [(Unit.model_validate(unit), str(key), str(partial)) for unit, key, partial in rows]
    except (OSError, ValueError, TypeError, ValidationError):
        return []
