"""Pictures, data sets and model cards that several test modules make.

Child processes import this file, so it has absolute imports only.
"""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from medbench.cards import DatasetCard, ModelCard, Settings
from medbench.cards.resolve import native
from medbench.data.dataset import Dataset
from medbench.data.images.decode import open_image
from medbench.data.images.resize import fitted
from medbench.data.images.square import SquareRule

SMALL = SquareRule(32, "squash", "bilinear", False, 3)


def card(channels: int = 3) -> DatasetCard:
    return DatasetCard.model_validate(
        {
            "name": "made",
            "layout": {"kind": "folders"},
            "task": "binary",
            "classes": ["a", "b"],
            "channels": channels,
            "metric": "auroc_macro",
            "splits": {"default": "s", "rules": {"s": {"method": "stratified"}}},
        }
    )


def dataset_of(root: Path) -> Dataset:
    """Return a data set of all files of a folder, in the order of their names."""
    files = sorted(root.iterdir())
    names = [file.stem for file in files]
    samples = pd.DataFrame({"id": names, "path": [file.name for file in files], "group": names})
    samples["split"] = [("train", "val", "test")[k % 3] for k in range(len(files))]
    samples["target"] = np.arange(len(files)) % 2
    content = tuple(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    return Dataset(card(), root, samples, "s", "", "", content, False)


def picture(seed: int, height: int = 40, width: int = 60) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def pixels_of(dataset: Dataset, rule: SquareRule) -> np.ndarray[Any, Any]:
    paths = [dataset.root / path for path in dataset.samples["path"]]
    squares = [np.asarray(fitted(open_image(path, rule.channels), rule)).reshape(rule.shape) for path in paths]
    return np.stack(squares)


SAM_MEAN, SAM_STD = [123.675 / 255, 116.28 / 255, 103.53 / 255], [58.395 / 255, 57.12 / 255, 57.375 / 255]


INPUTS: dict[str, dict[str, Any]] = {
    "flair": {"size": 32, "mean": [0, 0, 0], "std": [1, 1, 1], "interpolation": "bilinear", "crop": 1.0,
              "fit": "canvas", "foreground": True},
    "sam": {"size": 64, "mean": SAM_MEAN, "std": SAM_STD, "interpolation": "bilinear", "crop": 1.0, "fit": "longest"},
    "retfound": {"size": 224, "interpolation": "bicubic", "crop": 0.875, "fit": "shortest"},
    "visionfm": {"size": 224, "interpolation": "bicubic", "crop": 1.0, "fit": "squash"},
}  # fmt: skip


def model_card(kind: str, **changes: Any) -> ModelCard:
    return ModelCard.model_validate({"name": kind, "arch": "made", "input": {**INPUTS[kind], **changes}})


def own(kind: str, **changes: Any) -> Settings:
    return native(Settings(transform="native"), model_card(kind, **changes))


def disc(height: int, width: int, centre: tuple[int, int], radius: float, seed: int = 0) -> NDArray[np.uint8]:
    """Draw a bright disc on a dark noisy ground."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
    shades = np.where(
        inside[..., None], rng.normal([160, 80, 40], 10, (height, width, 3)), rng.normal(6, 2, (height, width, 3))
    )
    return shades.clip(0, 255).astype(np.uint8)


CASES, SLICES = 30, (3, 4, 5)  # samples; slices of each volume in turn
PAIRS = """
title: pairs
layout:
  kind: csv
  tables: [{file: labels.csv}]
  image: "{case}/eye.png"
  id: "{case}"
  label: grade
  input: fundus
  inputs: {oct: {image: "{case}/oct", slices: '(?P<index>\\d+)_s\\.png'}}
task: binary
classes: [well, ill]
metric: auroc
mean: [0.5, 0.5, 0.5]
std: [0.25, 0.25, 0.25]
splits: {default: s, rules: {s: {method: stratified, seed: 0, val: 0.2, test: 0.2}}}
"""


def pairs_of(folder: Path) -> Path:
    """Make a data folder with its card: the picture tells nothing, the slices' brightness tells the class."""
    rng = np.random.default_rng(0)
    rows = []
    for case in range(CASES):
        place = folder / f"{case:03d}"
        (place / "oct").mkdir(parents=True)
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(place / "eye.png")
        for k in range(SLICES[case % 3]):
            level = 60 + 120 * (case % 2) + 5 * k
            noise = rng.integers(-20, 20, (40, 40, 3)) + level
            Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(place / "oct" / f"{k}_s.png")
        (place / "oct" / "notes.txt").write_text("no slice")
        rows.append((f"{case:03d}", case % 2))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("case", "grade"), *rows])
    (folder / "pairs.yaml").write_text(PAIRS)
    return folder
