"""Zero-shot classification, texts and records included, against the bare forwards of its images."""

from __future__ import annotations

import itertools
from pathlib import Path

import torch

import medbench
from benchmarks.pictures import CARD, labelled
from benchmarks.row import Row, by_turns
from medbench import progress
from medbench.features.extract import BATCH

TEXT = """\
text:
  library: open_clip
  arch: ViT-B-32
  dim: {dim}
"""


def run(folder: Path, device: str) -> list[Row]:
    place = torch.device(device).type
    arch, dim, n = ("vit_small_patch16_224", 384, 384) if place == "cpu" else ("vit_base_patch16_224", 768, 8192)
    data, card, number = labelled(folder, n), folder / "bench-pair.yaml", itertools.count(1)

    def write_card() -> None:
        mean = 0.5 + 1e-6 * next(number)  # another key each time, so that no feature is found done
        own = CARD.format(name="bench-pair", arch=arch).replace("224}", f"224, mean: [{mean}, {mean}, {mean}]}}")
        card.write_text(own + TEXT.format(dim=dim))

    write_card()
    encoder = medbench.load_model(str(card), weights="random", device=device).channels_last()
    batch = torch.rand(BATCH[place], 3, 224, 224, device=device)
    settings = {"split": "whole", "normalise": "model", "transform": "protocol"}

    def bare() -> None:
        with torch.inference_mode(), torch.autocast(place, torch.bfloat16, enabled=place != "cpu"):
            for start in range(0, n, len(batch)):
                encoder.pooled(batch[: n - start])
        if place != "cpu":
            torch.cuda.synchronize()

    def ours() -> None:
        write_card()
        options = {"weights": "random", "device": device, "out": folder / "zero-shot", "set": settings}
        with progress.quiet():
            medbench.run(model=str(card), protocol="zero-shot", dataset=data, **options)

    plain, whole = by_turns(bare, ours, rounds=1)
    what = f"zero-shot, {arch}, {n} images, CLIP's text tower, from prepared images to records"
    return [Row(what, f"{whole:.1f} s", f"bare forwards {plain:.1f} s", whole / plain, "≤ 1.05", whole / plain <= 1.05)]
