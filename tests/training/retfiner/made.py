"""A small refinement: stripes of three widths, each with a report that names the width."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertLMHeadModel

from medbench.cards.recipes import RetFiner
from medbench.data.prepared.store import Store
from medbench.data.prepared.transforms import Clean, Still
from medbench.data.prepared.transforms import normalise as normalised
from medbench.models.load import load_model
from medbench.training.machine import Machine, machine
from medbench.training.retfiner.masking import Words
from medbench.training.retfiner.network import Refiner
from medbench.training.retfiner.refining import Refining, ReportData, Reports

SIZE, TOKENS = 32, 8
WORDS = Words(pad=0, mask=3, first=4, size=24)
SMALL = {"epochs": 2, "batch_size": 6, "joint_width": 16, "learning_rate": 1e-3, "drop_path": None, "dropout": 0.0}


def stripes(n: int, seed: int, *, words: bool = True) -> tuple[Store, Reports]:
    """Draw stripes of three widths under noise, with reports of the width's word, among random ones with `words`."""
    source, labels = np.random.default_rng(seed), np.arange(n) % 3
    waves = np.sin(np.arange(40) * (0.3 + 0.35 * labels[:, None]) + source.uniform(0, 6, (n, 1)))
    grey = 128 + 40 * waves[:, None, :, None] + source.normal(scale=25, size=(n, 40, 40, 3))
    ids = np.zeros((n, TOKENS), dtype=np.int64)
    lengths = source.integers(3, TOKENS - 1, n) if words else np.ones(n, dtype=np.int64)
    for row, label, length in zip(ids, labels, lengths, strict=True):
        row[0], row[length + 1] = 1, 2
        row[1 : length + 1] = source.integers(7, WORDS.size, length)
        row[1 + source.integers(length)] = 4 + label
    texts = np.unique(ids, axis=0, return_inverse=True)[1].reshape(-1)
    return Store(grey.clip(0, 255).astype(np.uint8), {}, "", Path()), Reports(ids, texts)


def prepare(batch: torch.Tensor) -> torch.Tensor:
    return normalised(batch, [0.5] * 3, [0.25] * 3)


def refiner(settings: RetFiner, model: str = "toy-vit", width: int = 32) -> Refiner:
    encoder = load_model(model, weights="random", image_size=SIZE)
    encoder.requires_grad_(True)
    config = BertConfig(
        vocab_size=WORDS.size, hidden_size=width, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=TOKENS, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=0,
        is_decoder=True, add_cross_attention=True, attn_implementation="sdpa",
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        bert = BertLMHeadModel(config)
    return Refiner(encoder, bert, settings, 0)


def work(
    n: int = 18, held: int = 8, model: str = "toy-vit", on: Machine | None = None, *, words: bool = True, **changes: Any
) -> Refining:
    settings = RetFiner(**(SMALL | changes))
    (store, reports), (val, val_reports) = (stripes(count, seed, words=words) for seed, count in enumerate((n, held)))
    train: Dataset[torch.Tensor] = Still(store, np.arange(n), SIZE)
    data = ReportData(train, Clean(val, np.arange(held), SIZE), prepare, reports, val_reports, WORDS)
    return Refining(refiner(settings, model), data, settings, on or machine("fp32", "cpu", 0), 0, "test")


def rows(numbers: Sequence[int]) -> list[tuple[int, int]]:
    return [(0, int(number)) for number in numbers]
