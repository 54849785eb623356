"""BitFit: the encoder's biases and a linear head are trained (Ben Zaken et al., ACL 2022)."""

from __future__ import annotations

from medbench.cards.recipes import BitFit
from medbench.protocols.context import Context, Outcome
from medbench.protocols.tuning import tune, whole
from medbench.training.finetune.subset import thaw_biases


def run(context: Context[BitFit]) -> dict[int, Outcome]:
    """Fine-tune the biases; the encoder stays in eval mode.

    Raises:
        CardError: The encoder has no biases.
    """
    return tune(context, lambda seed: whole(context, seed, prepare=thaw_biases))
