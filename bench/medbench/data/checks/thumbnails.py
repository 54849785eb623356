"""Small pictures of samples, for people to look at, from the data sets that are at hand."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medbench.data.dataset import targets_of
from medbench.data.images import decode
from medbench.data.layouts import reader
from medbench.data.load import Source, find_source
from medbench.errors import MedbenchError

SIDE = 128  # pixels of the longer side
QUALITY = 80


@dataclass(frozen=True)
class Found:
    """A data set that is at hand: where it lies, and of each sample the path and its class or findings."""

    source: Source
    paths: dict[str, str]
    truth: dict[str, tuple[str, ...]]


class Thumbnails:
    """Gives thumbnails by data set and id; of data sets that are not at hand it gives none.

    A sample whose class at hand is not the one that is asked for belongs to another release, or to another data set of
    the same name: its picture is not given, and `notes` tells.

    Args:
        root: The folder of the data, as `find_source` takes it; None: `MEDBENCH_DATA`.
        sources: Data sets that no card describes: a .csv of labels, a folder of class folders, or a card file each.

    Raises:
        MedbenchError: One of `sources` does not exist or cannot be read.
    """

    def __init__(self, root: Path | None = None, sources: Sequence[str] = ()) -> None:
        self.root = root
        named = [find_source(name, root) for name in sources]
        self._found: dict[str, Found | None] = {source.card.name: _samples(source) for source in named}
        self._unasked = set(self._found)
        self._other: dict[str, str] = {}

    def __call__(self, dataset: str, truth: Mapping[str, tuple[str, ...]]) -> Mapping[str, bytes]:
        """Return id -> a JPEG, of those samples that are there and can be decoded.

        Args:
            dataset: The data set's name.
            truth: Id -> names of its class, or of the findings it has.
        """
        self._unasked.discard(dataset)
        if dataset not in self._found:
            self._found[dataset] = self._look(dataset)
        found = self._found[dataset]
        if found is None:
            return {}
        pictures = {}
        for name, classes in truth.items():
            if name in found.paths and found.truth[name] != classes:
                self._other.setdefault(dataset, name)
            elif name in found.paths:
                pictures[name] = _thumbnail(found.source.root / found.paths[name], found.source.card.channels)
        return {name: data for name, data in pictures.items() if data is not None}

    def notes(self) -> list[str]:
        """Return what a person should know of the pictures that were not given."""
        other = [
            f"no pictures of some samples of {dataset}, such as {name}: the data at hand have other classes for them"
            for dataset, name in self._other.items()
        ]
        return other + [
            f"no run is on a data set called '{name}', so its pictures are not used" for name in self._unasked
        ]

    def _look(self, dataset: str) -> Found | None:
        try:
            return _samples(find_source(dataset, self.root))
        except MedbenchError:  # no card, no data folder, or labels that cannot be read: then there are no pictures
            return None


def _samples(source: Source) -> Found:
    card = source.card
    samples = reader.read_samples(card, source.root, tables=source.tables)
    ids, targets = samples["id"].tolist(), targets_of(samples, card)
    has = targets != 0 if targets.ndim == 2 else targets[:, None] == np.arange(len(card.class_names))
    names = np.array(card.class_names, dtype=object)
    return Found(
        source,
        dict(zip(ids, samples["path"], strict=True)),
        {name: tuple(names[row]) for name, row in zip(ids, has, strict=True)},
    )


def _thumbnail(path: Path, channels: int) -> bytes | None:
    try:
        image = decode.open_image(path, channels, draft_size=SIDE)
    except MedbenchError:
        return None
    image.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
