"""Thumbnails of samples, from the data sets that are on this machine."""

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
    """A data set on this machine: its folder, and the path and the class or findings of each sample."""

    source: Source
    paths: dict[str, str]
    truth: dict[str, tuple[str, ...]]


class Thumbnails:
    """Gives thumbnails by data set and id; none for data sets that are not on this machine.

    If a sample's class on this machine differs from the class asked for, the sample is of another release or of a
    different data set with the same name: it gets no thumbnail, and `notes` says so.

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
        """Return id -> a JPEG, for the samples whose files exist and can be decoded.

        Args:
            dataset: The data set's name.
            truth: Id -> the name of its class, or the names of its findings.
        """
        self._unasked.discard(dataset)
        if dataset not in self._found:
            self._found[dataset] = self._look(dataset)
        found = self._found[dataset]
        if found is None:
            return {}
        thumbnails = {}
        for name, classes in truth.items():
            if name in found.paths and found.truth[name] != classes:
                self._other.setdefault(dataset, name)
            elif name in found.paths:
                thumbnails[name] = thumbnail(found.source.root / found.paths[name], found.source.card.channels)
        return {name: data for name, data in thumbnails.items() if data is not None}

    def notes(self) -> list[str]:
        """Return why thumbnails are missing, one line each."""
        other = [
            f"some samples of {dataset}, such as {name}, have no thumbnails: their classes differ from those in the "
            f"records"
            for dataset, name in self._other.items()
        ]
        return other + [
            f"no run used a data set called '{name}', so its images are not shown" for name in self._unasked
        ]

    def _look(self, dataset: str) -> Found | None:
        try:
            return _samples(find_source(dataset, self.root))
        except MedbenchError:  # no card, no data folder, or unreadable labels: then there are no thumbnails
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


def thumbnail(path: Path, channels: int, side: int = SIDE) -> bytes | None:
    """Return an image file as a small JPEG; None if the file is missing or cannot be decoded.

    Args:
        path: The file.
        channels: 1 for grey, 3 for colour.
        side: Pixels of the longer side, at most.
    """
    try:
        image = decode.open_image(path, channels, draft_size=side)
    except MedbenchError:
        return None
    image.thumbnail((side, side))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
