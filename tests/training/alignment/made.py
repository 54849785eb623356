"""Small towers on stripes of three widths, whose categories are their widths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

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
from medbench.training.alignment.training import Alignment, CaptionData, Probe
from medbench.training.machine import Machine, machine

NAMES = ("broad stripes", "middle stripes", "narrow stripes")
SMALL = {
    "epochs": 3,
    "batch_size": 8,
    "dim": 16,
    "dropout": 0.0,
    "learning_rate": 1e-3,
    "caption": "A [ATR] drawing of [CLS]",
}
SIZE = 32


def stripes(n: int, seed: int) -> Store:
    """Draw stripes of three widths under noise."""
    source, labels = np.random.default_rng(seed), np.arange(n) % 3
    waves = np.sin(np.arange(40) * (0.3 + 0.35 * labels[:, None]) + source.uniform(0, 6, (n, 1)))
    grey = 128 + 40 * waves[:, None, :, None] + source.normal(scale=45, size=(n, 40, 40, 3))
    return Store(grey.clip(0, 255).astype(np.uint8), {}, "", Path())


def pairs_of(n: int) -> Pairs:
    """Name the widths; every fourth image is noisy, and every second one of another source."""
    return Pairs(
        tuple((NAMES[i % 3],) for i in range(n)),
        tuple(("noisy",) if i % 4 == 0 else () for i in range(n)),
        ("",) * n,
        tuple("ab"[i % 2] for i in range(n)),
    )


def work(
    folder: Path,
    n: int = 26,
    model: str = "toy-vit",
    on: Machine | None = None,
    probe: Probe | None = None,
    **changes: Any,
) -> Alignment:
    """Return a pre-training of a tiny encoder and a tiny BERT."""
    settings = FlairPretrain(**(SMALL | changes))
    captions = Captions(pairs_of(n), settings.caption, {NAMES[0]: ["a few lines"]})
    content = word_vocabulary(captions.every())
    file = folder / "vocab.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    rule = Tokenizer(kind="bert", source=Vocabulary(file="vocab.txt"), context=24, padding="longest")
    text = Text(
        library="transformers",
        arch="bert",
        args={
            "vocab_size": content.count("\n"), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 32, "max_position_embeddings": 24, "hidden_dropout_prob": settings.dropout,
            "attention_probs_dropout_prob": settings.dropout,
        },
        hidden=[1, 2, -1],
        l2=True,
        dim=settings.dim,
        tokenizer=rule,
    )  # fmt: skip
    encoder = load_model(model, weights="random", image_size=SIZE)
    encoder.requires_grad_(True)
    towers = Towers(encoder, build_bert(find_model(model), text, None, "test"), settings.dim, 0)
    reader = TextReader(rule, WeightsFile(file, "", "file"))
    data = CaptionData(Still(stripes(n, 0), np.arange(n), SIZE), captions, reader, [0.5] * 3, [0.25] * 3)
    return Alignment(towers, data, settings, on or machine("fp32", "cpu", 0), 0, "test", probe)
