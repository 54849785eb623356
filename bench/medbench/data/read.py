"""From a card and a folder on disk to samples: ids, paths, groups, targets and the release's own split."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medbench import files
from medbench.cards.dataset import CsvLayout, DatasetCard, FolderLayout, ListLayout, Table
from medbench.data import folders, labels
from medbench.data.table import Columns, read_columns, read_lines
from medbench.errors import CardError, DataError

if TYPE_CHECKING:
    import pandas as pd

FIELD = re.compile(r"\{([^{}]+)\}")
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
    """Samples of one label file, in its order. Targets: (n,) int64, or (n, classes) uint8 for multilabel tasks."""

    columns: Columns
    ids: list[str]
    paths: list[str]
    groups: list[str]
    official: list[str]
    targets: npt.NDArray[np.int64] | npt.NDArray[np.uint8]


def access_hint(card: DatasetCard) -> str:
    """Return what to do when a data set is not where it was looked for."""
    steps = card.access.steps.strip() or (f"get it from {card.access.url}" if card.access.url else "")
    told = f"set MEDBENCH_DATA (the folder that holds {card.name}/) or pass --data-root"
    return f"{told}\nTo get {card.name}:\n{steps}" if steps else told


def read_samples(
    card: DatasetCard, root: Path, allow_outside: bool = False, tables: Path | None = None
) -> pd.DataFrame:
    """Read the samples of a data set as its card says. No image is touched.

    Args:
        card: The card; for toy sets the images must have been drawn (`toy.ensure`).
        root: The data folder.
        allow_outside: Let image paths lead out of `root`.
        tables: Folder of the label files, where it is not `root`.

    Returns:
        One row a sample in the files' order: id, path (posix, below `root`), group (the id where none is known),
        official (train, val, test, or empty where the release has no split), and `target`, int64, or one uint8
        column `target_<class>` per class for multilabel tasks.

    Raises:
        DataError: A file, column or row is missing or wrong; names file, line, column and value.
    """
    layout = card.layout
    if isinstance(layout, CsvLayout):
        parts = [_csv_part(card, layout, table, root, tables or root, allow_outside) for table in layout.tables]
    elif isinstance(layout, ListLayout):
        parts = [_list_part(card, layout, split, root, tables or root, allow_outside) for split in layout.lists]
    elif isinstance(layout, FolderLayout):
        parts = [_folder_part(card, layout, root)]
    else:
        from medbench.data import toy

        csv_layout = toy.csv_layout(card)
        parts = [_csv_part(card, csv_layout, table, root, root, False) for table in csv_layout.tables]
    return _join(card, parts)


def _csv_part(
    card: DatasetCard, layout: CsvLayout, table: Table, root: Path, tables: Path, allow_outside: bool
) -> Part:
    image = table.image or layout.image
    wanted = [*FIELD.findall(image), *FIELD.findall(layout.id or ""), *FIELD.findall(layout.group or "")]
    wanted += [layout.label] if layout.label else (layout.labels or [])
    wanted += [layout.split] if layout.split and not table.split else []
    columns = read_columns(
        tables / table.file, wanted, delimiter=layout.delimiter, encoding=layout.encoding, hint=access_hint(card)
    )
    found = _image_paths(columns, image, root, allow_outside)
    ids = _filled(columns, layout.id) if layout.id else found
    if layout.label:
        targets: npt.NDArray[np.int64] | npt.NDArray[np.uint8] = labels.class_numbers(
            columns, layout.label, card.class_names, layout.values
        )
    else:
        single = card.task != "multilabel"
        hot = labels.hot_columns(columns, layout.labels or [], layout.values, one=single)
        targets = hot.argmax(axis=1).astype(np.int64) if single else hot
    official = (
        [str(table.split or "")] * len(columns) if table.split or not layout.split else _official(columns, layout)
    )
    return Part(columns, ids, found, _groups(columns, layout.group, ids), official, targets)


def _list_part(
    card: DatasetCard, layout: ListLayout, split: str, root: Path, tables: Path, allow_outside: bool
) -> Part:
    columns = read_lines(tables / dict(layout.lists)[split], hint=access_hint(card))  # type: ignore[index]
    found = _image_paths(columns, layout.image, root, allow_outside)
    names = columns.cells["name"]
    columns.cells["label"] = _parts(names, layout.label, "label", [columns.where(i) for i in range(len(names))])
    targets = labels.class_numbers(columns, "label", card.class_names, layout.values)
    groups = found
    if layout.group:
        groups = _parts(names, layout.group, "group", [columns.where(i) for i in range(len(names))])
    return Part(columns, found, found, groups, [split] * len(names), targets)


def _folder_part(card: DatasetCard, layout: FolderLayout, root: Path) -> Part:
    found, targets, official = folders.walk(card, layout, root)
    groups = _parts(found, layout.group, "group", found) if layout.group else found
    columns = Columns(root, {}, list(range(1, len(found) + 1)))
    return Part(columns, found, found, groups, official, targets)


def _filled(columns: Columns, template: str, *, required: bool = True) -> list[str]:
    """Fill `{column}` in the template for every row.

    Raises:
        DataError: A named cell is empty and `required`.
    """
    pieces = FIELD.split(template)  # text, column, text, column, …, text
    texts, names = pieces[0::2], pieces[1::2]
    if required:
        for name in names:
            if "" in (cells := columns.cells[name]):
                raise DataError(
                    f"{columns.where(cells.index(''), name)}: the cell is empty", "fill it in, or take the row out"
                )
    if not names:
        return [template] * len(columns)
    if len(names) == 1:
        before, after = texts
        return [f"{before}{cell}{after}" for cell in columns.cells[names[0]]]
    rows = zip(*(columns.cells[name] for name in names), strict=True)
    return ["".join(map("".join, zip(texts, (*row, ""), strict=True))) for row in rows]


def _image_paths(columns: Columns, template: str, root: Path, allow_outside: bool) -> list[str]:
    """Return the normalised image paths; an absolute path below `root` is taken as relative to it.

    Raises:
        DataError: A path leaves `root`, with the line that names it.
    """
    base = os.path.abspath(root) + "/"  # noqa: PTH100 - links stay as they are named
    found = []
    for row, raw in enumerate(_filled(columns, template)):
        path = os.path.normpath(raw.replace("\\", "/").removeprefix(base))
        if path.startswith(("/", "..")) and not allow_outside:
            try:
                files.inside(root, path)
            except DataError as error:
                raise DataError(f"{columns.where(row)}: {error.message}", error.hint) from error
        found.append(path)
    return found


def _groups(columns: Columns, template: str | None, ids: list[str]) -> list[str]:
    """Return the group of each row; the row's own id where the group's cells are all empty."""
    if not template:
        return ids
    empty = _filled(Columns(columns.file, {n: [""] for n in FIELD.findall(template)}, [0]), template, required=False)[0]
    return [
        ids[row] if group == empty else group for row, group in enumerate(_filled(columns, template, required=False))
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


def _parts(texts: Sequence[str], pattern: str, part: str, places: Sequence[str]) -> list[str]:
    """Return the named part of a regular expression in each text.

    Raises:
        CardError: The expression is malformed or has no such part.
        DataError: A text does not match.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise CardError(f"layout.{part}: '{pattern}' is not a regular expression: {error}", "mend the card") from error
    if part not in expression.groupindex:
        raise CardError(f"layout.{part}: '{pattern}' has no part (?P<{part}>…)", "mend the card")
    found = []
    for text, place in zip(texts, places, strict=True):
        match = expression.search(text)
        if match is None or not match[part]:
            raise DataError(f"{place}: '{text}' does not tell its {part}", f"the card expects it to match {pattern}")
        found.append(match[part])
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
