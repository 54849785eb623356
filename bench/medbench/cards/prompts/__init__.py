"""Prompts: the texts that stand for a class in zero-shot classification, as cards and for one data set."""

from __future__ import annotations

from medbench.cards.prompts.card import PromptsCard, filled

__all__ = ["PromptsCard", "filled"]
