"""Synthetic twins of layouts without a table: class folders, names that hold the class, lists of names, npz files."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from medbench.cards.dataset import DatasetCard, FolderLayout, ListLayout, NpzLayout
from medbench.data.layouts import medmnist_npz
from medbench.data.twins.image_names import Fake, Names, composed, pieces, with_ending
from medbench.data.twins.pictures import drawn

Images = list[tuple[str, Fake]]
"""Path below the twin's folder of each image to draw."""

LATE = 2
"""Images beyond `first` that each class gets where the card takes so many alone."""


def name_in_folders(card: DatasetCard, layout: FolderLayout, fakes: list[Fake]) -> Images:
    """Name images as class folders, or names that hold the class, want it; with some that the card leaves out."""
    raws = {index: name for name, index in reversed((layout.folders or _numbered(card)).items())}
    names = Names(card, layout.group)
    found: Images = []
    for fake in [*fakes, *_late(layout, fakes)]:
        assert isinstance(fake.target, int)
        base = dict(layout.splits).get(fake.split, "").strip("/")  # type: ignore[call-overload]
        base = base if layout.label else "/".join(filter(None, (base, raws[fake.target])))
        candidates = _below(base, layout, fake, raws[fake.target])
        found.append((names.take(candidates, fake, _fits(layout, raws[fake.target])), fake))
    return [*found, *_left_out(layout, found)]


def _numbered(card: DatasetCard) -> dict[str, int]:
    return {name: index for index, name in enumerate(card.class_names)}


def _below(base: str, layout: FolderLayout, fake: Fake, raw: str) -> Iterator[str]:
    """Yield names below the folder `base`."""
    prefix = f"{base}/" if base else ""
    endings = [".png"] if ".png" in layout.extensions else []
    wanted = []
    for pattern, fixed in ((layout.label, {"label": raw}), (layout.only, {}), (layout.group, {})):
        texts = [text.removeprefix(prefix) for text in pieces(pattern, fake, fixed)]
        wanted.append(list(dict.fromkeys([*texts, *(text.rpartition("/")[2] for text in texts)])))
    for text in composed(wanted, fake.plain):
        for name in with_ending(text, [*endings, *layout.extensions]):
            yield prefix + name


def _fits(layout: FolderLayout, raw: str) -> Callable[[str], bool]:
    def fits(name: str) -> bool:
        if not name.lower().endswith(tuple(e.lower() for e in layout.extensions)) or "//" in name or name[0] in "./":
            return False
        if layout.only and not re.search(layout.only, name):
            return False
        match = re.search(layout.label, name) if layout.label else None
        return not layout.label or (match is not None and match["label"] == raw)

    return fits


def _late(layout: FolderLayout, fakes: list[Fake]) -> list[Fake]:
    """Return more samples of each class that has `first` already; their names come after the others'."""
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
    """Return a picture that `only` leaves out, beside the first one, if a name for it is at hand."""
    if not layout.only:
        return []
    path, fake = found[0]
    folder, slash, name = path.rpartition("/")
    for other in (f"{folder}{slash}left-out{Path(name).suffix}", f"left-out/{name}", f"left-out{Path(name).suffix}"):
        if not re.search(layout.only, other):
            return [(other, fake)]
    return []


def write_lists(card: DatasetCard, layout: ListLayout, root: Path, fakes: list[Fake]) -> Images:
    """Write the lists of names; return the images."""
    raws = {index: raw for raw, index in reversed(layout.values.items())}
    names = Names(card, layout.group)
    lines: dict[str, list[str]] = defaultdict(list)
    images: Images = []
    for fake in fakes:
        assert isinstance(fake.target, int)
        raw = raws[fake.target]

        def fits(name: str, raw: str = raw) -> bool:
            match = re.search(layout.label, name)
            return match is not None and match["label"] == raw and "/" not in name

        name = names.take(_listed(layout, fake, raw), fake, fits)
        lines[fake.split].append(name)
        images.append((layout.image.replace("{name}", name), fake))
    for split, file in layout.lists.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("\n".join(lines[str(split)]) + "\n", encoding="utf-8")
    return images


def _listed(layout: ListLayout, fake: Fake, raw: str) -> Iterator[str]:
    wanted = [pieces(layout.label, fake, {"label": raw}), pieces(layout.group, fake)]
    for text in composed(wanted, fake.plain):
        yield from with_ending(text, [".jpg"])


def write_npz(card: DatasetCard, layout: NpzLayout, root: Path, fakes: list[Fake], rng: np.random.Generator) -> None:
    """Write a MedMNIST file; the number at the end of its name, if any, is the side of the images."""
    size = re.search(r"_(\d+)\.npz$", layout.file)
    side = int(size[1]) if size else 28
    arrays: dict[str, Any] = {}
    for split in medmnist_npz.SPLITS:
        mine = [fake for fake in fakes if fake.split == split]
        arrays[f"{split}_images"] = np.stack([drawn(fake, card.channels, rng, side, side) for fake in mine])
        labels = np.asarray([fake.target for fake in mine], np.uint8)
        arrays[f"{split}_labels"] = labels if labels.ndim == 2 else labels[:, None]
    file = root / layout.file
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, **arrays)
