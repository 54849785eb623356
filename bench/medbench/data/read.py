"""From a card and a folder on disk to samples: ids, paths, groups, targets and the release's own split."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medbench import paths
from medbench.cards.dataset import CsvLayout, DatasetCard, FolderLayout, ListLayout, NpzLayout, Table
from medbench.cards.example import FIELD
from medbench.data import folders, labels
from medbench.data.joined import read_table
from medbench.data.naming import Endings, filled, image_paths, parts
from medbench.data.table import Columns, read_lines
from medbench.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

USUAL_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""What a split column may hold where the card does not say."""


@dataclass
class Part:
    """Samples of one label file, in its order. Targets: (n,) int64, or (n, classes) uint8 for multilabel tasks.

    Inputs: by name, the path of each sample's further picture or folder of slices.
    """

    columns: Columns
    ids: list[str]
    paths: list[str]
    groups: list[str]
    official: list[str]
    targets: npt.NDArray[np.int64] | npt.NDArray[np.uint8]
    inputs: dict[str, list[str]] = field(default_factory=dict)


def access_hint(card: DatasetCard) -> str:
    """Return what to do when a data set is not where it was looked for."""
    steps = card.access.steps.strip() or (f"get it from {card.access.url}" if card.access.url else "")
    told = f"set MEDBENCH_DATA (the folder that holds {paths.data_folder(card.name)}/) or pass --data-root"
    return f"{told}\nTo get {card.name}:\n{steps}" if steps else told


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
        or folder of slices) for each further input, and `target`, int64, or one uint8 column `target_<class>` per class
        for multilabel tasks.

    Raises:
        DataError: A file, column or row is missing or wrong; names file, line, column and value.
    """
    layout = card.layout
    place = Place(root, tables or root, allow_outside, Endings(root))
    if isinstance(layout, ListLayout):
        return _join(card, [_list_part(card, layout, split, place) for split in layout.lists])
    if isinstance(layout, FolderLayout):
        return _join(card, [_folder_part(card, layout, root)])
    if not isinstance(layout, CsvLayout):
        from medbench.data import npz, toy

        layout = npz.csv_layout(card) if isinstance(layout, NpzLayout) else toy.csv_layout(card)
        place = Place(root, root, False, place.endings)
    return _join(card, [_csv_part(card, layout, table, place) for table in layout.tables])


def _csv_part(card: DatasetCard, layout: CsvLayout, table: Table, place: Place) -> Part:
    columns = read_table(layout, table, place.tables, access_hint(card))
    named = image_paths(columns, table.image or layout.image, layout.replace, place.root, place.allow_outside)
    ids = filled(columns, layout.id) if layout.id else named
    targets = labels.csv_targets(card, layout, columns)
    if table.split or not layout.split:
        official = [str(table.split or "")] * len(columns)
    else:
        official = _official(columns, layout)
    if layout.group_pattern:
        places = [columns.where(row) for row in range(len(columns))]
        groups = parts(named, layout.group_pattern, "group", places)
    else:
        groups = _groups(columns, layout.group, ids)
    found = place.endings.found(columns, named) if layout.match == "stem" else named
    inputs = {
        name: image_paths(columns, rule.image, {}, place.root, place.allow_outside)
        for name, rule in layout.inputs.items()
    }
    return Part(columns, ids, found, groups, official, targets, inputs)


def _list_part(card: DatasetCard, layout: ListLayout, split: str, place: Place) -> Part:
    columns = read_lines(place.tables / dict(layout.lists)[split], hint=access_hint(card))  # type: ignore[index]
    found = image_paths(columns, layout.image, {}, place.root, place.allow_outside)
    names = columns.cells["name"]
    places = [columns.where(row) for row in range(len(names))]
    columns.cells["label"] = parts(names, layout.label, "label", places)
    targets = labels.class_numbers(columns, "label", card.class_names, layout.values)
    groups = parts(names, layout.group, "group", places) if layout.group else found
    return Part(columns, found, found, groups, [split] * len(names), targets)


def _folder_part(card: DatasetCard, layout: FolderLayout, root: Path) -> Part:
    found, targets, official = folders.walk(card, layout, root)
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
        split = table.get(raw) or ("" if layout.split_values else USUAL_SPLITS.get(raw.lower(), ""))
        if not split:
            known = ", ".join(layout.split_values or USUAL_SPLITS)
            raise DataError(f"{columns.where(row, layout.split)}: '{raw}' is no split", f"use one of: {known}")
        found.append(split)
    return found


def _join(card: DatasetCard, parts: list[Part]) -> pd.DataFrame:
    import pandas as pd

    _refuse_duplicates(parts)
    frame = pd.DataFrame(
        {
            name: [value for part in parts for value in getattr(part, field)]
            for name, field in (("id", "ids"), ("path", "paths"), ("group", "groups"), ("official", "official"))
        }
    )
    for name in parts[0].inputs:
        frame[f"input_{name}"] = [path for part in parts for path in part.inputs[name]]
    targets = np.concatenate([part.targets for part in parts])
    if targets.ndim == 1:
        return frame.assign(target=targets.astype(np.int64))
    hot = pd.DataFrame(targets.astype(np.uint8), columns=[f"target_{name}" for name in card.class_names])
    return pd.concat([frame, hot], axis=1)


def _refuse_duplicates(parts: list[Part]) -> None:
    ids = [name for part in parts for name in part.ids]
    if len(set(ids)) == len(ids):
        return
    seen: dict[str, str] = {}
    for part in parts:
        for row, name in enumerate(part.ids):
            where = part.columns.where(row)
            if name in seen:
                raise DataError(
                    f"{where}: the id '{name}' stands already at {seen[name]}",
                    "leave one of the rows, or give layout.id a template that tells them apart",
                )
            seen[name] = where
