"""A training step against a bare one; what is made once for all depths, and the cache of a frozen prefix."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import yaml
from PIL import Image
from torch import nn

import medbench
from benchmarks.row import Row, by_turns
from medbench import cards, progress
from medbench.cards.recipes import Augment, LinearUnfrozen, Settings
from medbench.data.images.square import rule_of
from medbench.data.load import load_dataset
from medbench.data.prepared.store import prepare
from medbench.data.prepared.transforms import Clean, Drawn, normalise
from medbench.training.finetune.fit import Fit
from medbench.training.finetune.task import FitData, FitTask
from medbench.training.machine import machine

MEAN, STD = [0.5] * 3, [0.25] * 3
FLOPS = 3 * 35.1e9  # of ViT-B/16 at 224 px: forward and backward of one image


def run(folder: Path, device: str) -> list[Row]:
    data = drawn(folder / "training", 256 if device == "cpu" else 2048)
    if device.startswith("cuda"):
        return gpu(data, device)
    return [step(data), *shared(data)]


def large(folder: Path, device: str) -> list[Row]:
    """What only a GPU has: the memory of a step at 1024 px."""
    return [memory(device)] if device.startswith("cuda") else []


def drawn(folder: Path, n: int) -> Path:
    """Write n photographs' worth of noise with two classes; return the CSV."""
    folder.mkdir(exist_ok=True)
    source, rows = np.random.default_rng(0), ["image,label"]
    for i in range(n):
        small = source.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(small).resize((256, 256)).save(folder / f"{i:04d}.png", compress_level=1)
        rows.append(f"{i:04d}.png,{i % 2}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"


def fitting(data: Path, network: nn.Module, batch: int, device: str, precision: str, workers: int) -> Fit:
    dataset = load_dataset(str(data))
    store = prepare(dataset, rule_of(Settings(), 224, 3))
    rows = dataset.rows("train")
    source = FitData(
        Drawn(store, rows, 224, Augment(), 0),
        Clean(store, dataset.rows("val"), 224),
        Clean(store, dataset.rows("test"), 224),
        lambda raw: normalise(raw, MEAN, STD),
    )
    settings = LinearUnfrozen(batch_size=batch, epochs=1000)
    targets = torch.from_numpy(dataset.targets("train"))
    task = FitTask(settings, targets, dataset.targets("val"), 2, "accuracy", machine(precision, device, workers))
    return Fit(network, source, task, 0, 1e-4, "benchmark")


def step(data: Path, batch: int = 16, steps: int = 4) -> Row:
    """One thread: on a busy machine two would wait for each other on both sides."""
    torch.set_num_threads(1)
    ours = fitting(data, timm.create_model("vit_tiny_patch16_224", num_classes=2), batch, "cpu", "fp32", 0)
    bare = timm.create_model("vit_tiny_patch16_224", num_classes=2).train()
    optimizer = torch.optim.AdamW(bare.parameters(), lr=1e-4, weight_decay=1e-5, fused=True)
    x, y = torch.randn(batch, 3, 224, 224), torch.arange(batch) % 2
    batches = ours._batches()

    def whole() -> None:
        for raw, rows in itertools.islice(batches, steps):
            ours._step(raw, rows)

    def plain() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(bare(x), y).backward()
            nn.utils.clip_grad_norm_(bare.parameters(), 1.0)
            optimizer.step()

    a, b = (seconds / steps for seconds in by_turns(whole, plain, rounds=5))
    return Row(
        f"training step, ViT-Ti/16, 224 px, batch {batch}, augmentation included",
        f"{a:.2f} s",
        f"bare step on ready tensors {b:.2f} s",
        a / b,
        "≤ 1.05",
        a / b <= 1.05,
    )


def shared(data: Path) -> list[Row]:
    """Whole runs on a 12-block encoder: with and without room for the outputs of the frozen part."""
    card = cards.find_model("imagenet").model_dump(exclude_unset=True, mode="json")
    small = {"embed_dim": 96, "depth": 12, "num_heads": 3, "weight_init": "moco"}
    card |= {"args": small, "weights": None, "units": 12, "features": {"pooled": "cls"}}
    stack = card | {"args": {**small, "depth": 2}, "units": 2}
    for name, fields in (("twelve", card), ("stack", stack)):
        (data.parent / f"{name}.yaml").write_text(yaml.safe_dump({**fields, "name": name}))
    depths = {"kept": list(range(1, 12)), "classifier": str(data.parent / "stack.yaml")}
    return [
        _cached(data, "decapitate-frozen", depths, "decapitate-frozen, 11 depths, tokens of all from one pass", "–"),
        _cached(data, "freeze", {"frozen": [8]}, "freeze, 8 of 12 blocks frozen, their output cached", "–"),
    ]


def _cached(data: Path, protocol: str, changes: dict[str, Any], what: str, aim: str) -> Row:
    recipe = {"views": 4, "epochs": 12, "learning_rates": [1e-4], "image_size": 64, "plateau": False}

    def timed(gigabytes: float) -> float:
        start = time.perf_counter()
        with progress.quiet():
            medbench.run(
                model=str(data.parent / "twelve.yaml"),
                protocol=protocol,
                dataset=str(data),
                seeds=1,
                overwrite="always",
                set={**recipe, **changes, "cache_gb": gigabytes},
            )
        return time.perf_counter() - start

    with_cache, without = timed(64.0), timed(0.0)
    against = f"each depth from the images {without:.1f} s" if "kept" in changes else f"from the images {without:.1f} s"
    return Row(what, f"{with_cache:.1f} s", against, with_cache / without, aim, True)


def gpu(data: Path, device: str) -> list[Row]:
    """ViT-B fine-tuning in bf16: images/s, share of the measured matmul peak, idle share of the input."""
    network = timm.create_model("vit_base_patch16_224", num_classes=2)
    fit, batch, steps = fitting(data, network, 256, device, "bf16", 12), 256, 30
    batches = fit._batches()
    held = [next(batches) for _ in range(4)]

    def timed(source: Any) -> float:
        torch.cuda.synchronize()
        start = time.perf_counter()
        for raw, rows in itertools.islice(source, steps):
            fit._step(raw, rows)
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / steps

    timed(itertools.cycle(held))
    ready, fed = timed(itertools.cycle(held)), timed(batches)
    share, idle = batch / fed * FLOPS / peak(device), 1 - ready / fed
    return [
        Row(
            "fine-tuning ViT-B/16, 224 px, bf16, batch 256",
            f"{batch / fed:.0f} images/s",
            f"matmul peak {peak(device) / 1e12:.0f} TFLOP/s",
            share,
            "≥ 0.45",
            share >= 0.45,
        ),
        Row(
            "share of a step without input",
            f"{idle:.3f}",
            "the same step on held batches",
            None,
            "≤ 0.05",
            idle <= 0.05,
        ),
    ]


def peak(device: str, n: int = 8192, repeats: int = 20) -> float:
    """Measure bf16 matrix products, FLOP/s."""
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        a @ b
    torch.cuda.synchronize()
    return 2 * n**3 * repeats / (time.perf_counter() - start)


def memory(device: str, micro: int = 16) -> Row:
    """A step of DeiT-B at 1024 px with checkpointing: the paper's batch of 64 by accumulation."""
    encoder = medbench.load_model("imagenet", weights="random", image_size=1024, device=device).set_grad_checkpointing()
    encoder.requires_grad_(True)
    encoder.train()
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-4, fused=True)
    torch.cuda.reset_peak_memory_stats()
    for _ in range(64 // micro):
        with torch.autocast("cuda", torch.bfloat16):
            encoder.pooled(torch.randn(micro, 3, 1024, 1024, device=device)).float().square().mean().backward()
    optimizer.step()
    used = torch.cuda.max_memory_allocated() / 2**30
    return Row(
        f"memory of a step at 1024 px, 64 images by {micro}",
        f"{used:.1f} GiB",
        "an 80 GB card",
        None,
        "≤ 74",
        used <= 74,
    )
