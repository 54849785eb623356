"""Extraction from the prepared store against the bare model on tensors that are ready.

The bare model keeps PyTorch's own way with memory; extraction keeps its buffers (`features.memory`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.pictures import encoder_card, labelled
from benchmarks.row import Cost, Row, costs_by_turns
from benchmarks.training import peak
from medbench import progress
from medbench.cards.recipes import Augment, LinearFrozen
from medbench.data.images.corruption import Corruption, corruptions
from medbench.data.images.square import rule_of
from medbench.data.load import load_dataset
from medbench.data.prepared.store import prepare
from medbench.data.prepared.transforms import Clean, Corrupted, Late, Views, normalise
from medbench.features.extract import AUTOCAST, BATCH, Extraction, Tally, exact, features
from medbench.features.spec import FeatureSpec
from medbench.models.encoder import Encoder
from medbench.models.load import load_model

ARCHITECTURES = {
    "cpu": {"vit_tiny_patch16_224": 256, "resnet50": 160},
    "cuda": {"vit_base_patch16_224": 8192, "vit_large_patch16_224": 4096, "resnet50": 8192},
}
WORKERS = {"cpu": 0, "cuda": 15}
FEW_WORKERS = 3
MOBILE = "mobilenetv2_100"
STATS = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def run(folder: Path, device: str) -> Iterator[Row]:
    place = torch.device(device)
    for arch, n in ARCHITECTURES[place.type].items():
        yield from measure(folder, place, arch, n)


def vit_base(folder: Path, device: str) -> Iterator[Row]:
    return measure(folder, torch.device(device), "vit_base_patch16_224", 8192 if device != "cpu" else 24, rounds=1)


def vit_large(folder: Path, device: str) -> Iterator[Row]:
    n = 4096 if device != "cpu" else 24
    return measure(folder, torch.device(device), "vit_large_patch16_224", n, rounds=1, late=False)


def corrupted(
    folder: Path, device: str, n: int = 16, arch: str = "mobilenetv2_100", words: str = "all"
) -> Iterator[Row]:
    """Corrupted test sets of `n` images each against as many clean passes over the same images."""
    place, rows = torch.device(device), np.arange(n)
    dataset = load_dataset(labelled(folder, n))
    with progress.quiet():
        store = prepare(dataset, rule_of(LinearFrozen(), 224, 3))
    encoder = load_model(encoder_card(folder, arch), weights="random", device=device).channels_last()
    sets, ids = corruptions(words, "bench", 3), dataset.samples["id"].tolist()
    precision = "fp32" if place.type == "cpu" else "bf16"

    def extract(images: Callable[[Corruption], Clean]) -> None:
        for how in sets:
            fresh = str(time.perf_counter_ns())  # a key of its own: nothing is found done
            spec = FeatureSpec("bench", "bench", {}, fresh, "", 224, 3, "slice", *STATS, precision, "all")
            task = Extraction([spec], images(how), n, "bench")
            with progress.quiet():
                features(task, lambda: encoder, place, WORKERS[place.type], Tally())

    clean, ours = costs_by_turns(
        lambda: extract(lambda _: Clean(store, rows, 224)),
        lambda: extract(lambda how: Corrupted(store, rows, 224, how, ids)),
        rounds=2,
    )
    mine, plain = (f"{1000 * one.cpu / n / len(sets):.1f} ms an image" for one in (ours, clean))
    what = f"extraction, {arch} {precision}, {len(sets)} corrupted test sets, CPU time"
    ratio = clean.cpu / ours.cpu
    yield Row(what, mine, f"clean passes {plain}", ratio, "≥ 0.9", ratio >= 0.9)


def measure(
    folder: Path, place: torch.device, arch: str, n: int, rounds: int = 4, *, late: bool = True
) -> Iterator[Row]:
    """One architecture: the clean pass, then a pass of augmented views, each by turns with the bare model.

    With `late`, a GPU also makes the views itself.
    """
    precision = "fp32" if place.type == "cpu" else "bf16"
    dataset = load_dataset(labelled(folder, n))
    with progress.quiet():
        store = prepare(dataset, rule_of(LinearFrozen(), 224, 3))
    encoder = load_model(encoder_card(folder, arch), weights="random", device=str(place)).channels_last()
    every, batch = np.arange(n), BATCH[place.type]
    clean, views = Clean(store, every, 224), Views(store, every, 224, Augment(), 0, 0)
    ready = [normalise(clean.__getitems__(range(i, min(i + batch, n))).to(place), *STATS) for i in range(0, n, batch)]

    def bare() -> None:
        with torch.inference_mode(), exact(precision):
            for x in ready:
                with torch.autocast(place.type, dtype=AUTOCAST.get(precision), enabled=precision != "fp32"):
                    encoder.pooled(x)
        if place.type == "cuda":
            torch.cuda.synchronize()

    def extract(images: Clean | Late, workers: int = WORKERS[place.type]) -> None:
        fresh = str(time.perf_counter_ns())  # a key of its own: nothing is found done
        spec = FeatureSpec("bench", "bench", {}, fresh, "", 224, 3, "slice", *STATS, precision, "all")
        with progress.quiet():
            features(Extraction([spec], images, n, "bench"), lambda: encoder, place, workers, Tally())

    name = f"extraction, {arch} {precision}"
    plain, ours = costs_by_turns(bare, lambda: extract(clean), rounds=rounds)
    yield from pair(f"{name}, clean pass", n, ours, plain, place)
    if place.type == "cuda":
        yield of_peak(encoder, ready[0][:1], arch, n / ours.wall, place)
    plain, ours = costs_by_turns(bare, lambda: extract(views), rounds=rounds)
    yield from pair(f"{name}, augmented views", n, ours, plain, place)
    if place.type == "cuda" and late:
        plain, ours = costs_by_turns(bare, lambda: extract(Late(views), FEW_WORKERS), rounds=rounds)
        yield from pair(f"{name}, augmented views made on the GPU, {FEW_WORKERS} loaders", n, ours, plain, place)


def pair(what: str, n: int, ours: Cost, plain: Cost, place: torch.device) -> list[Row]:
    """A pass over n images against the bare model: by wall-clock time and, on a CPU, by CPU time."""
    rows = [against(what, f"{n / ours.wall:.0f} images/s", f"{n / plain.wall:.0f} images/s", plain.wall / ours.wall)]
    if place.type == "cpu":
        mine, bare = (f"{1000 * one.cpu / n:.1f} ms an image" for one in (ours, plain))
        rows.append(against(f"{what}, CPU time", mine, bare, plain.cpu / ours.cpu))
    return rows


def against(what: str, ours: str, plain: str, ratio: float) -> Row:
    return Row(what, ours, f"bare model {plain}", ratio, "≥ 0.95", ratio >= 0.95)


def of_peak(encoder: Encoder, x: torch.Tensor, arch: str, speed: float, place: torch.device) -> Row:
    """The clean pass against the bf16 matrix products that this card was seen to do."""
    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        encoder.pooled(x)
    most = peak(str(place))
    share = speed * counted.get_total_flops() / most
    what = f"extraction, {arch} bf16, clean pass, share of the card's peak"
    return Row(what, f"{speed:.0f} images/s", f"matmul peak {most / 1e12:.0f} TFLOP/s", share, "–", True)
