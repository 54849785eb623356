"""Fine-tuning of encoder and linear head (WACV 2024, Table 2; RETFound's and FLAIR's recipes are presets)."""

from __future__ import annotations

from medbench.cards.recipes import LinearUnfrozen
from medbench.protocols.context import Context, Outcome
from medbench.protocols.tuning import tune, whole


def run(context: Context[LinearUnfrozen]) -> dict[int, Outcome]:
    """Fine-tune all parameters."""
    return tune(context, lambda seed: whole(context, seed))
