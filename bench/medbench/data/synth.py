"""Synthetic twins: made-up images and labels in a release's own layout, to try a card without its data."""

from __future__ import annotations

import csv
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medbench import files
from medbench.cards.dataset import CsvLayout, DatasetCard, FolderLayout, ListLayout, Table
from medbench.data.dataset import SYNTHETIC
from medbench.data.read import FIELD
from medbench.errors import DataError

TEXT = "These images and labels were made up by medbench in the layout of '{name}'. They say nothing about medicine.\n"
SIZE = 96
"""Side of the images, before their shape is varied."""


@dataclass(frozen=True)
class Fake:
    """One made-up sample: its number, class (or 0/1 findings), group and official split (or empty)."""

    number: int
    target: int | list[int]
    group: int
    split: str


def synthesise(card: DatasetCard, out: Path, n: int = 60, seed: int = 0) -> Path:
    """Write a small synthetic twin of a data set: official file and column names, made-up content.

    Every class is present, in every official split; groups hold 2 to 3 images of one split. A SYNTHETIC.txt marks the
    folder, which appears by one rename.

    Args:
        card: Its layout must be csv, folders or lists.
        out: The folder to make; it must not hold anything yet.
        n: Images; at least 6 per class (three groups of two), or 3 where the card knows no groups.
        seed: Of images and labels.

    Returns:
        `out`.

    Raises:
        DataError: The layout cannot be imitated, `n` is too small, or `out` is not empty.
        OutputError: `out` cannot be written.
    """
    least = (6 if getattr(card.layout, "group", None) else 3) * len(card.classes)
    if n < least:
        raise DataError(
            f"{n} images are too few for {len(card.classes)} classes", f"ask for at least {least}: --n {least}"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is there and not empty", "choose a folder that does not exist yet")
    layout = card.layout
    if layout.kind == "toy":
        raise DataError(
            f"'{card.name}' is drawn by medbench: it needs no twin", f"medbench run --dataset {card.name} …"
        )
    with files.writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            (part / SYNTHETIC).write_text(TEXT.format(name=card.name), encoding="utf-8")
            rng = np.random.Generator(np.random.PCG64(seed))
            fakes = _fakes(card, _official_splits(layout), n, rng)
            for path, fake in _write_labels(card, layout, part, fakes):
                _write_image(part / path, fake, card.channels, rng)
            part.chmod(0o755)
            if out.exists():
                out.rmdir()
            part.rename(out)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return out


def _official_splits(layout: CsvLayout | FolderLayout | ListLayout) -> list[str]:
    if isinstance(layout, ListLayout):
        return [str(name) for name in layout.lists]
    if isinstance(layout, FolderLayout):
        return [str(name) for name in layout.splits]
    named = dict.fromkeys(str(table.split) for table in layout.tables if table.split)
    if not named and layout.split:
        named = dict.fromkeys(str(name) for name in layout.split_values.values()) or dict.fromkeys(("train", "test"))
    return list(named)


def _fakes(card: DatasetCard, splits: list[str], n: int, rng: np.random.Generator) -> list[Fake]:
    """Deal groups of 2 or 3 to the classes in turn, and each class's groups to the splits in turn.

    Where `n` is small, or the card knows no groups, they are smaller, so that each class has three of them.
    """
    fakes: list[Fake] = []
    group, classes = 0, len(card.classes)
    base = 2 if n >= 6 * classes else 1
    rounds = splits or [""]
    while len(fakes) < n:
        klass, split = group % classes, rounds[group // classes % len(rounds)]
        size = base + (group % 2 if n >= 9 * classes else 0)
        for _ in range(min(size, n - len(fakes))):
            target: int | list[int] = klass
            if card.task == "multilabel":
                target = [int(index == klass or rng.random() < 0.15) for index in range(classes)]
            fakes.append(Fake(len(fakes), target, group, split))
        group += 1
    return fakes


def _write_labels(
    card: DatasetCard, layout: CsvLayout | FolderLayout | ListLayout, root: Path, fakes: list[Fake]
) -> list[tuple[str, Fake]]:
    """Write the label files; return the path below `root` of each image to draw."""
    if isinstance(layout, CsvLayout):
        return _write_tables(card, layout, root, fakes)
    if isinstance(layout, FolderLayout):
        return _name_in_folders(card, layout, fakes)
    return _write_lists(layout, root, fakes)


def _write_tables(card: DatasetCard, layout: CsvLayout, root: Path, fakes: list[Fake]) -> list[tuple[str, Fake]]:
    images: list[tuple[str, Fake]] = []
    for index, table in enumerate(layout.tables):
        template = table.image or layout.image
        rows = []
        for fake in _rows_of(table, index, layout, fakes):
            cells = _cells(card, layout, template, fake)
            rows.append(cells)
            images.append((FIELD.sub(lambda m, cells=cells: cells[m[1]], template), fake))  # type: ignore[misc]
        file = root / table.file
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w", encoding=layout.encoding, newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]), delimiter=layout.delimiter, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return images


def _rows_of(table: Table, index: int, layout: CsvLayout, fakes: list[Fake]) -> list[Fake]:
    """Return the samples of one table: those of its split; tables of the same split (or of none) share by group."""
    alike = [i for i, other in enumerate(layout.tables) if other.split == table.split]
    mine = [fake for fake in fakes if not table.split or fake.split == table.split]
    return [fake for fake in mine if alike[fake.group % len(alike)] == index]


def _cells(card: DatasetCard, layout: CsvLayout, template: str, fake: Fake) -> dict[str, str]:
    """Fill every column the layout names; a column of the image template gets a name that is unique."""
    named = FIELD.findall(layout.group or "")
    cells = dict.fromkeys(named, f"g{fake.group:04d}")
    for number, column in enumerate(dict.fromkeys(FIELD.findall(template) + FIELD.findall(layout.id or ""))):
        if column not in named:
            cells[column] = f"{fake.number:05d}" + (f"_{number}" if number else "")
    images = FIELD.findall(template)
    if images and set(images) <= set(named):  # the group alone names the image: make it unique after all
        cells[images[0]] = f"g{fake.group:04d}_{fake.number:05d}"
    if images and template == f"{{{images[0]}}}":  # a column of whole paths
        cells[images[0]] = f"images/{cells[images[0]]}.png"
    if layout.label:
        raw = {index: text for text, index in reversed(layout.values.items())}
        assert isinstance(fake.target, int)
        cells[layout.label] = raw.get(fake.target, _plain(card, fake.target))
    for index, column in enumerate(layout.labels or []):
        hot = fake.target[index] if isinstance(fake.target, list) else int(fake.target == index)
        cells[column] = str(hot)
    if layout.split:
        raws = {str(split): text for text, split in reversed(layout.split_values.items())}
        cells[layout.split] = raws.get(fake.split, fake.split)
    return cells


def _plain(card: DatasetCard, target: int) -> str:
    return card.class_names[target] if any(name.isdigit() for name in card.class_names) else str(target)


def _name_in_folders(card: DatasetCard, layout: FolderLayout, fakes: list[Fake]) -> list[tuple[str, Fake]]:
    by_class = {index: name for name, index in reversed((layout.folders or _numbered(card.class_names)).items())}
    ending = ".png" if ".png" in layout.extensions else layout.extensions[0]
    names: list[tuple[str, Fake]] = []
    for fake in fakes:
        assert isinstance(fake.target, int)
        place = "/".join(filter(None, (dict(layout.splits).get(fake.split, ""), by_class[fake.target])))  # type: ignore[call-overload]
        names.append((f"{place}/{_matching(layout.group, fake)}{ending}", fake))
    return names


def _numbered(names: Sequence[str]) -> dict[str, int]:
    return {name: index for index, name in enumerate(names)}


def _write_lists(layout: ListLayout, root: Path, fakes: list[Fake]) -> list[tuple[str, Fake]]:
    by_class = {index: raw for raw, index in reversed(layout.values.items())}
    lines: dict[str, list[str]] = defaultdict(list)
    images: list[tuple[str, Fake]] = []
    for fake in fakes:
        assert isinstance(fake.target, int)
        name = f"{by_class[fake.target]}_{_matching(layout.group, fake)}.jpg"
        match = re.search(layout.label, name)
        if match is None or layout.values.get(match["label"]) != fake.target:
            raise DataError(
                f"cannot make up a name that {layout.label} reads as class {fake.target}", "no twin of this card"
            )
        lines[fake.split].append(name)
        images.append((layout.image.replace("{name}", name), fake))
    for split, file in layout.lists.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("\n".join(lines[str(split)]) + "\n", encoding="utf-8")
    return images


def _matching(pattern: str | None, fake: Fake) -> str:
    """Return a name of a sample that carries its group where the card's expression can find it."""
    candidates = (
        f"g{fake.group:04d}_{fake.number:05d}",
        f"{fake.group:04d}_{fake.number:05d}",
        f"case{fake.group:04d}_{fake.number:05d}",
        f"A_{fake.group:04d}_{fake.number:05d}",
        f"p{fake.group:04d}-{fake.number:05d}",
    )
    if pattern is None:
        return candidates[0]
    for name in candidates:
        match = re.search(pattern, f"x/{name}.png")
        if match and f"{fake.group:04d}" in match["group"] and f"{fake.number:05d}" not in match["group"]:
            return name
    raise DataError(f"cannot make up names whose group {pattern} finds", "no twin of this card")


def _write_image(file: Path, fake: Fake, channels: int, rng: np.random.Generator) -> None:
    """Draw a disc with as many dots as its class's number, of a shape that varies from image to image."""
    from PIL import Image

    height, width = SIZE, SIZE + int(rng.integers(0, 32))
    rows, columns = np.ogrid[:height, :width]
    disc = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < (height * 0.45) ** 2
    shade = 110 + 15 * (fake.group % 5)
    pixels = np.where(disc, shade, 4).astype(np.int64) + rng.integers(-3, 4, (height, width))
    marks = fake.target + 1 if isinstance(fake.target, int) else sum(fake.target)
    for _ in range(marks * 2):
        row, column = (int(v) for v in rng.integers(height // 4, 3 * height // 4, 2))
        pixels[row : row + 5, column : column + 5] += 60
    grey = np.clip(pixels, 0, 255).astype(np.uint8)
    image: Any = Image.fromarray(grey)
    if channels == 3:
        image = Image.merge("RGB", (image, image.point(lambda v: v * 0.6), image.point(lambda v: v * 0.3)))
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file)
