"""`medbench init`: a card for data of one's own, written after showing what they were taken for."""

from __future__ import annotations

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
    from medbench import metrics
    from medbench.data.layouts.own.card import root_from_here, write_card
    from medbench.data.load import find_own

    source = find_own(dataset, data_root, data.own_columns(image, label, group, split_column, task, metric))
    plan_text.say_taken(source.card.name, source.taken, output.write)
    metrics.get(source.card.metric, source.card.task)
    for doubt in source.taken.doubts:
        output.write(f"warning: {doubt}")
    path = write_card(source.card, source.root, source.tables, name, force=force)
    where = "" if root_from_here(source.root) else f" --data-root {source.root}"
    output.write(f"card: {path}")
    output.note(f"next: medbench data check {path.stem}{where}; then medbench run --dataset {path.stem}{where} …")
