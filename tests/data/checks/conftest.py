"""Copies of data sets to check."""

from __future__ import annotations

import pytest
from PIL import Image

from .made import CARD, drawn


@pytest.fixture(scope="session")
def crowd() -> list[Image.Image]:
    return [drawn(seed) for seed in range(80)]


@pytest.fixture
def alike(tmp_path, crowd):
    """A copy of 30 images; 1 is 0 again with another label, 25 is 2 in another split, 5 is 4 again."""
    for i in range(30):
        crowd[i].save(tmp_path / f"{i}.png")
    for source, again in ((0, 1), (2, 25), (4, 5)):
        crowd[source].resize((80, 80)).save(tmp_path / f"{again}.png")
    lines = ["image,label,patient,split"]
    for i in range(30):
        split = "train" if i < 20 else "val" if i < 25 else "test"
        lines.append(f"{i}.png,{i in (1, 10, 11, 22, 28):d},p{i // 2},{split}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "mine.yaml").write_text(CARD % "")
    return tmp_path
