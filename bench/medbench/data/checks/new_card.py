"""A card for data of one's own, from what its labels file or folder is taken for: `medbench init`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from medbench import cards
from medbench.cards.base import NAME
from medbench.cards.dataset import DatasetCard
from medbench.cards.find import dataset_kind
from medbench.data.layouts.own.card import card_yaml
from medbench.data.layouts.own.taken import Taken
from medbench.data.layouts.own_columns import OwnColumns, negative_first
from medbench.data.load import find_source
from medbench.errors import CardError
from medbench.storage import files


@dataclass(frozen=True)
class NewCard:
    """A card that was written.

    Attributes:
        path: Its file.
        card: The card.
        root: The data folder. The card names it only if it lies below the present folder.
        taken: What the files were taken for.
    """

    path: Path
    card: DatasetCard
    root: Path
    taken: Taken


def init_dataset(
    dataset: str,
    name: str | None = None,
    *,
    force: bool = False,
    data_root: Path | None = None,
    columns: OwnColumns | None = None,
) -> NewCard:
    """Write a card for data of one's own as `datasets/NAME.yaml` below the present folder.

    Of two classes, one that means that nothing was found (`normal`, `none`) comes first, so that the other is positive.

    Args:
        dataset: A labels file, a folder of class folders, or `hf://OWNER/NAME`.
        name: The data set's name; None: after the folder and the file.
        force: Replace a card that is there.
        data_root: The folder of the images; see `find_source`.
        columns: What the user says of the columns; the rest is inferred.

    Raises:
        CardError: It is a card already, or the name is taken or cannot be one.
        DataError: The files are missing or wrong, or do not tell what they are.
    """
    if dataset_kind(dataset) == "card":
        cards.find_dataset(dataset)
        raise CardError(
            f"'{dataset}' is a card already",
            f"name a labels file or a folder; to see the card: medbench show {dataset}",
        )
    source = find_source(dataset, data_root, negative_first(columns))
    name = name or source.card.name
    if not re.fullmatch(NAME, name):
        raise CardError(
            f"'{name}' is no name of a data set", "letters, digits, '.', '_' and '-', a letter or digit first"
        )
    if name in cards.names("datasets") and not force:
        raise CardError(
            f"there is a data set card '{name}' already", "choose another --name, or replace it with --force"
        )
    card = source.card.model_copy(update={"name": name, "root": _root(source.root)})
    path = Path("datasets") / f"{name}.yaml"
    files.write_text(path, card_yaml(card))
    return NewCard(path, card, source.root, source.taken)


def _root(data: Path) -> str | None:
    """Return `root` of a card in the folder datasets; None where the data do not lie below the present folder."""
    here, place = Path.cwd().resolve(), data.resolve()
    return f"../{place.relative_to(here).as_posix()}" if place.is_relative_to(here) else None
