"""From a card and a folder on disk to samples: ids, paths, groups, targets and the release's own split."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medbench.cards.dataset import SUBGROUP, CsvLayout, DatasetCard, FolderLayout, LabelTable, ListLayout, NpzLayout
from medbench.cards.dataset.example import FIELD
from medbench.data.dataset import SYNTHETIC
from medbench.data.layouts import class_folders
from medbench.data.layouts.csv_table import Columns, read_lines
from medbench.data.layouts.image_paths import Endings, filled, image_paths, on_disk, parts
from medbench.data.layouts.join import read_table, subgroup_columns, with_image
from medbench.data.layouts.own.spelling import SPLITS, usual_split
from medbench.data.layouts.targets import class_numbers, csv_targets
from medbench.errors import DataError, MissingDataError
from medbench.storage import files, paths

if TYPE_CHECKING:
    import pandas as pd

REPEATED = "repeated"
"""Key of the number of rows, in `attrs` of a samples table, that say again what another row says."""


@dataclass
class Part:
    """Samples of one label file, in its order. Targets: (n,) int64, or (n, classes) uint8 for multilabel tasks.

    Inputs: by name, the path of each sample's further picture or folder of slices. Subgroups: by name, the cells.
    """

    columns: Columns
    ids: list[str]
    paths: list[str]
    groups: list[str]
    official: list[str]
    targets: npt.NDArray[np.int64] | npt.NDArray[np.uint8]
    inputs: dict[str, list[str]] = field(default_factory=dict)
    subgroups: dict[str, list[str]] = field(default_factory=dict)

    def said(self, row: int) -> tuple[tuple[str, object], ...]:
        """Return what a row says of its sample: (what, value)."""
        return (
            ("image", self.paths[row]),
            ("label", self.targets[row].tolist()),
            ("group", self.groups[row]),
            ("split", self.official[row]),
            ("input", [names[row] for names in self.inputs.values()]),
            *((name, cells[row]) for name, cells in self.subgroups.items()),
        )

    def picked(self, rows: Sequence[int]) -> Part:
        """Return only these rows."""

        def of(texts: list[str]) -> list[str]:
            return [texts[row] for row in rows]

        lists = of(self.ids), of(self.paths), of(self.groups), of(self.official)
        inputs, subgroups = ({name: of(found) for name, found in one.items()} for one in (self.inputs, self.subgroups))
        return Part(self.columns.picked(rows), *lists, self.targets[list(rows)], inputs, subgroups)


def access_hint(card: DatasetCard) -> str:
    """Return what to do when a data set is not where it was looked for."""
    steps = card.access.steps.strip() or (f"get it from {card.access.url}" if card.access.url else "")
    told = f"set MEDBENCH_DATA (the folder that holds {paths.data_folder(card.name)}/) or pass --data-root"
    return f"{told}\nTo get {card.name}:\n{steps}" if steps else told


@contextlib.contextmanager
def how_to_get(card: DatasetCard) -> Iterator[None]:
    """Tell, when files of a data set are missing, how to get them."""
    try:
        yield
    except MissingDataError as error:
        raise MissingDataError(error.message, error.hint or access_hint(card)) from error


@dataclass(frozen=True)
class Place:
    """Where a data set is read: the data folder, the folder of the label files, whether images may lie outside."""

    root: Path
    tables: Path
    allow_outside: bool
    endings: Endings


def read_samples(
    card: DatasetCard, root: Path, allow_outside: bool = False, tables: Path | None = None
) -> pd.DataFrame:
    """Read the samples of a data set as its card says. No image is touched.

    Args:
        card: The card; for toy sets the images must have been drawn (`toy.ensure`), for npz files unpacked
            (`npz.ensure`), and `root` is where they are.
        root: The data folder.
        allow_outside: Let image paths lead out of `root`.
        tables: Folder of the label files, where it is not `root`.

    Returns:
        One row a sample in the files' order: id, path (posix, below `root`), group (the id where none is known),
        official (train, val, test, or empty where the release has no split), `input_<name>` (path of a further picture
        or folder of slices) for each further input, `subgroup_<name>` (text of the cell) for each of the card's
        subgroups that the labels have, and `target`, int64, or one uint8 column `target_<class>` per class
        for multilabel tasks. A row that repeats another counts once; `attrs[REPEATED]` is the number of such rows.

    Raises:
        DataError: A file, column or row is missing or wrong; names file, line, column and value.
    """
    place = Place(root, tables or root, allow_outside, Endings(root))
    with how_to_get(card):
        return _without(card, root, _join(card, _parts(card, place)))


def _without(card: DatasetCard, root: Path, samples: pd.DataFrame) -> pd.DataFrame:
    """Return the samples without those on the card's exclusion list; a synthetic twin has other ids by intent."""
    if card.exclude is None:
        return samples
    listed = read_lines(files.inside(card.folder, card.exclude))
    known, names = set(samples["id"]), listed.cells["name"]
    lone = next((row for row, name in enumerate(names) if name not in known), None)
    if lone is not None and not (root / SYNTHETIC).is_file():
        raise DataError(
            f"{listed.where(lone)}: no sample has the id '{names[lone]}'",
            f"write ids in the form '{samples['id'].iloc[0]}', or remove the line",
        )
    kept = samples[~samples["id"].isin(set(names))].reset_index(drop=True)
    if kept.empty:
        raise DataError(f"{listed.file} leaves out all samples of {card.name}", "remove lines from it")
    return kept


def _parts(card: DatasetCard, place: Place) -> list[Part]:
    """Return what each label file of a data set holds."""
    layout = card.layout
    if isinstance(layout, ListLayout):
        return [_list_part(card, layout, split, place) for split in layout.lists]
    if isinstance(layout, FolderLayout):
        return [_folder_part(card, layout, place.root)]
    if not isinstance(layout, CsvLayout):
        from medbench.data.layouts import medmnist_npz, toy

        layout = medmnist_npz.csv_layout(card) if isinstance(layout, NpzLayout) else toy.csv_layout(card)
        place = Place(place.root, place.root, False, place.endings)
    return [_csv_part(card, layout, table, place) for table in layout.tables]


def _csv_part(card: DatasetCard, layout: CsvLayout, table: LabelTable, place: Place) -> Part:
    layout = with_image(layout, table, place.tables)
    columns = read_table(layout, table, place.tables)
    named = image_paths(columns, table.image or layout.image, layout.replace, place.root, place.allow_outside)
    ids = filled(columns, layout.id) if layout.id else named
    targets = csv_targets(card, layout, columns)
    if table.split or not layout.split:
        official = [str(table.split or "")] * len(columns)
    else:
        official = _official(columns, layout)
    if layout.group_pattern:
        places = [columns.where(row) for row in range(len(columns))]
        groups = parts(named, layout.group_pattern, "group", places)
    else:
        groups = _groups(columns, layout.group, ids)
    found = on_disk(place.root, place.endings.found(columns, named) if layout.match == "stem" else named)
    inputs = {
        name: image_paths(columns, rule.image, {}, place.root, place.allow_outside)
        for name, rule in layout.inputs.items()
    }
    found_in = subgroup_columns(layout, table, place.tables)
    subgroups = {name: columns.cells[column] for name, column in found_in.items()}
    return Part(columns, ids, found, groups, official, targets, inputs, subgroups)


def _list_part(card: DatasetCard, layout: ListLayout, split: str, place: Place) -> Part:
    columns = read_lines(place.tables / dict(layout.lists)[split])  # type: ignore[index]
    found = image_paths(columns, layout.image, {}, place.root, place.allow_outside)
    names = columns.cells["name"]
    places = [columns.where(row) for row in range(len(names))]
    columns.cells["label"] = parts(names, layout.label, "label", places)
    targets = class_numbers(columns, "label", card.class_names, layout.values)
    groups = parts(names, layout.group, "group", places) if layout.group else found
    return Part(columns, found, found, groups, [split] * len(names), targets)


def _folder_part(card: DatasetCard, layout: FolderLayout, root: Path) -> Part:
    found, targets, official = class_folders.walk(card, layout, root)
    groups = parts(found, layout.group, "group", found) if layout.group else found
    columns = Columns(root, {}, list(range(1, len(found) + 1)))
    return Part(columns, found, found, groups, official, targets)


def _groups(columns: Columns, template: str | None, ids: list[str]) -> list[str]:
    """Return the group of each row; the row's own id where the group's cells are all empty."""
    if not template:
        return ids
    empty = filled(Columns(columns.file, {n: [""] for n in FIELD.findall(template)}, [0]), template, required=False)[0]
    return [
        ids[row] if group == empty else group for row, group in enumerate(filled(columns, template, required=False))
    ]


def _official(columns: Columns, layout: CsvLayout) -> list[str]:
    assert layout.split
    table: dict[str, str] = {str(raw): str(split) for raw, split in layout.split_values.items()}
    found = []
    for row, raw in enumerate(columns.cells[layout.split]):
        split = table.get(raw) or ("" if layout.split_values else usual_split(raw))
        if not split:
            known = ", ".join(layout.split_values or SPLITS)
            raise DataError(f"{columns.where(row, layout.split)}: '{raw}' is not a split", f"use one of: {known}")
        found.append(split)
    return found


def _join(card: DatasetCard, parts: list[Part]) -> pd.DataFrame:
    import pandas as pd

    parts, repeated = _once(parts)
    frame = pd.DataFrame(
        {
            name: [value for part in parts for value in getattr(part, field)]
            for name, field in (("id", "ids"), ("path", "paths"), ("group", "groups"), ("official", "official"))
        }
    )
    for name in parts[0].inputs:
        frame[f"input_{name}"] = [path for part in parts for path in part.inputs[name]]
    for name in dict.fromkeys(name for part in parts for name in part.subgroups):
        cells = [part.subgroups.get(name, [""] * len(part.ids)) for part in parts]
        frame[f"{SUBGROUP}{name}"] = [cell for of_part in cells for cell in of_part]
    targets = np.concatenate([part.targets for part in parts])
    if targets.ndim == 1:
        frame["target"] = targets.astype(np.int64)
    else:
        hot = pd.DataFrame(targets.astype(np.uint8), columns=[f"target_{name}" for name in card.class_names])
        frame = pd.concat([frame, hot], axis=1)
    frame.attrs[REPEATED] = repeated
    return frame


def _once(parts: list[Part]) -> tuple[list[Part], int]:
    """Return the parts without rows that say again what another says, and how many these are.

    Raises:
        DataError: Two rows with one id say different things.
    """
    ids = [name for part in parts for name in part.ids]
    if len(set(ids)) == len(ids):
        return parts, 0
    seen: dict[str, tuple[str, tuple[tuple[str, object], ...]]] = {}
    found = []
    for part in parts:
        kept = []
        for row, name in enumerate(part.ids):
            where, said = part.columns.where(row), part.said(row)
            if name not in seen:
                seen[name] = where, said
                kept.append(row)
                continue
            first, other = seen[name]
            if differ := [what for (what, mine), (_, theirs) in zip(said, other, strict=True) if mine != theirs]:
                raise DataError(
                    f"{where}: duplicate id '{name}' with another {differ[0]}, first at {first}",
                    "remove one of the rows, or set layout.id to a template that gives unique ids",
                )
        found.append(part.picked(kept))
    return found, len(ids) - len(seen)
