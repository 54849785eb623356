"""Reading many records at once, and only those that are asked for."""

from __future__ import annotations

import gc
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
    with collector_off():
        if places is None:
            return list(store.read_all(runs, dataset))
        wanted = sorted(set(places))
        folders = (folder for place in wanted for folder in sorted((runs / dataset).joinpath(*place).glob("*")))
        return [record for folder in folders if (record := store.read(folder)) is not None]


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
