"""A data set as the other rooms see it: samples, targets, a split, and digests of all three."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medbench.cards.dataset import DatasetCard
from medbench.data.images.corruption import Corruption
from medbench.data.images.depth import MAX_DIGESTED
from medbench.data.layouts.own.taken import NOTHING, Taken
from medbench.data.splits import split_file
from medbench.storage.digests import file_digests
from medbench.storage.files import digest, rows_digest

if TYPE_CHECKING:
    import pandas as pd

SYNTHETIC = "SYNTHETIC.txt"
"""Marks the folder of a synthetic twin."""
TEXTS = ("categories", "attributes", "text", "source")
"""Columns of a samples table of image-text pairs."""


@dataclass(frozen=True)
class Dataset:
    """One data set under one split.

    Attributes:
        card: Its card.
        root: The data folder.
        samples: One row a sample, index 0..n-1: id (unique), path (posix, below `root`), group (the id where none is
            known), split (train, val, test; empty for samples left out), and `target` (int64) or, for multilabel
            tasks, one uint8 column `target_<class>` per class, in class order.
        split_name: The rule, RULE@N, or the split file's name.
        split_digest: sha256 over (id, split).
        digest: sha256 over ids, content, targets and groups.
        content: sha256 of each image file's bytes, in samples' order.
        grouped: Whether groups (patients, lesions) are known.
        inputs: Further inputs of each sample, by name: a data set of pictures each (`inputs.further_inputs`).
        missing: Ids of the samples that were left out because their images are not there.
        taken: What the user's own files were taken for.
        corruption: What is done to each image before a network sees it; None: nothing.
    """

    card: DatasetCard
    root: Path
    samples: pd.DataFrame
    split_name: str
    split_digest: str
    digest: str
    content: tuple[str, ...]
    grouped: bool
    inputs: dict[str, Dataset] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    taken: Taken = NOTHING
    corruption: Corruption | None = None

    @property
    def n_classes(self) -> int:
        """Number of classes, or of findings."""
        return len(self.card.classes)

    @property
    def multilabel(self) -> bool:
        """Whether a sample may carry several findings, or none."""
        return self.card.task == "multilabel"

    @cached_property
    def toy(self) -> bool:
        """Whether the images are made up: drawn by medbench, or a synthetic twin of a real set."""
        return self.card.toy or (self.root / SYNTHETIC).is_file()

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Number of samples in each split; a split without samples is not listed."""
        return dict(Counter(self.samples["split"].tolist()))

    def rows(self, split: str) -> npt.NDArray[np.intp]:
        """Return the positions in `samples` of the rows of one split, ascending."""
        return np.flatnonzero(self.samples["split"].to_numpy() == split)

    def targets(self, split: str | None = None) -> npt.NDArray[Any]:
        """Return the targets of one split, or of all samples: (n,) int64, or (n, classes) uint8 for multilabel."""
        found = targets_of(self.samples, self.card)
        return found if split is None else found[self.rows(split)]


def targets_of(samples: pd.DataFrame, card: DatasetCard) -> npt.NDArray[Any]:
    """Return (n,) int64 targets of a samples table, or (n, classes) uint8 for multilabel tasks."""
    if card.task == "multilabel":
        return samples[[f"target_{name}" for name in card.class_names]].to_numpy(np.uint8)
    return samples["target"].to_numpy(np.int64)


def content_digests(card: DatasetCard, root: Path, paths: Iterable[str]) -> list[str]:
    """Return the sha256 (hex) of each image file of a data set, by its path below `root`.

    Raises:
        DataError: A file is missing, cannot be read, is no regular file or is larger than any image.
    """
    return file_digests([root / path for path in paths], f"hashing {card.name}", MAX_DIGESTED)


def samples_digest(samples: pd.DataFrame, card: DatasetCard, content: Iterable[str]) -> str:
    """Return the sha256 over ids, content, targets and groups, in samples' order; of pairs, over their texts too."""
    targets = targets_of(samples, card).tolist()
    plain = rows_digest(zip(samples["id"], content, targets, samples["group"], strict=True))
    if not set(TEXTS) <= set(samples.columns):
        return plain
    said = samples[list(TEXTS)].itertuples(index=False, name=None)
    return digest([plain, rows_digest(map(tuple, said))])


def split_digest_of(samples: pd.DataFrame) -> str:
    """Return the sha256 over (id, split) of a samples table."""
    return split_file.split_digest(samples["id"], samples["split"])
