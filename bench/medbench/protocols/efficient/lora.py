"""LoRA by the library peft: low-rank updates of chosen layers and a linear head are trained (Hu et al., ICLR 2022)."""

from __future__ import annotations

import dataclasses

from medbench.cards.recipes import Lora
from medbench.protocols.context import Context, Outcome
from medbench.protocols.tuning import Built, tune, whole
from medbench.training.finetune.lora import add_lora, merge


def run(context: Context[Lora]) -> dict[int, Outcome]:
    """Fine-tune updates and head; kept weights are those of the layers, with the updates added.

    Raises:
        MedbenchError: peft is not installed.
        CardError: A target matches no layer.
    """
    settings = context.settings

    def build(seed: int) -> Built:
        built = whole(
            context,
            seed,
            prepare=lambda encoder: add_lora(encoder, settings.rank, settings.alpha, settings.targets, seed),
        )
        return dataclasses.replace(built, export=merge)

    return tune(context, build)
