"""Which units of a run store are finished, for many of them at once."""

from __future__ import annotations

import os
from pathlib import Path

from medbench.records import store


class Listing:
    """A run store as it was when it was listed: each folder above those of units is read once, when it is first needed.

    For a unit whose folder exists one file is looked up; for any other none. Units written later can be missing.
    """

    def __init__(self, runs: Path) -> None:
        self._runs = str(runs)
        self._names: dict[tuple[str, ...], frozenset[str]] = {}
        self._last: tuple[tuple[str, ...], frozenset[str]] = (), frozenset()  # one place is asked for many times

    def is_done(self, place: store.Place, key: str) -> bool:
        """Tell whether the record of a unit of a data set, model and protocol exists."""
        return self.exists(place, key, store.RECORD)

    def exists(self, place: store.Place, key: str, file: str) -> bool:
        """Tell whether the folder of a unit has a file."""
        return self.has_folder(place, key) and os.path.isfile(self.path(place, key, file))  # noqa: PTH113 - many times

    def has_folder(self, place: store.Place, key: str) -> bool:
        """Tell whether a unit has a folder: it is finished, has failed, or its files are being written."""
        if place != self._last[0]:
            self._last = place, self._inside(place)
        return key[: store.SHORT] in self._last[1]

    def path(self, place: store.Place, key: str, file: str) -> str:
        """Return the path of a file of a unit."""
        return os.path.join(self._runs, *place, key[: store.SHORT], file)  # noqa: PTH118 - many times

    def _inside(self, place: tuple[str, ...]) -> frozenset[str]:
        """Return the names of the folders in a folder of the store."""
        known = self._names.get(place)
        if known is None:
            if place and place[-1] not in self._inside(place[:-1]):
                return frozenset()
            known = self._names[place] = frozenset(store.names(Path(self._runs, *place)))
        return known
