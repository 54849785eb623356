"""Cheap adaptation: a step of each against a bare step, and a grid of twenty attentive heads against one."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.row import Row, costs_by_turns
from benchmarks.training import drawn, fitting
from medbench import progress
from medbench.cards import ModelCard
from medbench.cards.recipes import AttentiveProbe
from medbench.models.load import load_model
from medbench.models.networks.prompt_tokens import add_prompts
from medbench.training.finetune.lora import add_lora
from medbench.training.finetune.networks import Classifier, linear_head
from medbench.training.finetune.subset import thaw_biases, thaw_norms
from medbench.training.heads.attentive import train_attentive
from medbench.training.heads.grid import Problem

N, VAL, CLASSES = 351, 62, 5  # idrid's sizes
TOKENS = {"ViT-B/16 at 224 px": (196, 768), "MobileNetV2 at 224 px": (49, 1280)}
RATES, DECAYS = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2], [0.0, 1e-5, 1e-3, 1e-1]
EPOCHS = 2
SMALL = {"name": "ti", "arch": "vit_tiny_patch16_224", "input": {"size": 224}}


def run(folder: Path, device: str) -> list[Row]:
    rows = [grid(name, *shape, device) for name, shape in TOKENS.items()]
    return rows + (steps(drawn(folder / "pictures", 48)) if device == "cpu" else [])


def grid(name: str, t: int, d: int, device: str) -> Row:
    """Heads of the default size, two epochs; on a CPU the CPU time, since other work changes the other."""
    source = np.random.default_rng(0)
    problem = Problem(
        train=[source.normal(size=(N, t, d)).astype(np.float32)],
        train_targets=torch.from_numpy(source.integers(CLASSES, size=N)),
        val=source.normal(size=(VAL, t, d)).astype(np.float32),
        val_targets=source.integers(CLASSES, size=VAL),
        classes=CLASSES,
        metric="kappa_quadratic",
    )

    def train(rates: list[float], decays: list[float]) -> None:
        settings = AttentiveProbe(epochs=EPOCHS, learning_rates=rates, weight_decays=decays)
        with progress.quiet():
            train_attentive(problem, settings, [0], torch.device(device))

    costs = costs_by_turns(lambda: train(RATES, DECAYS), lambda: train([1e-3], [1e-5]), rounds=3)
    twenty, one = (cost.cpu if device == "cpu" else cost.wall for cost in costs)
    return Row(
        f"attentive probe, 20 heads, {t} tokens of {d} ({name})",
        f"{twenty:.2f} s",
        f"one head by the same code {one:.2f} s",
        twenty / one,
        "≤ 4",
        twenty / one <= 4,
    )


def steps(data: Path, batch: int = 16, number: int = 3) -> list[Row]:
    """One thread, as in `training.step`, and CPU time."""
    torch.set_num_threads(1)
    one = torch.zeros(1, 3, 224, 224)
    kinds: dict[str, Callable[[Any], None]] = {
        "lora": functools.partial(add_lora, rank=16, alpha=16.0, targets=None, seed=0),
        "bitfit": thaw_biases,
        "norm-tuning": thaw_norms,
        "visual-prompt": lambda encoder: add_prompts(encoder, one, 10, 0, deep=True),
    }
    return [step(data, name, prepare, batch, number) for name, prepare in kinds.items()]


def step(data: Path, name: str, prepare: Callable[[Any], None], batch: int, number: int) -> Row:
    def made() -> Classifier:
        encoder = load_model(ModelCard.model_validate(SMALL), "random")
        prepare(encoder)
        return Classifier(encoder, linear_head(encoder.dim, 2, 0), still=True).train()

    ours, bare = fitting(data, made(), batch, "cpu", "fp32", 0), made()
    optimizer = torch.optim.AdamW([p for p in bare.parameters() if p.requires_grad], lr=1e-4, fused=True)
    x, y = torch.randn(batch, 3, 224, 224), torch.arange(batch) % 2
    batches = ours._batches()

    def whole() -> None:
        for raw, rows in itertools.islice(batches, number):
            ours._step(raw, rows)

    def plain() -> None:
        for _ in range(number):
            optimizer.zero_grad()
            nn.functional.cross_entropy(bare(x), y).backward()
            nn.utils.clip_grad_norm_(bare.parameters(), 1.0)
            optimizer.step()

    a, b = (cost.cpu / number for cost in costs_by_turns(whole, plain, rounds=4))
    return Row(
        f"{name}: step of ViT-Ti/16, 224 px, batch {batch}, augmentation included",
        f"{a:.2f} s",
        f"bare step on ready tensors {b:.2f} s",
        a / b,
        "≤ 1.05",
        a / b <= 1.05,
    )
