"""Extraction from the prepared store against the bare model on tensors that lie ready."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.pictures import encoder_card, labelled
from benchmarks.row import Row, by_turns
from medbench import progress
from medbench.cards.protocol import Augment, LinearFrozen
from medbench.data import load_dataset
from medbench.data.store import prepare, rule_of
from medbench.data.transforms import Clean, Views, normalise
from medbench.features.extract import AUTOCAST, BATCH, Tally, Task, exact, features
from medbench.features.key import FeatureSpec
from medbench.models import load_model

ARCHITECTURES = {"cpu": {"vit_tiny_patch16_224": 256, "resnet50": 96}, "cuda": {"vit_base_patch16_224": 8192, "resnet50": 8192}}
STATS = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def run(folder: Path, device: str) -> list[Row]:
    place = torch.device(device)
    rows = []
    precision = "fp32" if place.type == "cpu" else "bf16"
    for arch, n in ARCHITECTURES[place.type].items():
        dataset = load_dataset(labelled(folder, n))
        settings = LinearFrozen()
        with progress.quiet():
            store = prepare(dataset, rule_of(settings, 224, 3))
        encoder = load_model(encoder_card(folder, arch), weights="random", device=device)
        every = np.arange(n)
        batch = BATCH[place.type]
        ready = [
            normalise(Clean(store, every, 224).__getitems__(range(i, min(i + batch, n))).to(place), *STATS)
            for i in range(0, n, batch)
        ]

        def bare(encoder=encoder, ready=ready) -> None:
            with torch.inference_mode(), exact(precision):
                for x in ready:
                    with torch.autocast(place.type, dtype=AUTOCAST.get(precision), enabled=precision != "fp32"):
                        encoder.pooled(x)
            if place.type == "cuda":
                torch.cuda.synchronize()

        workers = 0 if place.type == "cpu" else 15

        def extract(images, encoder=encoder, n=n, workers=workers) -> None:
            with progress.quiet():
                spec = FeatureSpec(
                    "bench", "bench", {}, str(time.perf_counter_ns()), "", 224, 3, "slice", *STATS, precision, "all"
                )
                features(Task(spec, images, n, "bench"), lambda: encoder, place, workers, Tally())

        clean, views = Clean(store, every, 224), Views(store, every, 224, Augment(), 0, 0)
        plain, ours, augmented = by_turns(bare, lambda: extract(clean), lambda: extract(views))
        for what, seconds, aim in (("clean pass", ours, 0.95), ("augmented views", augmented, None)):
            ratio = plain / seconds
            rows.append(
                Row(
                    f"extraction, {arch} {precision}, {what}",
                    f"{n / seconds:.0f} images/s",
                    f"bare model {n / plain:.0f} images/s",
                    ratio,
                    f"≥ {aim}" if aim else "–",
                    ratio >= (aim or 0),
                )
            )
    return rows
