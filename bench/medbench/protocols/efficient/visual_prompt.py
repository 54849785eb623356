"""Visual prompt tuning, shallow or deep (Jia et al., ECCV 2022): learned tokens and a linear head are trained."""

from __future__ import annotations

from medbench.cards.recipes import VisualPrompt
from medbench.models.networks.prompt_tokens import add_prompts
from medbench.protocols.context import Context, Outcome
from medbench.protocols.tuning import Built, sample, tune, whole


def run(context: Context[VisualPrompt]) -> dict[int, Outcome]:
    """Fine-tune prompts and head.

    Raises:
        CardError: The encoder's blocks accept no additional tokens.
    """
    settings, one = context.settings, sample(context)

    def build(seed: int) -> Built:
        return whole(
            context, seed, prepare=lambda encoder: add_prompts(encoder, one, settings.prompts, seed, deep=settings.deep)
        )

    return tune(context, build)
