"""A card for the user's own data, inferred from the columns of a CSV or from a folder of class folders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench.cards.dataset import (
    METRICS,
    Access,
    CsvLayout,
    DatasetCard,
    FolderLayout,
    LabelTable,
    SplitRule,
    Splits,
    Task,
)
from medbench.cards.example import FIELD
from medbench.data.layouts import class_folders
from medbench.data.layouts.csv_table import Columns, read_columns
from medbench.data.layouts.join import IMAGE
from medbench.data.layouts.own_columns import OwnColumns, task_of
from medbench.data.layouts.reader import USUAL_SPLITS
from medbench.errors import DataError

IMAGE_IDS = ("image_id", "image_name", "id_code", "img_id", "id")
LABEL = ("label", "target", "class", "diagnosis", "grade", "dx", "category", "y", "label_name", "class_name")
GROUP = ("group", "patient_id", "patient", "subject_id", "subject", "lesion_id", "lesion", "case_id", "case")
SPLIT = ("split", "fold", "set", "subset", "partition")
EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
MOST_CLASSES = 200
PEEK = 24
"""Images looked at to tell grey from colour."""


@dataclass(frozen=True)
class Meaning:
    """What the columns of a CSV were taken for."""

    image: str
    label: str | None
    labels: list[str]
    group: str | None
    split: str | None


def card_from_csv(path: Path, root: Path | None = None, columns: OwnColumns | None = None) -> DatasetCard:
    """Return the card of a user's CSV, inferred from its columns.

    Args:
        path: The CSV: an image column, a label column or several 0/1 columns, optionally a group and a split column.
        root: The folder of the images; None: the CSV's.
        columns: What the user says instead.

    Raises:
        DataError: A column that is named is not there, or the columns do not tell what they are; the message lists
            them and says how to write a card.
    """
    delimiter, given = _delimiter(path), columns or OwnColumns()
    table = read_columns(path, delimiter=delimiter)
    meaning = _meaning(table, given)
    folder = root or path.parent
    template, example = _image_template(table, meaning.image, folder)
    classes, inferred = _classes(table, meaning)
    task = task_of(given, inferred, classes, path, several=bool(meaning.labels))
    layout = CsvLayout(
        kind="csv",
        tables=[LabelTable(file=path.name)],
        delimiter=delimiter,
        image=template,
        label=meaning.label,
        labels=meaning.labels or None,
        values={} if meaning.labels else {name: index for index, name in enumerate(classes)},
        group=f"{{{meaning.group}}}" if meaning.group else None,
        split=meaning.split,
    )
    split = table.cells[meaning.split] if meaning.split else []
    official = {USUAL_SPLITS.get(raw.lower(), raw) for raw in split}
    grouped = meaning.group is not None
    card = _card(path.stem, task, classes, layout, example, official=official, grouped=grouped)
    return card.model_copy(update={"metric": given.metric}) if given.metric else card


def card_from_folder(path: Path, columns: OwnColumns | None = None) -> DatasetCard:
    """Return the card of a folder of class folders, which may lie below the folders of a split.

    Args:
        path: The folder.
        columns: The task and the metric that the user says.

    Raises:
        DataError: There are no two folders with images.
    """
    tops = sorted(d.name for d in path.iterdir() if d.is_dir() and not class_folders.hidden(d.name))
    splits = {USUAL_SPLITS[name.lower()]: name for name in tops if name.lower() in USUAL_SPLITS}
    if splits and len(splits) == len(tops):
        below = {
            d.name for top in tops for d in (path / top).iterdir() if d.is_dir() and not class_folders.hidden(d.name)
        }
        classes = sorted(below)
    else:
        splits, classes = {}, tops
    images = [
        name for base in (splits.values() or ("",)) for name in class_folders.images_below(path / base, EXTENSIONS)
    ]
    if len(classes) < 2 or not images:
        raise DataError(
            f"{path} is not a folder of class folders: it holds {', '.join(tops[:8]) or 'no folders'}",
            "expected a folder of images per class (perhaps below train/, val/, test/), a CSV of labels, or a card",
        )
    layout = FolderLayout(kind="folders", splits=splits, extensions=list(EXTENSIONS))
    found = [file for base in (splits.values() or ("",)) for file in _some_images(path / base)]
    given = columns or OwnColumns()
    task = task_of(given, "binary" if len(classes) == 2 else "multiclass", classes, path)
    card = _card(path.resolve().name, task, classes, layout, found[:PEEK], official=set(splits), grouped=False)
    return card.model_copy(update={"metric": given.metric}) if given.metric else card


def card_yaml(card: DatasetCard) -> str:
    """Return a card as YAML, ready to be edited and used as `--dataset my.yaml`."""
    import yaml

    content = card.model_dump(mode="json", exclude_defaults=True)
    content["classes"] = [c["name"] if set(c) == {"name"} else c for c in content["classes"]]
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110))


def _card(
    name: str,
    task: Task,
    classes: Sequence[str],
    layout: CsvLayout | FolderLayout,
    images: Sequence[Path],
    *,
    official: set[str],
    grouped: bool,
) -> DatasetCard:
    method = "official" if {"train", "test"} <= official else "grouped" if grouped else "stratified"
    content: dict[str, Any] = {
        "name": re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:80] or "own",
        "access": Access(kind="own"),
        "layout": layout,
        "task": task,
        "classes": list(classes),
        "channels": 1 if images and all(map(_grey, images)) else 3,
        "metric": METRICS[task],
        "splits": Splits(default=method, rules={method: SplitRule(method=method)}),
    }
    return DatasetCard.model_validate(content)


def _delimiter(path: Path) -> str:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        header = file.readline()
    return max((",", ";", "\t"), key=header.count)


def _meaning(columns: Columns, given: OwnColumns) -> Meaning:
    if strange := [name for name in given.named if name not in columns.cells]:
        raise DataError(
            f"{columns.file} has no column {', '.join(map(repr, strange))}", f"it has: {', '.join(columns.cells)}"
        )
    by_lower = {name.lower().replace(" ", "_"): name for name in reversed(columns.cells)}

    def pick(known: Sequence[str]) -> str | None:
        return next((by_lower[word] for word in known if word in by_lower), None)

    image = given.image or pick(IMAGE) or pick(IMAGE_IDS)
    label = None if given.labels else given.label or pick(LABEL)
    group = given.group or pick([word for word in GROUP if any(columns.cells.get(by_lower.get(word, ""), ()))])
    usual = [by_lower[word] for word in SPLIT if word in by_lower]
    split = given.split or next((name for name in usual if _is_split(columns.cells[name])), None)
    if image is None:
        raise _unclear(columns, f"no image column ({', '.join(IMAGE[:5])}, …)")
    rest = [name for name in columns.cells if name not in (image, label, group, split)]
    hot = [name for name in rest if set(columns.cells[name]) <= {"0", "1", "0.0", "1.0"}]
    if label is None and not given.labels and len(hot) < 2:
        raise _unclear(columns, f"no label column ({', '.join(LABEL[:5])}, …) and no two columns of 0 and 1")
    return Meaning(image, label, list(given.labels) or ([] if label else hot), group, split)


def _unclear(columns: Columns, what: str) -> DataError:
    listed = ", ".join(columns.cells)
    return DataError(
        f"{columns.file}: {what} among its columns: {listed}",
        "rename the columns, or write a card (see medbench show aptos) and give that: --dataset my.yaml",
    )


def _is_split(cells: Sequence[str]) -> bool:
    return {cell.lower() for cell in cells} <= set(USUAL_SPLITS)


def _classes(columns: Columns, meaning: Meaning) -> tuple[list[str], Task]:
    if meaning.label is None:
        hot = [[float(cell) for cell in columns.cells[name]] for name in meaning.labels]
        if all(sum(row) == 1 for row in zip(*hot, strict=True)):
            return meaning.labels, "binary" if len(hot) == 2 else "multiclass"
        return meaning.labels, "multilabel"
    cells = columns.cells[meaning.label]
    if "" in cells:
        where = columns.where(cells.index(""), meaning.label)
        raise DataError(f"{where}: the label is missing", "fill it in, or take the row out")
    classes = sorted(set(cells), key=_natural)
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise _unclear(
            columns, f"column '{meaning.label}' has {len(classes)} different labels, which is no classification,"
        )
    return classes, "binary" if len(classes) == 2 else "multiclass"


def _natural(text: str) -> tuple[int, float, str]:
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text


def _image_template(columns: Columns, column: str, folder: Path) -> tuple[str, list[Path]]:
    """Return (template of the image path, some images): values without extension are looked up on disk."""
    if FIELD.fullmatch(f"{{{column}}}") is None:
        raise _unclear(columns, f"the image column '{column}' has braces in its name")
    cells = columns.cells[column]
    step = max(1, len(cells) // PEEK)
    peek = cells[::step][:PEEK]
    plain = [folder / cell for cell in peek]
    if any(Path(cell).suffix.lower() in EXTENSIONS for cell in peek) or any(file.is_file() for file in plain):
        return f"{{{column}}}", [file for file in plain if file.is_file()]
    by_stem: dict[str, list[str]] = {}
    for found in class_folders.images_below(folder, EXTENSIONS):
        by_stem.setdefault(Path(found).stem, []).append(found)
    matches = by_stem.get(Path(cells[0]).name, [])
    if len(matches) != 1:
        what = f"{len(matches)} images are called {cells[0]}" if matches else f"no image is called {cells[0]}"
        raise DataError(
            f"{columns.where(0, column)}: '{cells[0]}' has no extension and {what} below {folder}",
            "write the file's path below that folder, or pass --data-root, or write a card with an image template",
        )
    before, _, after = matches[0].rpartition(cells[0])
    return f"{before}{{{column}}}{after}", [folder / f"{before}{cell}{after}" for cell in peek]


def _some_images(folder: Path) -> list[Path]:
    found = sorted(class_folders.images_below(folder, EXTENSIONS))
    return [folder / name for name in found[:: max(1, len(found) // PEEK)][:PEEK]]


def _grey(file: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(file) as image:
            return image.mode in ("L", "LA", "1", "I", "I;16", "I;16B", "I;16L", "F")
    except OSError:  # check and prepare say so, with the reason
        return False
