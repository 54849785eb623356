"""A step of retfiner against a bare one on ready tensors."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

import numpy as np
import torch

from benchmarks.row import Row, by_turns
from medbench.cards.recipes import RetFiner
from medbench.data.prepared.store import Store
from medbench.data.prepared.transforms import Clean, Still, normalise
from medbench.models.load import load_model
from medbench.models.text.bert import build_reader
from medbench.training.machine import machine
from medbench.training.retfiner.masking import Words
from medbench.training.retfiner.network import Refiner
from medbench.training.retfiner.refining import Refining, ReportData, alone
from medbench.training.retfiner.reports import Reports

SIZE, PAIRS, WORDS = 112, 96, Words(pad=0, mask=4, first=5, size=1000)
SHAPE = {"vocab_size": WORDS.size, "hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 3,
         "intermediate_size": 768, "max_position_embeddings": 30, "pad_token_id": 0}  # fmt: skip


def run(folder: Path, device: str) -> list[Row]:
    return [] if device.startswith("cuda") else [step()]


def refining(batch: int) -> Refining:
    source = np.random.default_rng(0)
    store = Store(source.integers(0, 256, (PAIRS, SIZE, SIZE, 3), dtype=np.uint8), {}, "", Path())
    ids = source.integers(WORDS.first, WORDS.size, (PAIRS, 30))
    reports = Reports(ids, np.arange(PAIRS))
    settings = RetFiner(batch_size=batch, epochs=1000, drop_path=None)
    card = load_model("imagenet", weights="random").card.model_copy(update={"arch": "vit_tiny_patch16_224"})
    card = card.model_copy(update={"features": card.features.model_copy(update={"dim": None})})
    encoder = load_model(card, weights="random", image_size=SIZE)
    encoder.requires_grad_(True)
    network = Refiner(encoder, build_reader(SHAPE, None, 0.1, "benchmark"), settings, 0)
    rows = np.arange(PAIRS)
    prepare = lambda raw: normalise(raw, [0.5] * 3, [0.25] * 3)  # noqa: E731
    data = ReportData(Still(store, rows, SIZE), Clean(store, rows, SIZE), prepare, reports, reports, WORDS)
    return Refining(network, data, settings, machine("fp32", "cpu", 0), 0, "benchmark")


def step(batch: int = 8, steps: int = 2) -> Row:
    """One thread: on a busy machine two would wait for each other on both sides."""
    torch.set_num_threads(1)
    ours = refining(batch)
    bare = copy.deepcopy(ours.refiner).train()
    optimizer = torch.optim.AdamW(bare.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
    rows, x = np.arange(batch), torch.randn(batch, 3, SIZE, SIZE)
    ready, own = ours._batch(ours.data.train_reports, rows, "ready"), torch.arange(batch)
    batches = ours._batches()

    def whole() -> None:
        for raw, chosen in itertools.islice(batches, steps):
            ours._step(raw, chosen)

    def plain() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            bare(x, ready, own, alone)[:4].sum().backward()
            optimizer.step()

    a, b = (seconds / steps for seconds in by_turns(whole, plain, rounds=5))
    return Row(
        f"retfiner step, ViT-Ti/16 and BERT of 4 layers, {SIZE} px, batch {batch}, masks and negatives included",
        f"{a:.2f} s",
        f"bare step on ready tensors {b:.2f} s",
        a / b,
        "≤ 1.05",
        a / b <= 1.05,
    )
