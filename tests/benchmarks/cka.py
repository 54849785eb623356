"""CKA of all layers of two networks against the forwards that it needs."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from benchmarks.pictures import encoder_card
from benchmarks.row import Row, by_turns
from medbench.features.extract import exact
from medbench.features.layers import layerwise
from medbench.models import load_model
from medbench.models.encoder import Encoder

BATCH = 64
SIZES = {"cpu": ("vit_tiny_patch16_224", 112, 2000, 2), "cuda": ("vit_base_patch16_224", 224, 2000, 3)}
"""Of each device: architecture, side of the images, images, rounds."""


def run(folder: Path, device: str) -> list[Row]:
    place = torch.device(device)
    arch, side, n, rounds = SIZES[place.type]
    rows = [measure(folder, place, arch, side, n, rounds, "blocks")]
    return [*rows, measure(folder, place, arch, side, n // 4, rounds, "all")]


def measure(folder: Path, place: torch.device, arch: str, side: int, n: int, rounds: int, what: str) -> Row:
    """One set of layers: two networks of an architecture, by turns with CKA and without."""
    a, b = (load_model(encoder_card(folder, arch), weights="random", image_size=side, device=str(place)) for _ in "ab")
    source = torch.Generator(place).manual_seed(0)
    ready = list(torch.randn(n, 3, side, side, generator=source, device=place).split(BATCH))
    ours, bare = by_turns(
        lambda: layerwise(a, b, ready, what=what),  # type: ignore[arg-type]
        lambda: forwards((a, b), ready),
        rounds=rounds,
    )
    layers = len(a.layers) if what == "blocks" else 2 * len(a.layers) + 1
    return Row(
        f"CKA of {layers} × {layers} layers, {arch} at {side} pixels, {n} images",
        f"{ours:.2f} s",
        f"the two networks' forwards {bare:.2f} s",
        ours / bare,
        "≤ 1.3",
        ours / bare <= 1.3,
    )


def forwards(encoders: tuple[Encoder, Encoder], ready: list[Tensor]) -> None:
    with torch.inference_mode(), exact("fp32"):
        for x in ready:
            for encoder in encoders:
                encoder.pooled(x)
    if ready[0].device.type == "cuda":
        torch.cuda.synchronize()
