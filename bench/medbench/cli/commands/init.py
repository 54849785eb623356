"""`medbench init`: a card for data of one's own, written after showing what they were taken for."""

from __future__ import annotations

from typing import Annotated

import typer

from medbench.cli import data, options, output, plan_text


def init(
    dataset: options.Dataset,
    name: Annotated[
        str | None, typer.Option(help="The data set's name; default: after the folder and the file.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a card file that is there.")] = False,
    data_root: options.DataRoot = None,
    label: options.Label = None,
    image: options.Image = None,
    group: options.Group = None,
    split_column: options.SplitColumn = None,
    task: options.TaskKind = None,
    metric: options.Metric = None,
) -> None:
    """Write a card for data of your own.

    It says what your labels file or folder was taken for, and writes that as datasets/NAME.yaml where you are. Edit the
    card, then use the data set by its name.
    """
    from medbench import init_dataset

    columns = data.own_columns(image, label, group, split_column, task, metric)
    made = init_dataset(dataset, name, force=force, data_root=data_root, columns=columns)
    plan_text.say_taken(made.card.name, made.taken, output.write)
    for doubt in made.taken.doubts:
        output.write(f"warning: {doubt}")
    where = "" if made.card.root else f" --data-root {made.root}"
    output.write(f"card: {made.path}")
    output.note(
        f"next: medbench data check {made.card.name}{where}; then medbench run --dataset {made.card.name}{where} …"
    )
