"""Pictures that are alike, and a copy of a data set that holds some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medbench.data.checks.check import CheckReport, check
from medbench.data.checks.findings import Finding
from medbench.progress import quiet


def drawn(seed: int, side: int = 96) -> Image.Image:
    """Return a picture of some blobs of its own on a round ground that all of them share."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    pixels = 60 + 60 * (np.hypot(y - 0.5, x - 0.5) < 0.45)
    for _ in range(60):
        top, left, size = rng.random(), rng.random(), rng.uniform(0.02, 0.1)
        pixels = pixels + rng.uniform(-60, 60) * np.exp(-((y - top) ** 2 + (x - left) ** 2) / size**2)
    pixels += rng.normal(0, 4, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


CARD = """
task: binary
classes: [healthy, ill]
metric: auroc
layout: {kind: csv, tables: [{file: labels.csv}], image: "{image}", label: label, split: split%s}
splits: {default: official, rules: {official: {method: official}}}
"""


def checked(root: Path, **options: Any) -> tuple[CheckReport, dict[str, Finding]]:
    with quiet():
        report = check(str(root / "mine.yaml"), **options)
    return report, {finding.kind: finding for finding in report.findings}
