"""The recipes of cheap adaptation: a small part of a network is trained, or a small network on its frozen tokens."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from medbench.cards.recipes.base import Positive, Rate, Recipe, Views
from medbench.cards.recipes.kinds import Kind
from medbench.cards.recipes.networks import FinetuneRecipe


class Lora(FinetuneRecipe):
    """Low-rank updates of chosen layers and a linear head; the encoder's own weights are frozen (Hu et al., 2022)."""

    kind: ClassVar[Kind] = Kind("lora", module="efficient.lora")
    rank: Positive = Field(16, description="Rank r of the updates.")
    alpha: float = Field(16.0, gt=0, description="Each update is multiplied by alpha / rank.")
    targets: list[str] | None = Field(
        None,
        min_length=1,
        description="Layers that are updated, by the end of their names, such as `attn.qkv`; default: the attention "
        "layers or, in a network without attention, all linear layers and ungrouped convolutions of its units.",
    )


class BitFit(FinetuneRecipe):
    """The encoder's biases and a linear head (Ben Zaken et al., 2022)."""

    kind: ClassVar[Kind] = Kind("bitfit", module="efficient.bitfit")


class NormTuning(FinetuneRecipe):
    """The scales and shifts of the encoder's normalisation layers and a linear head."""

    kind: ClassVar[Kind] = Kind("norm-tuning", module="efficient.norm_tuning")


class VisualPrompt(FinetuneRecipe):
    """Learned tokens next to a frozen transformer's patch tokens, and a linear head (Jia et al., 2022)."""

    kind: ClassVar[Kind] = Kind("visual-prompt", module="efficient.visual_prompt")
    prompts: Positive = Field(10, description="Number of learned tokens.")
    deep: bool = Field(
        True, description="True: new tokens before each block (VPT-deep); false: only before the first block."
    )


class AttentiveProbe(Recipe):
    """Attention pooling by one learned query over frozen patch tokens, and a linear head (AIM, V-JEPA)."""

    kind: ClassVar[Kind] = Kind("attentive-probe", module="efficient.attentive_probe", images=False, tokens=True)
    views: Views = Field(
        4, description="Number of augmented views of each training image, computed once; 0: the clean images."
    )
    weight_decays: list[float] = Field(
        default=[1e-5],
        min_length=1,
        description="Candidates, tried with each learning rate; used instead of `weight_decay`.",
    )
    attention_heads: Positive = Field(4, description="Number of attention heads h.")
    width: Positive | None = Field(
        64,
        description="Total length w of keys and values over all attention heads; `null`: the length of a token, as "
        "in AIM.",
    )
    learning_rates: list[Rate] = Field(
        default=[1e-4, 3e-4, 1e-3, 3e-3],
        min_length=1,
        description="Learning rates; the best one on validation is chosen.",
    )
    cache_gb: float = Field(64.0, ge=0, description="Limit for the stored tokens, in GiB.")
