"""Find a data set by name, file or folder, and load it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from medbench import cards
from medbench.cards.dataset import SUBGROUP, CsvLayout, DatasetCard
from medbench.cards.find import HUB_DATA, dataset_kind, is_file_name
from medbench.data.dataset import SYNTHETIC, Dataset, content_digests, samples_digest, split_digest_of
from medbench.data.layouts import class_folders, join, reader
from medbench.data.layouts.own.folder import card_from_folder
from medbench.data.layouts.own.hub import card_from_hub
from medbench.data.layouts.own.table import card_from_csv
from medbench.data.layouts.own.taken import NOTHING, Taken
from medbench.data.layouts.own_columns import OwnColumns, negative_first, refuse_columns
from medbench.data.multi_input import further_inputs
from medbench.data.splits import split_file
from medbench.data.splits.rule_names import has_rule, is_told, with_rule
from medbench.errors import CardError, DataError, MissingDataError
from medbench.storage import files, paths

if TYPE_CHECKING:
    import pandas as pd

Missing = Literal["stop", "leave-out"]

SYSTEM = ("proc", "sys", "dev", "bin", "boot", "etc", "lib", "lib64", "sbin", "usr")
"""Folders at the top of a file system that hold no data of users."""


@dataclass(frozen=True)
class Source:
    """Where a data set's parts lie: its card, the data folder and the folder of the label files.

    Attributes:
        taken: What own files were taken for; nothing for a card that is written.
    """

    card: DatasetCard
    root: Path
    tables: Path
    taken: Taken = NOTHING


def find_source(name: str, root: Path | None = None, columns: OwnColumns | None = None) -> Source:
    """Find the card and the folders of a data set.

    Args:
        name: A card's name, `medmnist/NAME`, a card file (.yaml), a .csv of labels, a folder of class folders, or
            `hf://OWNER/NAME[@REVISION]`, a data set on the hub.
        root: The data folder, or one that holds a folder of the card's name. Without it: the card's
            `root`, else `MEDBENCH_DATA`/<name>; for a card file else its folder. For a CSV: the folder of the images;
            without it the CSV's.
        columns: What the user says of a CSV or a folder of their own.

    Raises:
        CardError: No such card.
        MissingDataError: No data folder is given, or it does not exist.
    """
    path, kind = Path(name).expanduser(), dataset_kind(name)
    if kind != "labels":
        refuse_columns(columns, name, card=kind == "card")
    if kind != "card":
        return _own_source(name, kind, root, columns)
    card = cards.find_dataset(name)
    if card.toy:
        from medbench.data.layouts import toy

        place = toy.ensure(card)
        return Source(card, place, place)
    found = card.data_folder() if root is None else None
    found = found or paths.data_root(card.name, root)
    if is_file_name(name) and root is None and (found is None or not found.is_dir()):
        found = path.parent
    if path.is_dir() and not (found and found.is_dir()):
        raise MissingDataError(
            f"the data of the card {name} were not found, but there is a folder called {name}",
            f"to use the folder, write ./{name}; {reader.access_hint(card)}",
        )
    place = _existing(card, found)
    if card.layout.kind == "npz":
        from medbench.data.layouts import medmnist_npz

        with reader.how_to_get(card):
            place = medmnist_npz.ensure(card, place, SYNTHETIC)
    return Source(card, place, place)


def find_own(name: str, root: Path | None = None, columns: OwnColumns | None = None) -> Source:
    """Find out what a user's own labels file or folder is, as `find_source` does, for a card that is to be written.

    Raises:
        CardError: `name` is a card, which says that already.
        MissingDataError: There is no such file or folder.
        DataError: It cannot be read as labels and images.
    """
    if dataset_kind(name) == "card":
        cards.find_dataset(name)
        raise CardError(
            f"'{name}' is already a card", f"name a labels file or a folder; to see the card: medbench show {name}"
        )
    return find_source(name, root, negative_first(columns))


def _own_source(name: str, kind: str, root: Path | None, columns: OwnColumns | None) -> Source:
    """Return the source of data that have no card: on the hub, a label file or a folder."""
    path = Path(name).expanduser()
    if name.startswith(HUB_DATA):
        own = card_from_hub(name, columns)
        return Source(own.card, own.root, own.root, own.taken)
    if kind == "labels":
        if not path.is_file():
            raise DataError(f"no label file {path}", "check the path")
        if root is not None and not root.expanduser().is_dir():
            raise DataError(
                f"the data folder {root} of {path} does not exist", "give the folder of the images with --data-root"
            )
        own = card_from_csv(path, None if root is None else root.expanduser(), columns)
        return Source(own.card, own.root, path.parent, own.taken)
    _refuse_system(path)
    own = card_from_folder(path, columns)
    return Source(own.card, own.root, own.root, own.taken)


def _refuse_system(folder: Path) -> None:
    """Refuse the folders of the operating system: to walk them takes minutes, or never ends."""
    place = folder.resolve()
    if place == Path(place.anchor) or (place.parts[1] in SYSTEM and place.parts[:3] != ("/", "dev", "shm")):
        raise DataError(f"{folder} belongs to the operating system", "give the folder that contains the class folders")


def _existing(card: DatasetCard, place: Path | None) -> Path:
    with reader.how_to_get(card):
        if place is None:
            raise MissingDataError(f"no data folder was given for the data set '{card.name}'")
        if not place.is_dir():
            raise MissingDataError(f"the data folder {place} of '{card.name}' does not exist")
    return place


def load_dataset(
    name: str | Path,
    root: Path | str | None = None,
    split: str | Path | None = None,
    *,
    allow_outside: bool = False,
    missing: Missing = "stop",
    columns: OwnColumns | None = None,
) -> Dataset:
    """Read a data set, split it and digest its images.

    Args:
        name: A card's name, a card file (.yaml), a .csv of labels, or a folder of class folders.
        root: The data folder; see `find_source`.
        split: Name of one of the card's split rules; RULE@N, which is that rule with the seed N (`kfold`: with the
            part N as test); few shots (`splits.rule_names`); or path of a split file (CSV with id and split), which
            may have no train or no val. None: the card's default.
        allow_outside: Let the image paths of a CSV lead out of the data folder.
        missing: What to do about images that are not there. `leave-out`: the split is drawn with them, so that the
            others stay where they are, and then they are taken out; the digest of the data tells the difference.
        columns: What the user says of a CSV or a folder of their own.

    Raises:
        CardError: No such card, or no such split rule.
        DataError: Labels, images or split are missing or wrong; the message names file, line and value.
    """
    opened = open_dataset(str(name), root, allow_outside=allow_outside, missing=missing, columns=columns)
    return opened.under(None if split is None else str(split))


@dataclass(frozen=True)
class Opened:
    """A data set that was read once, for as many splits as are asked for.

    Attributes:
        source: Where its parts lie.
        samples: What `read_samples` returns: all that the labels name.
        left_out: Positions of the samples that are taken out once a split is drawn, since their images are not there.
    """

    source: Source
    samples: pd.DataFrame
    left_out: list[int]

    @cached_property
    def content(self) -> tuple[str, ...]:
        """The sha256 of each image's bytes, without those left out."""
        paths = self.samples["path"].drop(index=self.left_out)
        return tuple(content_digests(self.source.card, self.source.root, paths))

    @cached_property
    def digest(self) -> str:
        """The sha256 over ids, content, targets and groups, without those left out."""
        return samples_digest(self.samples.drop(index=self.left_out), self.source.card, self.content)

    def under(self, split: str | None) -> Dataset:
        """Return the data set under a split; see `load_dataset`.

        Raises:
            CardError: No such split rule.
            DataError: The split cannot be made, or an image cannot be read.
        """
        card = self.source.card
        split_name, assigned = choose_split(card, self.samples, split)
        samples, lost = _with_split(self.samples, assigned), self.samples["id"].iloc[self.left_out].tolist()
        if lost:
            samples = samples.drop(index=self.left_out).reset_index(drop=True)
            where = f"{card.name} without its {len(lost)} missing images"
            split_file.refuse_empty(samples["split"].to_numpy(), where, set(assigned))
        found = Dataset(
            card=card,
            root=self.source.root,
            samples=samples,
            split_name=split_name,
            split_digest=split_digest_of(samples),
            digest=self.digest,
            content=self.content,
            grouped=bool((samples["group"] != samples["id"]).any()),
            missing=tuple(lost),
            taken=self.source.taken.with_rows(self.samples.attrs.get(reader.REPEATED, 0)),
        )
        if not (extra := further_inputs(found)):
            return found
        digest = files.digest([found.digest, {name: part.digest for name, part in extra.items()}])
        return dataclasses.replace(found, inputs=extra, digest=digest)


def open_dataset(
    name: str,
    root: Path | str | None = None,
    *,
    allow_outside: bool = False,
    missing: Missing = "stop",
    columns: OwnColumns | None = None,
) -> Opened:
    """Read a data set's labels and see which images are there; see `load_dataset`.

    Raises:
        CardError: No such card.
        DataError: Labels or images are missing or wrong; the message names file, line and value.
    """
    source = find_source(name, Path(root) if root is not None else None, columns)
    samples = reader.read_samples(source.card, source.root, allow_outside, source.tables)
    gone = absent_files(source.root, samples)
    command = f"medbench data check {name}" + (f" --data-root {root}" if root else "")
    if missing == "stop" or len(gone) == len(samples):
        with reader.how_to_get(source.card):
            class_folders.require_files(source.card, source.root, samples["path"].tolist(), command)
    return Opened(source, samples, gone if missing == "leave-out" else [])


def read_labels(name: str, root: Path | None = None, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Read the labels of a data set with further columns of its label files. No image is read.

    Args:
        name: As for `load_dataset`.
        root: The data folder; see `find_source`.
        columns: Subgroups of the card, or columns of the label files, however they are spelled there.

    Returns:
        What `reader.read_samples` returns, with a column `subgroup_<name>` for each of `columns`.

    Raises:
        CardError: No such card.
        DataError: The labels are missing or wrong, or lack a column.
    """
    source = find_source(name, root)
    card, layout = source.card, source.card.layout
    if isinstance(layout, CsvLayout):
        wanted = {column: column for column in columns} | layout.subgroups
        card = card.model_copy(update={"layout": layout.model_copy(update={"subgroups": wanted})})
    samples = reader.read_samples(card, source.root, True, source.tables)
    if lacking := [column for column in columns if SUBGROUP + column not in samples.columns]:
        known = [column.removeprefix(SUBGROUP) for column in samples.columns if column.startswith(SUBGROUP)]
        if isinstance(layout, CsvLayout):
            known = [*layout.subgroups, *join.headers(layout, layout.tables[0], source.tables)]
        has = f"they have: {', '.join(dict.fromkeys(known))}" if known else "they have no such columns"
        raise DataError(f"the labels of {card.name} have no column '{lacking[0]}'", has)
    return samples


def absent_files(root: Path, samples: pd.DataFrame) -> list[int]:
    """Return the positions of the samples of which an image, or a further input, is not there; ascending."""
    gone = set(class_folders.missing_files(root, samples["path"].tolist()))
    for column in (name for name in samples.columns if name.startswith("input_")):
        gone |= {at for at, path in enumerate(samples[column]) if not (root / path).exists()}
    return sorted(gone)


def choose_split(card: DatasetCard, samples: pd.DataFrame, chosen: str | None) -> tuple[str, npt.NDArray[np.object_]]:
    """Return (name, split of each sample) of a rule of the card or a method, of RULE@N, or of a split file.

    Raises:
        CardError: Neither a rule nor a file.
        DataError: The split cannot be made, or the file is wrong.
    """
    name = chosen or card.splits.default
    path = Path(name).expanduser()
    if not has_rule(card, name) and (path.is_file() or name.endswith(".csv") or os.sep in name):
        assigned = split_file.read_split(path, samples["id"].tolist(), split_file.data_digest(samples))
        split_file.refuse_empty(assigned, str(path), ("test",))  # a plan refuses what its protocols need
        return path.name, assigned
    if is_told(card, name):
        card = with_rule(card, name)
    return name, split_file.frozen_split(card, samples, name)


def _with_split(samples: pd.DataFrame, assigned: npt.NDArray[np.object_]) -> pd.DataFrame:
    return samples.assign(official=assigned).rename(columns={"official": "split"})
