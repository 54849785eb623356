"""Drawn images, and a small data set of them that holds near duplicates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medbench.data.checks.check import CheckReport, check
from medbench.data.checks.findings import Finding
from medbench.progress import quiet

CARD = """
task: binary
classes: [healthy, ill]
metric: auroc
layout: {kind: csv, tables: [{file: labels.csv}], image: "{image}", label: label, split: split%s}
splits: {default: official, rules: {official: {method: official}}}
"""


def drawn(seed: int, side: int = 96) -> Image.Image:
    """Return an image of random blobs on a round background, which is the same for all seeds."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    pixels = 60 + 60 * (np.hypot(y - 0.5, x - 0.5) < 0.45)
    for _ in range(60):
        top, left, size = rng.random(), rng.random(), rng.uniform(0.02, 0.1)
        pixels = pixels + rng.uniform(-60, 60) * np.exp(-((y - top) ** 2 + (x - left) ** 2) / size**2)
    pixels += rng.normal(0, 4, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def crowd() -> list[Image.Image]:
    return [drawn(seed) for seed in range(80)]


@pytest.fixture
def copy(tmp_path, crowd):
    """A data set of 30 images; 1 repeats 0 with another label, 25 repeats 2 in another split, 5 repeats 4."""
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


def checked(root: Path, **options: Any) -> tuple[CheckReport, dict[str, Finding]]:
    with quiet():
        report = check(str(root / "mine.yaml"), **options)
    return report, {finding.kind: finding for finding in report.findings}
