"""`medbench init`: a card for data of one's own, written after showing what they were taken for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import data, options, output, plan_text


def init(
    dataset: options.Dataset,
    name: Annotated[
        str | None, typer.Option(help="Name of the data set; default: from the folder and the file name.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing card file.")] = False,
    data_root: options.DataRoot = None,
    label: options.Label = None,
    image: options.Image = None,
    group: options.Group = None,
    split_column: options.SplitColumn = None,
    task: options.TaskKind = None,
    metric: options.Metric = None,
) -> None:
    """Write a card for data of your own.

    Prints how medbench reads your labels file or folder, and writes this to datasets/NAME.yaml in the current folder.
    Edit the card, then use the data set by its name.
    """
    from medbench import cards
    from medbench.cards.base import NAME
    from medbench.cards.find import dataset_kind
    from medbench.data.layouts.own.card import card_yaml
    from medbench.data.load import find_source
    from medbench.errors import CardError
    from medbench.storage import files

    if dataset_kind(dataset) == "card":
        cards.find_dataset(dataset)
        raise CardError(
            f"'{dataset}' is already a card",
            f"name a labels file or a folder; to see the card: medbench show {dataset}",
        )
    source = find_source(dataset, data_root, data.own_columns(image, label, group, split_column, task, metric))
    plan_text.say_taken(source.card.name, source.taken, output.write)
    for doubt in source.taken.doubts:
        output.write(f"warning: {doubt}")
    name = name or source.card.name
    path = Path("datasets") / f"{name}.yaml"
    if not re.fullmatch(NAME, name):
        raise CardError(
            f"'{name}' is not a valid data set name", "letters, digits, '.', '_' and '-', a letter or digit first"
        )
    if name in cards.names("datasets") and not force:
        raise CardError(f"a data set card '{name}' already exists", "choose another --name, or replace it with --force")
    root = _root(source.root)
    card = source.card.model_copy(update={"name": name, "root": root})
    files.write_text(path, card_yaml(card))
    where = "" if root else f" --data-root {source.root}"
    output.write(f"card: {path}")
    output.note(f"next: medbench data check {name}{where}; then medbench run --dataset {name}{where} …")


def _root(data: Path) -> str | None:
    """Return `root` of a card in the folder datasets; None where the data do not lie below the present folder."""
    here, place = Path.cwd().resolve(), data.resolve()
    return f"../{place.relative_to(here).as_posix()}" if place.is_relative_to(here) else None
