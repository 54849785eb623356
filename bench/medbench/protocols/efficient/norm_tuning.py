"""Norm tuning: scales and shifts of the encoder's normalisation layers and a linear head are trained.

Running statistics of batch norms stay those of pre-training: the encoder is in eval mode.
"""

from __future__ import annotations

from medbench.cards.recipes import NormTuning
from medbench.protocols.context import Context, Outcome
from medbench.protocols.tuning import tune, whole
from medbench.training.finetune.subset import thaw_norms


def run(context: Context[NormTuning]) -> dict[int, Outcome]:
    """Fine-tune the normalisation layers.

    Raises:
        CardError: The encoder has none with parameters.
    """
    return tune(context, lambda seed: whole(context, seed, prepare=thaw_norms))
