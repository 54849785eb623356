from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medbench.cards import DatasetCard

Rows = Sequence[Sequence[object]]


def write_image(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((8, 8, 3), shade % 256, np.uint8)
    pixels[0, 0] = (shade // 256, shade % 7, shade % 11)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def make_csv(tmp_path: Path) -> Callable[..., Path]:
    """Write labels.csv (and, unless told otherwise, an image for each first cell) into a folder."""

    def make(head: str, rows: Rows, images: bool = True, name: str = "labels.csv", folder: str = "data") -> Path:
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        lines = [head, *(",".join(map(str, row)) for row in rows)]
        (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        for shade, row in enumerate(rows):
            if images:
                write_image(root / str(row[0]), shade)
        return root

    return make


@pytest.fixture
def make_card() -> Callable[..., DatasetCard]:
    def make(**changes: Any) -> DatasetCard:
        layout = {"kind": "csv", "tables": [{"file": "labels.csv"}], "image": "{image}", "label": "label"}
        content: dict[str, Any] = {
            "name": "mine",
            "task": "multiclass",
            "classes": ["a", "b", "c"],
            "metric": "recall_macro",
            "splits": {"default": "stratified", "rules": {"stratified": {"method": "stratified"}}},
        }
        layout_changes = changes.pop("layout", {})
        if "kind" in layout_changes:
            layout = {}
        content["layout"] = {k: v for k, v in {**layout, **layout_changes}.items() if v is not None}
        return DatasetCard.model_validate({**content, **changes})

    return make


@pytest.fixture
def rows_of() -> Callable[[Path], list[list[str]]]:
    """Read all rows of a CSV file."""

    def read(path: Path) -> list[list[str]]:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.reader(file))

    return read


@pytest.fixture
def root(make_csv: Callable[..., Path]) -> Path:
    """Return a folder of 30 images of three classes, two of each patient, with their labels.csv."""
    return make_csv("image,label,patient", [(f"{i}.png", "abc"[i % 3], f"p{i // 2}") for i in range(30)])


@pytest.fixture
def card_file(root: Path) -> Path:
    """Return a card file of that folder, in it, with the split rules `grouped` and `s`."""
    file = root / "mine.yaml"
    file.write_text(
        "task: multiclass\nclasses: [a, b, c]\nmetric: recall_macro\n"
        "layout: {kind: csv, tables: [{file: labels.csv}], image: '{image}', label: label, group: '{patient}'}\n"
        "splits:\n  default: grouped\n"
        "  rules: {grouped: {method: grouped, val: 0.2, test: 0.2}, s: {method: stratified}}\n"
    )
    return file
