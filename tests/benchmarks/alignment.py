"""A step of flair-pretrain against a bare step on ready tensors, and against itself with little memory."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from benchmarks.row import Row, by_turns
from medbench.cards import find_model
from medbench.cards.model import Text, Tokenizer, Vocabulary
from medbench.cards.recipes import FlairPretrain
from medbench.data.pairs import Pairs
from medbench.data.prepared.store import Store
from medbench.data.prepared.transforms import Still
from medbench.models.load import load_model
from medbench.models.text.bert import build_bert
from medbench.models.text.tokenizers import Tokenizer as TextReader
from medbench.models.text.vocabulary import word_vocabulary
from medbench.models.weights.locate import WeightsFile
from medbench.training.alignment.captions import Captions
from medbench.training.alignment.network import Towers
from medbench.training.alignment.training import Alignment, CaptionData
from medbench.training.machine import machine

SIZE, N = 128, 64
CARD = "timm/resnet18"


def run(folder: Path, device: str) -> list[Row]:
    return [step(folder)] if device == "cpu" else []


def step(folder: Path, batch: int = 16, steps: int = 4) -> Row:
    """One thread: on a busy machine two would wait for each other on both sides."""
    torch.set_num_threads(1)
    ours = training(folder, batch)
    batches = ours._batches()
    bare, text = timm.create_model("resnet18", num_classes=0).train(), training(folder, batch).towers.text
    maps = nn.ModuleList([nn.Linear(512, 64, bias=False), nn.Linear(64, 64, bias=False)])
    network = nn.ModuleList([bare, text, maps])
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=1e-5, fused=True)
    x, targets = torch.randn(batch, 3, SIZE, SIZE), torch.eye(batch)
    held = ours.data.tokenize([caption.text for caption in ours.captions_of(0, np.arange(batch))])

    def vectors() -> tuple[Tensor, Tensor]:
        found = maps[0](bare(x)), maps[1](text(held.ids, held.mask))
        return normalize(found[0], dim=1), normalize(found[1], dim=1)

    def whole() -> None:
        for raw, rows in itertools.islice(batches, steps):
            ours._step(raw, rows)

    def plain() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            image, words = vectors()
            logits = 14 * words @ image.T
            (cross_entropy(logits, targets) + cross_entropy(logits.T, targets)).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()

    a, b = (seconds / steps for seconds in by_turns(whole, plain, rounds=5))
    return Row(
        f"flair-pretrain step, ResNet-18, {SIZE} px, batch {batch}, captions and augmentation included",
        f"{a:.2f} s",
        f"bare step on ready tensors {b:.2f} s",
        a / b,
        "≤ 1.05",
        a / b <= 1.05,
    )


def training(folder: Path, batch: int) -> Alignment:
    """Return a pre-training on noise with four categories."""
    settings = FlairPretrain(epochs=1000, batch_size=batch, dim=64, dropout=0.0)
    names = ("none", "mild", "moderate", "severe")
    pairs = Pairs(tuple((names[i % 4],) for i in range(N)), ((),) * N, ("",) * N, ("noise",) * N)
    captions = Captions(pairs, settings.caption)
    content, file = word_vocabulary(captions.every()), folder / "vocab.txt"
    file.write_text(content)
    rule = Tokenizer(kind="bert", source=Vocabulary(file="vocab.txt"), context=32, padding="longest")
    args = {
        "vocab_size": content.count("\n"), "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 256, "max_position_embeddings": 32,
    }  # fmt: skip
    text = Text(library="transformers", arch="bert", args=args, hidden=[1, 2, -1], l2=True, dim=64, tokenizer=rule)
    images = np.random.default_rng(0).integers(0, 256, (N, SIZE, SIZE, 3), dtype=np.uint8)
    encoder = load_model(CARD, weights="random", image_size=SIZE)
    encoder.requires_grad_(True)
    tower = build_bert(find_model(CARD), text, None, "benchmark")
    reader = TextReader(rule, WeightsFile(file, "", "file"))
    data = CaptionData(Still(Store(images, {}, "", folder), np.arange(N), SIZE), captions, reader, [0.0] * 3, [1.0] * 3)
    return Alignment(Towers(encoder, tower, 64, 0), data, settings, machine("fp32", "cpu", 0), 0, "benchmark")
