"""A small real run: a CSV of drawn pictures, a tiny encoder, a short recipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SHORT = {"views": 2, "epochs": 6, "learning_rates": [1e-3, 1e-1], "batch_size": 16, "k": 5}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Write 90 pictures of 3 classes (stripes of three widths, with noise) of 45 patients; return the CSV."""
    return write_pictures(tmp_path / "pictures")


def write_pictures(folder: Path, n: int = 90) -> Path:
    source = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    rows = ["image,label,patient"]
    for i in range(n):
        label = i // 2 % 3
        wave = np.sin(np.arange(48) * (0.3 + 0.35 * label) + source.uniform(0, 6))
        grey = 128 + 50 * wave[None, :, None] + source.normal(scale=45, size=(48, 48, 3))
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"{i:03d}.png")
        rows.append(f"images/{i:03d}.png,{label},p{i // 2}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"
