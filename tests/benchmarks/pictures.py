"""A labelled set of noise pictures on disk, and encoders with random weights, for timing alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

CARD = """\
name: {name}
title: timing alone
arch: {arch}
weights: {{file: none.safetensors}}
input: {{size: 224}}
"""


def encoder_card(folder: Path, arch: str) -> str:
    """Write a card of a timm architecture and return its file; run it with weights="random"."""
    name = "bench-" + arch.replace("_", "-")
    file = folder / f"{name}.yaml"
    file.write_text(CARD.format(name=name, arch=arch))
    return str(file)


def labelled(folder: Path, n: int, side: int = 300, classes: int = 3) -> str:
    """Write `n` JPEGs with labels and return the CSV."""
    place = folder / f"pictures-{n}"
    if not place.exists():
        (place / "images").mkdir(parents=True)
        coarse = np.random.default_rng(0).integers(0, 256, size=(n, 16, 16, 3), dtype=np.uint8)

        def write(i: int) -> str:
            Image.fromarray(coarse[i]).resize((side, side)).save(place / "images" / f"{i:05d}.jpg")
            return f"images/{i:05d}.jpg,{i % classes}"

        with ThreadPoolExecutor() as pool:
            rows = ["image,label", *pool.map(write, range(n))]
        (place / "labels.csv").write_text("\n".join(rows) + "\n")
    return str(place / "labels.csv")


def described(folder: Path, n: int, side: int = 300) -> str:
    """Write a text for each picture of `labelled`, and return the CSV of pairs."""
    place = Path(labelled(folder, n, side)).parent
    rows = [f"images/{i:05d}.jpg,picture {i} of group {i % 3}" for i in range(n)]
    (place / "pairs.csv").write_text("\n".join(["image,text", *rows]) + "\n")
    return str(place / "pairs.csv")
