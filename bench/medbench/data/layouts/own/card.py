"""The card of a user's own files, from what was found of them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medbench import cards
from medbench.cards.base import NAME
from medbench.cards.catalogues.medmnist import is_medmnist_name
from medbench.cards.dataset import METRICS, Access, CsvLayout, DatasetCard, FolderLayout, SplitRule, Splits, Task
from medbench.cards.find import dataset_kind, is_file_name
from medbench.data.layouts.own_columns import OwnColumns
from medbench.errors import CardError
from medbench.storage import files

LONGEST = 80
"""Characters of a card's name."""


def card_of(
    name: str,
    task: Task,
    classes: Sequence[str],
    layout: CsvLayout | FolderLayout,
    given: OwnColumns,
    *,
    grey: bool,
    official: bool,
    grouped: bool,
) -> DatasetCard:
    """Return a card.

    Args:
        name: Its name; letters that a card's name cannot have are replaced.
        task: What the labels are.
        classes: Names, in order.
        layout: Where images and labels are.
        given: What the user says; its metric is used.
        grey: Whether the images have one channel.
        official: Whether the files tell the split.
        grouped: Whether groups are known.
    """
    method = "official" if official else "grouped" if grouped else "stratified"
    content: dict[str, Any] = {
        "name": re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:LONGEST] or "own",
        "access": Access(kind="own"),
        "layout": layout,
        "task": task,
        "classes": list(classes),
        "channels": 1 if grey else 3,
        "metric": given.metric or METRICS[task],
        "splits": Splits(default=method, rules={method: SplitRule(method=method)}),
    }
    return DatasetCard.model_validate(content)


def grey_of(files: Sequence[Path]) -> tuple[bool, int]:
    """Return (whether all images are grey, number of images that could be looked at); unreadable ones say nothing."""
    from medbench.data.images.grey import is_grey

    looks = [look for look in map(is_grey, files) if look is not None]
    return bool(looks) and all(looks), len(looks)


def card_yaml(card: DatasetCard) -> str:
    """Return a card as YAML, ready to be edited and used as `--dataset my.yaml`."""
    import yaml

    content = card.model_dump(mode="json", exclude_defaults=True)
    content["classes"] = [c["name"] if set(c) == {"name"} else c for c in content["classes"]]
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110))


def write_card(card: DatasetCard, data: Path, tables: Path, name: str | None = None, *, force: bool = False) -> Path:
    """Write the card of a user's own files as `datasets/NAME.yaml` in the present folder, and return that path.

    Args:
        card: What the files were taken for.
        data: The data folder; the card names it if it lies below the present folder.
        tables: The folder of the labels file, which the card names from the data folder.
        name: The data set's name; None: the card's.
        force: Whether a card of this name may be replaced.

    Raises:
        CardError: No data set can have this name, or another card has it; or the card's folder would be taken for a
            class.
    """
    name = name or card.name
    means_other = is_file_name(name) or dataset_kind(name) == "labels" or is_medmnist_name(name)
    if means_other or not re.fullmatch(NAME, name) or len(name) > LONGEST:
        raise CardError(
            f"'{name}' is not a valid data set name",
            f"up to {LONGEST} letters, digits, '.', '_' and '-', a letter or digit first; no ending like .csv",
        )
    if name in cards.names("datasets") and not force:
        raise CardError(f"a data set card '{name}' already exists", "choose another --name, or replace it with --force")
    place = root_from_here(data)
    if place == ".." and isinstance(card.layout, FolderLayout) and not card.layout.splits:
        raise CardError(
            "the card cannot be written here: its folder, datasets, would be taken for a class of the data",
            "go to another folder, such as the one above, and give the data folder from there",
        )
    path = Path("datasets") / f"{name}.yaml"
    found = with_tables(card, data, tables)
    files.write_text(path, card_yaml(found.model_copy(update={"name": name, "root": place})))
    return path


def with_tables(card: DatasetCard, data: Path, tables: Path) -> DatasetCard:
    """Return a card that names its label files from the data folder, where they are in another one."""
    layout = card.layout
    if not isinstance(layout, CsvLayout) or tables.resolve() == data.resolve():
        return card
    way = Path(os.path.relpath(tables.resolve(), data.resolve()))
    moved = [table.model_copy(update={"file": (way / str(table.file)).as_posix()}) for table in layout.tables]
    return card.model_copy(update={"layout": layout.model_copy(update={"tables": moved})})


def root_from_here(data: Path) -> str | None:
    """Return `root` of a card in the folder `datasets`; None where the data do not lie below the present folder."""
    here, place = Path.cwd().resolve(), data.resolve()
    return (Path("..") / place.relative_to(here)).as_posix() if place.is_relative_to(here) else None
