"""`medbench features`: the features of a data set's images as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import complete, options, output


def features(
    model: Annotated[str, typer.Argument(help="A model, or its card file.", autocompletion=complete.models)],
    dataset: options.Dataset,
    to: Annotated[Path, typer.Option(help="The file: .parquet, .npz or .safetensors.")],
    preset: options.Preset = None,
    data_root: options.DataRoot = None,
    weights: options.WeightsFile = None,
    image_size: options.ImageSize = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    workers: options.Workers = None,
) -> None:
    """Write a model's features as a file.

    One row for each image of a data set: its id and the pooled vector. `--model FILE` of run takes such a file.
    """
    from medbench import write_features

    table = write_features(
        model,
        dataset,
        to,
        preset=preset or "paper",
        data_root=data_root,
        weights=weights,
        image_size=image_size,
        device=device,
        precision=precision,
        workers=workers,
    )
    n, d = table.values.shape
    output.write(f"{to}: {n} images, {d} numbers each")
    output.note(f"use it: medbench run --model {to} --protocol linear-probe --dataset {dataset}")
