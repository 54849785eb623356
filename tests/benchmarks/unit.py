"""A whole linear-frozen unit against the bare forwards it needs."""

from __future__ import annotations

import time
from pathlib import Path

import torch

import medbench
from benchmarks.pictures import encoder_card, labelled
from benchmarks.row import Row
from medbench import progress
from medbench.features.extract import BATCH


def run(folder: Path, device: str) -> list[Row]:
    arch, n, views = ("vit_tiny_patch16_224", 192, 4) if device == "cpu" else ("vit_base_patch16_224", 4096, 16)
    data, card = labelled(folder, n), encoder_card(folder, arch)
    precision = "fp32" if device == "cpu" else "bf16"
    with progress.quiet():
        start = time.perf_counter()
        options = {"weights": "random", "device": device, "out": folder / "unit", "set": {"views": views}}
        records = medbench.run(model=card, protocol="linear-frozen", dataset=data, **options)
        seconds = time.perf_counter() - start
    forwards = int(records[0].counts["forwards"])
    encoder = medbench.load_model(card, weights="random", device=device).channels_last()
    x = torch.rand(BATCH[torch.device(device).type], 3, 224, 224, device=device)
    with torch.inference_mode(), torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision != "fp32"):
        encoder.pooled(x)
        start = time.perf_counter()
        for _ in range(max(1, round(forwards / len(x)))):
            encoder.pooled(x)
        if device != "cpu":
            torch.cuda.synchronize()
        bare = (time.perf_counter() - start) * forwards / (max(1, round(forwards / len(x))) * len(x))
    what = f"linear-frozen from files to records, {arch} {precision}, {n} images, {views} views, 20 heads"
    return [Row(what, f"{seconds:.1f} s", f"{forwards} bare forwards {bare:.1f} s", seconds / bare, "–", True)]
