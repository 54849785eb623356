"""A linear head on an encoder whose weights are frozen, but which stays in training mode.

So Doerrich et al. (2025) probe: their batch norms use the statistics of each batch and update the running ones, which
validation and test then use, and dropout is active. Features are therefore not those of the pre-trained network, and
cannot be stored: the images go through the encoder in each epoch.
"""

from __future__ import annotations

from medbench.cards.recipes import LinearOnline
from medbench.models.encoder import Encoder
from medbench.protocols.context import Context, Outcome
from medbench.protocols.tuning import tune, whole


def run(context: Context[LinearOnline]) -> dict[int, Outcome]:
    """Train the head; the encoder is in the mode of the settings."""
    still = context.settings.mode == "eval"
    return tune(context, lambda seed: whole(context, seed, prepare=_nothing, still=still))


def _nothing(encoder: Encoder) -> None:
    """Leave a frozen encoder as it is."""
