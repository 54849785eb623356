"""The model card and its parts."""

from __future__ import annotations

from medbench.cards.model.card import ModelCard, seen
from medbench.cards.model.network import Features, Input, Pooled, Position, Pretraining
from medbench.cards.model.text import Text, Tokenizer
from medbench.cards.model.weights import Hub, Vocabulary, Weights

__all__ = [
    "Features",
    "Hub",
    "Input",
    "ModelCard",
    "Pooled",
    "Position",
    "Pretraining",
    "Text",
    "Tokenizer",
    "Vocabulary",
    "Weights",
    "seen",
]
