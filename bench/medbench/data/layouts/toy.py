"""Toy sets: drawn on demand, the same everywhere, for the demo and tests. They say nothing about medicine."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from medbench.cards.dataset import CsvLayout, DatasetCard, LabelTable, ToyLayout
from medbench.data.layouts import toy_images
from medbench.errors import CardError
from medbench.seeding import generator
from medbench.storage import cache_folder, files, paths

VERSION = 2
"""Raised whenever the drawing or the labels change: the images lie in a folder of their own per version."""


def csv_layout(card: DatasetCard) -> CsvLayout:
    """Return how the drawn images and their labels lie on disk: as any CSV data set, with patients as groups."""
    multilabel = card.task == "multilabel"
    return CsvLayout(
        kind="csv",
        tables=[LabelTable(file="labels.csv")],
        image="{image}",
        label=None if multilabel else "label",
        labels=card.class_names if multilabel else None,
        group="{patient}",
        subgroups={"sex": "sex", "age": "age"},
    )


def ensure(card: DatasetCard) -> Path:
    """Return the folder of a toy set, drawing it first if it is missing or incomplete.

    A second process that wants the same set waits for the first. The folder appears by one rename.

    Raises:
        CardError: The card's classes do not fit its recipe.
        OutputError: The cache is read-only or full.
    """
    layout = card.layout
    assert isinstance(layout, ToyLayout)
    _check(card, layout)
    key = files.digest([layout.model_dump(mode="json"), card.class_names])[:8]
    folder = paths.home() / "toy" / f"{card.name}-{VERSION}-{key}"
    busy = f"{card.name}: another process is drawing these images; waiting for it"
    return cache_folder.ensure(
        folder, busy, lambda: _whole(folder, layout.n), lambda part: draw_into(card, layout, part)
    )


def _check(card: DatasetCard, layout: ToyLayout) -> None:
    wanted = toy_images.CLASSES[layout.recipe]
    if len(card.classes) != wanted:
        raise CardError(
            f"toy set '{card.name}': recipe {layout.recipe} draws {wanted} classes, the card names {len(card.classes)}",
            "fix the card's classes",
        )
    if (card.task == "multilabel") != (layout.recipe == "findings"):
        raise CardError(
            f"toy set '{card.name}': recipe {layout.recipe} does not fit task {card.task}",
            "multilabel needs the recipe findings",
        )


def _whole(folder: Path, n: int) -> bool:
    try:
        return (folder / "labels.csv").is_file() and sum(1 for _ in (folder / "images").iterdir()) == n
    except OSError:
        return False


def draw_into(card: DatasetCard, layout: ToyLayout, folder: Path) -> None:
    """Draw a toy set into `folder`: images/*.png (RGB) and labels.csv (image, patient, sex, age, label or findings)."""
    from PIL import Image

    (folder / "images").mkdir(parents=True)
    names = card.class_names if card.task == "multilabel" else ["label"]
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "patient", "sex", "age", *names])
        for sample in toy_images.draw(layout.recipe, layout.n, layout.size, layout.seed):
            name = f"images/{sample.patient}_{sample.number}.png"
            Image.fromarray(sample.image).save(folder / name, compress_level=1)
            person = _person(layout.seed, sample.patient)
            writer.writerow([name, sample.patient, *person, *np.atleast_1d(sample.target).tolist()])


def _person(seed: int, patient: str) -> tuple[str, int]:
    """Draw the sex and the age of a patient. The images do not depend on them."""
    source = generator("toy", "person", seed, patient)
    return ("F", "M")[int(source.integers(2))], int(source.integers(20, 90))
