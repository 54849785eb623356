"""The recipes of networks trained by gradient descent."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from medbench.cards.recipes.base import Positive, Rate, Recipe, Views
from medbench.cards.recipes.kinds import Kind


class FinetuneRecipe(Recipe):
    """A network trained by gradient descent, one (seed, learning rate) at a time."""

    views: Views | None = Field(
        None, description="Number of augmented views in the bank; 0: clean images; none: new views in each epoch."
    )
    lr_search_seeds: Positive = Field(1, description="Number of seeds on which the learning rate is searched.")
    eps: float = Field(1e-8, gt=0, description="Epsilon of AdamW.")
    decay_all: bool = Field(False, description="Weight decay on biases and norms, too.")
    keep_rest: bool = Field(
        False, description="End an epoch with a smaller batch of the images that are left; false: they are left out."
    )
    select_batch: Positive | None = Field(
        None,
        description="The metric that chooses is the mean over batches of so many validation images in order, the last"
        " one smaller; none: of all images at once.",
    )
    layer_decay: float | None = Field(
        None, gt=0, le=1, description="Rate of unit i of n: lr * decay^(n - i); what precedes the units counts as -1."
    )
    drop_path: float | None = Field(None, ge=0, lt=1, description="Stochastic depth; none: the model card's.")
    head_std: float | None = Field(
        None, gt=0, description="Standard deviation of the head's initial weights; none: torch's default."
    )
    loss: Literal["cross-entropy", "weighted", "marginal"] = Field(
        "cross-entropy",
        description="`weighted`: classes weigh n / (c n_k). `marginal`: plus an L1 penalty between predicted and"
        " true class proportions of the batch.",
    )
    marginal: float = Field(1.0, ge=0, description="Weight of that penalty.")
    micro_batch: Positive | None = Field(None, description="Images at once; the rest of a step is accumulated.")
    checkpointing: bool | None = Field(
        None, description="Recompute blocks in the backward pass; none: from 512 pixels on, on a GPU."
    )
    compile: bool = Field(False, description="torch.compile the network.")


EXECUTION = {"micro_batch", "checkpointing", "compile", "cache_gb"}
"""Settings that change the cost of a run but not its result, so not its key; `outline.together` is the exception."""


class LinearUnfrozen(FinetuneRecipe):
    """Encoder and linear head, fine-tuned together."""

    kind: ClassVar[Kind] = Kind("linear-unfrozen", version=3, thaws=True)


class LinearOnline(FinetuneRecipe):
    """A linear head on an encoder with frozen weights, through which the images go in each epoch."""

    kind: ClassVar[Kind] = Kind("linear-online", module="efficient.linear_online", thaws=True)
    mode: Literal["train", "eval"] = Field(
        "train",
        description="Mode of the encoder in training. `train`: batch norms use and update the statistics of batches,"
        " and dropout is active.",
    )


class DeitFrozen(FinetuneRecipe):
    """Patch tokens of a frozen encoder into a trained DeiT."""

    kind: ClassVar[Kind] = Kind("deit-frozen", version=3, module="deit", second="classifier")
    classifier: str = Field("imagenet", description="Model card of the network on top of the tokens.")
    cache_gb: float = Field(
        64.0, ge=0, description="Limit in GiB for cached outputs of the frozen part; above it nothing is cached."
    )


class DeitUnfrozen(FinetuneRecipe):
    """Patch tokens of an encoder into a DeiT, both trained."""

    kind: ClassVar[Kind] = Kind("deit-unfrozen", version=3, module="deit", second="classifier", thaws=True)
    classifier: str = Field("imagenet", description="Model card of the network on top of the tokens.")


class Freeze(FinetuneRecipe):
    """The first units frozen, the others and a linear head trained."""

    kind: ClassVar[Kind] = Kind("freeze", version=3, sweep="frozen", first="linear-unfrozen", last="linear-frozen")
    frozen: int | list[int] | None = Field(None, description="Frozen units f; a list; none: all from 0 to n.")
    train_stem: bool = Field(
        True,
        description="f = 0 is linear-unfrozen; false: what precedes and follows the units stays frozen then (Q16).",
    )
    train_final_norm: bool = Field(
        False, description="Whether the layers after the units are trained (not in the published code)."
    )
    cache_gb: float = Field(
        64.0, ge=0, description="Limit in GiB for cached outputs of the frozen part; above it nothing is cached."
    )


class DecapitateFrozen(DeitFrozen):
    """Patch tokens of the first units of a frozen encoder into a trained DeiT."""

    kind: ClassVar[Kind] = Kind(
        "decapitate-frozen", version=3, module="deit", sweep="kept", last="deit-frozen", second="classifier"
    )

    kept: int | list[int] | None = Field(None, description="Units kept; a list; none: all from 1 to n.")


class DecapitateUnfrozen(DeitUnfrozen):
    """Patch tokens of the first units of an encoder into a DeiT, both trained."""

    kind: ClassVar[Kind] = Kind(
        "decapitate-unfrozen",
        version=3,
        module="deit",
        sweep="kept",
        last="deit-unfrozen",
        second="classifier",
        thaws=True,
    )

    kept: int | list[int] | None = Field(None, description="Units kept; a list; none: all from 1 to n.")


class LpFt(LinearUnfrozen):
    """Logistic regression copied into the head, then fine-tuning."""

    kind: ClassVar[Kind] = Kind("lp-ft", version=3, thaws=True)
    C: list[Rate] = Field(default=[0.316], min_length=1, description="Inverse strengths; chosen on validation.")
    balanced: bool = Field(True, description="Weigh classes n / (c n_k) in the regression.")
    scale: bool = Field(False, description="Standardise features in the regression; folded into the head.")
    max_iter: Positive = 1000
