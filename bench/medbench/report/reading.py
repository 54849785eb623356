"""Reading many records at once, and only those that are asked for."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from medbench.records import Record, store


def records_of(runs: Path, dataset: str, places: Iterable[tuple[str, str]] | None = None) -> list[Record]:
    """Return the records of one data set, in order of their folders.

    Args:
        runs: The run store.
        dataset: The data set's name.
        places: (model, protocol) of those that are wanted; None: all. Other folders are not opened.
    """
    base = runs / dataset
    with collector_off():
        if places is None:
            places = [(model, protocol) for model in _names(base) for protocol in _names(base / model)]
        folders = (base / model / protocol for model, protocol in sorted(set(places)))
        found = (store.read(folder / key) for folder in folders for key in _names(folder))
        return [record for record in found if record is not None]


def _names(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted; none where it is not there."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


@contextmanager
def collector_off() -> Iterator[None]:
    """Pause the search for reference cycles while many records are held.

    Records have none, and of ten thousand the search takes longer than reading them.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
