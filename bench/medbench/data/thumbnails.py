"""Small pictures of samples, for people to look at, from the data sets that are at hand."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from medbench.data import decode, read
from medbench.data.dataset import Source, find_source
from medbench.errors import MedbenchError

SIDE = 128  # pixels of the longer side
QUALITY = 80
Found = tuple[Source, dict[str, str]]
"""A data set, and id -> path of its samples."""


class Thumbnails:
    """Gives thumbnails by data set and id; called with a data set that is not at hand it gives none.

    Args:
        root: The folder of the data, as `find_source` takes it; None: `MEDBENCH_DATA`.
        sources: Data sets that no card describes: a .csv of labels, a folder of class folders, or a card file each.

    Raises:
        MedbenchError: One of `sources` is not there or cannot be read.
    """

    def __init__(self, root: Path | None = None, sources: Sequence[str] = ()) -> None:
        self.root = root
        named = [find_source(name, root) for name in sources]
        self._found: dict[str, Found | None] = {s.card.name: _samples(s) for s in named}

    def __call__(self, dataset: str, ids: Sequence[str]) -> Mapping[str, bytes]:
        """Return id -> a JPEG, of those samples that are there and can be decoded."""
        if dataset not in self._found:
            self._found[dataset] = self._look(dataset)
        found = self._found[dataset]
        if found is None:
            return {}
        source, paths = found
        there = [name for name in ids if name in paths]
        small = {name: _thumbnail(source.root / paths[name], source.card.channels) for name in there}
        return {name: data for name, data in small.items() if data is not None}

    def _look(self, dataset: str) -> Found | None:
        try:
            return _samples(find_source(dataset, self.root))
        except MedbenchError:  # no card, no data folder, or another release: then there are no pictures
            return None


def _samples(source: Source) -> Found:
    samples = read.read_samples(source.card, source.root, tables=source.tables)
    return source, dict(zip(samples["id"], samples["path"], strict=True))


def _thumbnail(path: Path, channels: int) -> bytes | None:
    try:
        image = decode.open_image(path, channels, draft_size=SIDE)
    except MedbenchError:
        return None
    image.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
