"""Units that runs have planned and not finished yet, so that `medbench status` can show them.

A run writes a note of its units when it starts and deletes it when it ends. The note of a killed run stays; the same
command continues with its units. You may delete the notes of runs that will not be continued.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from medbench.records import store
from medbench.records.listing import Listing
from medbench.records.schema import Unit
from medbench.storage import files, paths

FOLDER = ".plans"
SHARED = ("preset", "options", "weights", "toy")
"""Fields of a unit that most units of a plan share; a note has each combination once."""


class Planned(NamedTuple):
    """The units of one job.

    Attributes:
        unit: One of them; the others differ in their seed alone.
        seeds: The seeds of all.
        keys: Their keys, or the beginnings that name their folders.
        partial: Name of the folder of their unfinished work (`unfinished`).
    """

    unit: Unit
    seeds: Sequence[int]
    keys: Sequence[str]
    partial: str

    def units(self) -> list[tuple[Unit, str]]:
        """Return each unit with its key."""
        pairs = zip(self.seeds, self.keys, strict=True)
        return [(self.unit.model_copy(update={"seed": seed}), key) for seed, key in pairs]


def unfinished(name: str) -> Path:
    """Return the folder that holds the state of the unfinished work called `name`."""
    return paths.home() / "partial" / name


@contextlib.contextmanager
def noted(runs: Path, jobs: Iterable[Planned]) -> Iterator[None]:
    """Keep a note of the planned units during this block; the note stays if the block is interrupted.

    Raises:
        OutputError: The folder is read-only or full.
    """
    text = files.canonical(_content(jobs))
    place = runs / FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    files.write_text(place, text)
    yield
    place.unlink(missing_ok=True)  # units that are not done have printed an error
    there = Listing(runs)
    for file in (runs / FOLDER).glob("*.json"):  # notes of interrupted runs whose units are all over by now
        if not any(_seeds_left(there, job, since) for job, since in _read(file)):
            file.unlink(missing_ok=True)


def left(runs: Path) -> Iterator[tuple[Planned, bool]]:
    """Yield (units of a job, whether it has begun): the planned units that are neither done nor failed since.

    A unit that is in several notes is yielded once; a job of which nothing is left is not yielded.
    """
    there, begun = Listing(runs), set(store.names(unfinished("")))
    seen: set[tuple[store.Place, str]] = set()
    for file in sorted((runs / FOLDER).glob("*.json")):
        for job, since in _read(file):
            place = _place(job.unit)
            new = [(seed, key) for seed, key in _seeds_left(there, job, since) if (place, key) not in seen]
            seen.update((place, key) for _, key in new)
            if new:
                yield job._replace(seeds=[seed for seed, _ in new], keys=[key for _, key in new]), job.partial in begun


def _content(jobs: Iterable[Planned]) -> dict[str, Any]:
    """Return a note's content: the combinations of shared fields; and each job with the number of its combination."""
    numbers: dict[str, int] = {}
    shared: list[dict[str, Any]] = []
    rows: list[list[Any]] = []
    for unit, seeds, keys, partial in jobs:
        fields = unit.model_dump(mode="json", include=set(SHARED))
        number = numbers.setdefault(files.canonical(fields), len(numbers))
        shared += [fields] if number == len(shared) else []
        rows.append([*_place(unit), number, partial, list(seeds), [key[: store.SHORT] for key in keys]])
    return {"shared": shared, "jobs": rows}


def _read(file: Path) -> Iterator[tuple[Planned, int]]:
    """Yield each job of a note, and when the note was written, in nanoseconds.

    A note that was just deleted, is damaged, or was written by medbench 0.1.0 yields nothing.
    """
    try:
        since = file.stat().st_mtime_ns
        note = json.loads(file.read_text(encoding="utf-8"))
        for dataset, model, protocol, number, partial, seeds, keys in note["jobs"]:
            fields = note["shared"][number]
            unit = Unit(dataset=dataset, model=model, protocol=protocol, seed=seeds[0], **fields)
            yield Planned(unit, seeds, keys, partial), since
    except (OSError, ValueError, TypeError, LookupError, ValidationError):
        return


def _seeds_left(there: Listing, job: Planned, since: int) -> list[tuple[int, str]]:
    """Return (seed, key) of a job's units that are neither done nor have failed since then."""
    place = _place(job.unit)
    return [(seed, key) for seed, key in zip(job.seeds, job.keys, strict=False) if not _over(there, place, key, since)]


def _over(there: Listing, place: store.Place, key: str, since: int) -> bool:
    if not there.has_folder(place, key):
        return False
    if there.is_done(place, key):
        return True
    try:
        return os.stat(there.path(place, key, store.FAILURE)).st_mtime_ns >= since  # noqa: PTH116
    except OSError:
        return False


def _place(unit: Unit) -> store.Place:
    return unit.dataset, unit.model, unit.protocol
