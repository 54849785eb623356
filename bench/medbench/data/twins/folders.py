"""Synthetic twins of layouts without tables: class folders, names with the class, lists of names, npz files."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medbench.cards.dataset import DatasetCard, FolderLayout, ListLayout, NpzLayout
from medbench.data.layouts import medmnist_npz
from medbench.data.twins.image_names import Fake, Series, with_part
from medbench.data.twins.pictures import drawn
from medbench.storage.patterns import Expression

Images = list[tuple[str, Fake]]
"""Path of each image to draw, below the twin's folder."""

LATE = 2
"""Images that each class has beyond `first`, if the card takes only the first ones."""


def name_in_folders(card: DatasetCard, layout: FolderLayout, fakes: list[Fake]) -> Images:
    """Name images as the card's class folders or patterns require, and some that the card leaves out.

    Raises:
        ExampleError: The card's examples do not show how images are named.
    """
    classes = layout.folders or {name: index for index, name in enumerate(card.class_names)}
    raws = {index: name for name, index in reversed(classes.items())}
    every = [*fakes, *_late(layout, fakes)]
    ending = ".png" if ".png" in layout.extensions else layout.extensions[0]
    shown = [example.image for example in layout.examples] or [f"00000{ending}"]
    series = [_series(layout, image, list(classes), len(every)) for image in shown]
    found: Images = []
    for fake in every:
        assert isinstance(fake.target, int)
        raw = raws[fake.target]
        folders = (dict(layout.splits).get(fake.split, "").strip("/"), "" if layout.label else raw)  # type: ignore[call-overload]
        path = "/".join(filter(None, (*folders, series[fake.group % len(series)].name(fake.number, fake.group))))
        if layout.label:
            path = with_part(layout.label, "label", path, raw)
        layout.named(path)
        found.append((path, fake))
    return [*found, *_left_out(layout, found)]


def _series(layout: FolderLayout, image: str, classes: Sequence[str], most: int) -> Series:
    """Return names below the folders of split and class, like that of an example."""
    tops = [f"{name}/" for name in classes] if not layout.label else [""]
    bases = [f"{split.strip('/')}/".lstrip("/") + top for split in layout.splits.values() or [""] for top in tops]
    base = next((base for base in bases if image.startswith(base)), "")
    return Series(image.removeprefix(base), most, lambda text: layout.named(base + text))


def _late(layout: FolderLayout, fakes: list[Fake]) -> list[Fake]:
    """Return more samples of each class that already has `first`; their names come last."""
    if layout.first is None:
        return []
    counts = Counter((fake.target, fake.split) for fake in fakes if isinstance(fake.target, int))
    number, group = len(fakes), max(fake.group for fake in fakes) + 1
    late = []
    for (target, split), count in counts.items():
        for _ in range(LATE if count >= layout.first else 0):
            late.append(Fake(number, target, group, split))
            number, group = number + 1, group + 1
    return late


def _left_out(layout: FolderLayout, found: Images) -> Images:
    """Return an image next to the first one that `only` leaves out, if one of three names is left out."""
    if not layout.only:
        return []
    path, fake = found[0]
    folder, slash, name = path.rpartition("/")
    for other in (f"{folder}{slash}left-out{Path(name).suffix}", f"left-out/{name}", f"left-out{Path(name).suffix}"):
        if not Expression(layout.only).search(other):
            return [(other, fake)]
    return []


def write_lists(layout: ListLayout, root: Path, fakes: list[Fake]) -> Images:
    """Write the lists of names; return the images.

    Raises:
        ExampleError: The card's examples do not show how images are named.
    """
    raws = {index: raw for raw, index in reversed(layout.values.items())}
    shown = [example.cells["name"] for example in layout.examples] or ["00000.png"]
    series = [Series(name, len(fakes), layout.named) for name in shown]
    lines: dict[str, list[str]] = defaultdict(list)
    images: Images = []
    for fake in fakes:
        assert isinstance(fake.target, int)
        name = series[fake.group % len(series)].name(fake.number, fake.group)
        name = with_part(layout.label, "label", name, raws[fake.target])
        lines[fake.split].append(name)
        images.append((layout.named(name).image, fake))
    for split, file in layout.lists.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("\n".join(lines[str(split)]) + "\n", encoding="utf-8")
    return images


def write_npz(card: DatasetCard, layout: NpzLayout, root: Path, fakes: list[Fake], rng: np.random.Generator) -> None:
    """Write a MedMNIST file; the number at the end of its name is the side of the images, 28 if there is none."""
    size = re.search(r"_(\d+)\.npz$", layout.file)
    side = int(size[1]) if size else 28
    arrays: dict[str, Any] = {}
    for split in medmnist_npz.SPLITS:
        mine = [fake for fake in fakes if fake.split == split]
        images = [
            [drawn(fake, card.channels, rng, side, side) for _ in range(side if layout.volume else 1)] for fake in mine
        ]
        arrays[f"{split}_images"] = np.stack([np.stack(one) if layout.volume else one[0] for one in images])
        labels = np.asarray([fake.target for fake in mine], np.uint8)
        arrays[f"{split}_labels"] = labels if labels.ndim == 2 else labels[:, None]
    file = root / layout.file
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, **arrays)
