"""A data set as the other rooms see it: samples, targets, a split, and digests of all three."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medbench import cards, files, hashes, paths
from medbench.cards.dataset import DatasetCard
from medbench.cards.find import is_file_name
from medbench.cards.medmnist import is_medmnist_name
from medbench.data import folders, own, read, split
from medbench.data.digests import rows_digest
from medbench.data.inputs import further_inputs
from medbench.data.numbered import has_rule
from medbench.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SYNTHETIC = "SYNTHETIC.txt"
"""Marks the folder of a synthetic twin."""


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

    @property
    def n_classes(self) -> int:
        """Number of classes, or of findings."""
        return len(self.card.classes)

    @property
    def multilabel(self) -> bool:
        """Whether a sample may carry several findings, or none."""
        return self.card.task == "multilabel"

    @property
    def toy(self) -> bool:
        """Whether the images are made up: drawn by medbench, or a synthetic twin of a real set."""
        return self.card.toy or (self.root / SYNTHETIC).is_file()

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


def samples_digest(samples: pd.DataFrame, card: DatasetCard, content: Iterable[str]) -> str:
    """Return the sha256 over ids, content, targets and groups, in samples' order."""
    targets = targets_of(samples, card).tolist()
    return rows_digest(zip(samples["id"], content, targets, samples["group"], strict=True))


@dataclass(frozen=True)
class Source:
    """Where a data set's parts lie: its card, the data folder and the folder of the label files."""

    card: DatasetCard
    root: Path
    tables: Path


def find_source(name: str, root: Path | None = None) -> Source:
    """Find the card and the folders of a data set.

    Args:
        name: A card's name, `medmnist/NAME`, a card file (.yaml), a .csv of labels, or a folder of class folders.
        root: The data folder, or one that holds a folder of the card's name. Without it: `MEDBENCH_DATA`/<name>; for
            a card file else the folder it lies in; for a CSV the folder it lies in.

    Raises:
        CardError: No such card.
        DataError: The data folder is not told, or not there.
    """
    path = Path(name).expanduser()
    if name.lower().endswith((".csv", ".tsv")):
        if not path.is_file():
            raise DataError(f"no label file {path}", "check the path")
        card = own.card_from_csv(path, root)
        place = path.parent if root is None else _existing(card, paths.data_root(card.name, root))
        return Source(card, place, path.parent)
    known = is_file_name(name) or is_medmnist_name(name) or name in cards.names("datasets")
    if not known and path.is_dir():
        return Source(own.card_from_folder(path), path, path)
    card = cards.find_dataset(name)
    if card.toy:
        from medbench.data import toy

        place = toy.ensure(card)
        return Source(card, place, place)
    found = paths.data_root(card.name, root)
    if is_file_name(name) and root is None and (found is None or not found.is_dir()):
        found = path.parent
    place = _existing(card, found)
    if card.layout.kind == "npz":
        from medbench.data import npz

        place = npz.ensure(card, place, read.access_hint(card), SYNTHETIC)
    return Source(card, place, place)


def _existing(card: DatasetCard, place: Path | None) -> Path:
    if place is None:
        raise DataError(f"where does the data set '{card.name}' lie? No data folder was told", read.access_hint(card))
    if not place.is_dir():
        raise DataError(f"the data folder {place} of '{card.name}' is not there", read.access_hint(card))
    return place


def load_dataset(
    name: str, root: Path | str | None = None, split: str | None = None, *, allow_outside: bool = False
) -> Dataset:
    """Read a data set, split it and digest its images.

    Args:
        name: A card's name, a card file (.yaml), a .csv of labels, or a folder of class folders.
        root: The data folder; see `find_source`.
        split: Name of one of the card's split rules; RULE@N, which is that rule with the seed N (`kfold`: with the
            part N as test); or path of a split file (CSV with id and split). None: the card's default.
        allow_outside: Let the image paths of a CSV lead out of the data folder.

    Raises:
        CardError: No such card, or no such split rule.
        DataError: Labels, images or split are missing or wrong; the message names file, line and value.
    """
    source = find_source(name, Path(root) if root is not None else None)
    card, place = source.card, source.root
    samples = read.read_samples(card, place, allow_outside, source.tables)
    command = f"medbench data check {name}" + (f" --data-root {root}" if root else "")
    folders.require_files(card, place, samples["path"].tolist(), read.access_hint(card), command)
    split_name, assigned = choose_split(card, samples, split)
    samples = _with_split(samples, assigned)
    content = tuple(hashes.file_digests([place / path for path in samples["path"]], f"hashing {card.name}"))
    found = Dataset(
        card=card,
        root=place,
        samples=samples,
        split_name=split_name,
        split_digest=split_digest_of(samples),
        digest=samples_digest(samples, card, content),
        content=content,
        grouped=bool((samples["group"] != samples["id"]).any()),
    )
    if not (extra := further_inputs(found)):
        return found
    digest = files.digest([found.digest, {name: part.digest for name, part in extra.items()}])
    return dataclasses.replace(found, inputs=extra, digest=digest)


def split_digest_of(samples: pd.DataFrame) -> str:
    """Return the sha256 over (id, split) of a samples table."""
    return split.split_digest(samples["id"], samples["split"])


def choose_split(card: DatasetCard, samples: pd.DataFrame, chosen: str | None) -> tuple[str, npt.NDArray[np.object_]]:
    """Return (name, split of each sample) of a rule of the card, of RULE@N, or of a split file.

    Raises:
        CardError: Neither a rule nor a file.
        DataError: The split cannot be made, or the file is wrong.
    """
    name = chosen or card.splits.default
    path = Path(name).expanduser()
    if not has_rule(card, name) and (path.is_file() or name.endswith(".csv") or os.sep in name):
        assigned = split.read_split(path, samples["id"].tolist(), split.data_digest(samples))
        split.refuse_empty(assigned, str(path))
        return path.name, assigned
    return name, split.frozen_split(card, samples, name)


def _with_split(samples: pd.DataFrame, assigned: npt.NDArray[np.object_]) -> pd.DataFrame:
    return samples.assign(official=assigned).rename(columns={"official": "split"})
