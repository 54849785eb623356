"""Synthetic twins: made-up images and labels in the layout of a release, to try a card without its data."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from medbench.cards.dataset import CsvLayout, DatasetCard, FolderLayout, ListLayout, NpzLayout
from medbench.cards.dataset.example import ExampleError
from medbench.data.dataset import SYNTHETIC
from medbench.data.layouts import medmnist_npz
from medbench.data.twins.folders import name_in_folders, write_lists, write_npz
from medbench.data.twins.image_names import Fake
from medbench.data.twins.pictures import write_picture
from medbench.data.twins.tables import write_tables
from medbench.errors import DataError
from medbench.storage import files

TEXT = "These images and labels were made up by medbench in the layout of '{name}'. They say nothing about medicine.\n"
USUAL = 60
"""Images of a twin, if no more are needed."""


def synthesise(card: DatasetCard, out: Path, n: int | None = None, seed: int = 0) -> Path:
    """Write a small synthetic twin of a data set: official file and column names, made-up content.

    Every class is in every official split; groups have 2 to 3 images of one split. The twin has the difficulties that
    the card handles: paths to replace, other endings, rows and files to leave out, empty cells. Images are named like
    the card's `layout.examples`. The file SYNTHETIC.txt marks the folder. The complete folder appears by one rename.

    Args:
        card: Its layout must not be toy.
        out: The folder to make; if it exists, it must be empty.
        n: Images; at least 6 per class (three groups of two), or 3 if the card has no groups. None: 60, or more if the
            classes, the card's `first` or its split rules need more.
        seed: Seed of images and labels. It also chooses the name of a file that may have several names.

    Returns:
        `out`.

    Raises:
        DataError: The layout cannot be imitated, `n` is too small, or `out` is not empty.
        OutputError: `out` cannot be written.
    """
    n = usual_number(card) if n is None else n
    if n < (least := _least(card)):
        raise DataError(f"{n} images are too few for {len(card.classes)} classes", f"use at least {least}: --n {least}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is not empty", "choose a folder that does not exist yet")
    if card.toy:
        raise DataError(
            f"medbench itself generates the images of '{card.name}', so it needs no twin",
            f"medbench run --dataset {card.name} …",
        )
    with files.writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            (part / SYNTHETIC).write_text(TEXT.format(name=card.name), encoding="utf-8")
            _write(card, part, n, seed)
            part.chmod(0o755)
            if out.exists():
                out.rmdir()
            part.rename(out)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return out


def usual_number(card: DatasetCard) -> int:
    """Return how many images a twin has by default."""
    n, classes = max(USUAL, _least(card)), len(card.classes)
    if isinstance(card.layout, FolderLayout) and card.layout.first:
        n = max(n, classes * (card.layout.first + 1))
    rules = card.splits.rules.values()
    shots = max((rule.shots for rule in rules if rule.method == "fewshot"), default=0)
    folds = max((rule.folds for rule in rules if rule.method == "kfold"), default=0)
    return max(n, 4 * shots * classes, (3 if _grouped(card) else 1) * folds * classes)


def _grouped(card: DatasetCard) -> bool:
    return bool(getattr(card.layout, "group", None) or getattr(card.layout, "group_pattern", None))


def _least(card: DatasetCard) -> int:
    return (6 if _grouped(card) else 3) * len(card.classes)


def _write(card: DatasetCard, root: Path, n: int, seed: int) -> None:
    """Write label files and images into an empty folder."""
    layout = card.layout
    rng = np.random.Generator(np.random.PCG64(seed))
    fakes = _fakes(card, _official_splits(card), n, rng)
    if isinstance(layout, NpzLayout):
        write_npz(card, layout, root, fakes, rng)
        return
    try:
        if isinstance(layout, CsvLayout):
            images = write_tables(card, layout, root, fakes, seed)
        elif isinstance(layout, FolderLayout):
            images = name_in_folders(card, layout, fakes)
        else:
            assert isinstance(layout, ListLayout)
            images = write_lists(layout, root, fakes)
    except ExampleError as error:
        raise DataError(
            f"{card.name}: cannot make up names of images: {error}",
            "add the name of an image to layout.examples in the card",
        ) from error
    for path, fake in images:
        write_picture(files.inside(root, path), fake, card.channels, rng)


def _official_splits(card: DatasetCard) -> list[str]:
    layout = card.layout
    if isinstance(layout, ListLayout):
        return [str(name) for name in layout.lists]
    if isinstance(layout, FolderLayout):
        return [str(name) for name in layout.splits]
    if isinstance(layout, NpzLayout):
        return list(medmnist_npz.SPLITS)
    assert isinstance(layout, CsvLayout)
    named = dict.fromkeys(str(table.split) for table in layout.tables if table.split)
    if not named and layout.split:
        named = dict.fromkeys(str(name) for name in layout.split_values.values()) or dict.fromkeys(("train", "test"))
    return list(named)


def _fakes(card: DatasetCard, splits: list[str], n: int, rng: np.random.Generator) -> list[Fake]:
    """Deal groups of 2 or 3 images to the classes in turn, and the groups of a class to the splits in turn.

    If `n` is small, groups are smaller, so that each class has three of them.
    """
    fakes: list[Fake] = []
    group, classes = 0, len(card.classes)
    base = 2 if n >= 6 * classes else 1
    rounds = splits or [""]
    while len(fakes) < n:
        klass, split = group % classes, rounds[group // classes % len(rounds)]
        size = base + (group % 2 if n >= 9 * classes else 0)
        for rank in range(min(size, n - len(fakes))):
            target = _findings(card, klass, rank, rng) if card.task == "multilabel" else klass
            fakes.append(Fake(len(fakes), target, group, split, rank))
        group += 1
    return fakes


def _findings(card: DatasetCard, klass: int, rank: int, rng: np.random.Generator) -> list[int]:
    """Return 0/1 findings: the first image of a group has the group's class, the third has no finding.

    The class that means "no finding" excludes the others.
    """
    classes = len(card.classes)
    none = getattr(card.layout, "none", None)
    nothing = card.class_names.index(none) if none in card.class_names else -1
    found = [int(index == klass or rng.random() < 0.15) for index in range(classes)]
    if rank == 2:
        found = [0] * classes
    if nothing >= 0:
        others = klass != nothing and rank < 2
        found = [int(others and hot) if index != nothing else int(not others) for index, hot in enumerate(found)]
    return found
