"""A complete linear-frozen unit against the bare forwards it needs, by wall-clock time and by CPU time."""

from __future__ import annotations

from pathlib import Path

import torch

import medbench
from benchmarks.pictures import encoder_card, labelled
from benchmarks.row import Row, cost_of
from medbench import progress
from medbench.features.extract import BATCH
from medbench.records import Record

BARE = 8  # batches of the bare model before the unit, and as many after it
AIM = 1.15


def run(folder: Path, device: str) -> list[Row]:
    place = torch.device(device).type
    arch, n, views = ("vit_tiny_patch16_224", 192, 4) if place == "cpu" else ("vit_base_patch16_224", 4096, 16)
    data, card = labelled(folder, n), encoder_card(folder, arch)
    precision = "fp32" if place == "cpu" else "bf16"
    encoder = medbench.load_model(card, weights="random", device=device).channels_last()
    x = torch.rand(BATCH[place], 3, 224, 224, device=device)
    records: list[Record] = []

    def bare() -> None:
        with torch.inference_mode(), torch.autocast(place, torch.bfloat16, enabled=precision != "fp32"):
            for _ in range(BARE):
                encoder.pooled(x)
        if place != "cpu":
            torch.cuda.synchronize()

    def unit() -> None:
        options = {"weights": "random", "device": device, "out": folder / "unit", "set": {"views": views}}
        with progress.quiet():
            records.extend(medbench.run(model=card, protocol="linear-frozen", dataset=data, **options))

    bare()
    before, ours, after = cost_of(bare), cost_of(unit), cost_of(bare)
    forwards = int(records[0].counts["forwards"])
    times = forwards / (2 * BARE * len(x))
    wall, cpu = (before.wall + after.wall) * times, (before.cpu + after.cpu) * times
    what = f"linear-frozen from files to records, {arch} {precision}, {n} images, {views} views, 20 heads"
    rows = [row(what, ours.wall, wall, forwards)]
    return [*rows, row(f"{what}, CPU time", ours.cpu, cpu, forwards)] if place == "cpu" else rows


def row(what: str, ours: float, bare: float, forwards: int) -> Row:
    against = f"{forwards} bare forwards {bare:.1f} s"
    return Row(what, f"{ours:.1f} s", against, ours / bare, f"≤ {AIM}", ours / bare <= AIM)
