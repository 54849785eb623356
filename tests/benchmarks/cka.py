"""CKA of all layers of two networks against the forwards that it needs.

On a processor both sides have one thread: with more, threads that wait for a busy core decide the ratio.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.pictures import encoder_card
from benchmarks.row import Row, by_turns
from medbench.features.extract import exact
from medbench.features.layers import What, layers_of, layerwise
from medbench.models.encoder import Encoder
from medbench.models.load import load_model

BATCH = 64
N, ROUNDS = 2000, 2
SIZES = {"cpu": ("vit_tiny_patch16_224", 112), "cuda": ("vit_base_patch16_224", 224)}
"""Of each device: architecture and side of the images."""


def run(folder: Path, device: str) -> Iterator[Row]:
    place = torch.device(device)
    threads = torch.get_num_threads()
    if place.type == "cpu":
        torch.set_num_threads(1)
    yield measure(folder, place, N, "blocks")
    yield measure(folder, place, N // 4, "all")
    torch.set_num_threads(threads)


def measure(folder: Path, place: torch.device, n: int, what: What) -> Row:
    """One set of layers: two networks of an architecture, by turns with CKA and without."""
    arch, side = SIZES[place.type]
    a, b = (load_model(encoder_card(folder, arch), weights="random", image_size=side, device=str(place)) for _ in "ab")
    source = torch.Generator(place).manual_seed(0)
    ready = list(torch.randn(n, 3, side, side, generator=source, device=place).split(BATCH))
    ours, bare = by_turns(lambda: layerwise(a, b, ready, what=what), lambda: forwards((a, b), ready), rounds=ROUNDS)
    layers = len(layers_of(a, what))
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
