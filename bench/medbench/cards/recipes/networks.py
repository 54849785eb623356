"""The recipes of networks trained by gradient descent."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from medbench.cards.recipes.base import Positive, Rate, Recipe, Views
from medbench.cards.recipes.kinds import Kind


class FinetuneRecipe(Recipe):
    """A network trained by gradient descent, for one seed and learning rate at a time."""

    views: Views | None = Field(
        None,
        description="Number of augmented views of each training image; 0: the clean images; default: new views in "
        "each epoch.",
    )
    lr_search_seeds: Positive = Field(1, description="Number of seeds with which the learning rate is searched.")
    eps: float = Field(1e-8, gt=0, description="Epsilon of AdamW.")
    decay_all: bool = Field(False, description="True: weight decay also on biases and norms.")
    keep_rest: bool = Field(
        False,
        description="True: the last batch of an epoch may be smaller; false: an incomplete last batch is left out.",
    )
    select_batch: Positive | None = Field(
        None,
        description="Compute the metric for choices on batches of this many validation images and average it; "
        "default: on all images at once.",
    )
    layer_decay: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Layer-wise decay: the learning rate of unit i of n is lr * decay^(n - i); "
        "layers before the units have i = -1.",
    )
    drop_path: float | None = Field(
        None, ge=0, lt=1, description="Rate of stochastic depth; default: the model card's."
    )
    head_std: float | None = Field(
        None, gt=0, description="Standard deviation of the head's initial weights; default: torch's initialisation."
    )
    loss: Literal["cross-entropy", "weighted", "marginal"] = Field(
        "cross-entropy",
        description="`weighted`: class k has the weight n / (c n_k). `marginal`: cross-entropy plus an L1 penalty "
        "between predicted and true class proportions of the batch.",
    )
    marginal: float = Field(1.0, ge=0, description="Weight of the penalty of `marginal`.")
    micro_batch: Positive | None = Field(
        None,
        description="Images computed at once; gradients of a step are accumulated. Default: the complete "
        "batch, or fewer if memory runs out.",
    )
    checkpointing: bool | None = Field(
        None,
        description="True: recompute blocks in the backward pass, to save memory; default: on a GPU from 512 pixels.",
    )
    compile: bool = Field(False, description="True: use torch.compile.")


EXECUTION = {"micro_batch", "checkpointing", "compile", "cache_gb"}
"""Settings that change the cost of a run but not its result, so not its key; `outline.together` is the exception."""


class LinearUnfrozen(FinetuneRecipe):
    """Encoder and linear head, fine-tuned together."""

    kind: ClassVar[Kind] = Kind("linear-unfrozen", version=3, thaws=True)


class LinearOnline(FinetuneRecipe):
    """A linear head on an encoder with frozen weights; features are computed anew in each epoch."""

    kind: ClassVar[Kind] = Kind("linear-online", module="efficient.linear_online", thaws=True)
    mode: Literal["train", "eval"] = Field(
        "train",
        description="Mode of the encoder in training. `train`: batch norms use and update batch statistics, and "
        "dropout is active.",
    )


class DeitFrozen(FinetuneRecipe):
    """A trained DeiT on the patch tokens of a frozen encoder."""

    kind: ClassVar[Kind] = Kind("deit-frozen", version=3, module="deit", second="classifier")
    classifier: str = Field("imagenet", description="Model card of the network on top of the tokens.")
    cache_gb: float = Field(
        64.0,
        ge=0,
        description="Limit for cached outputs of the frozen part, in GiB; if they need more, nothing is cached.",
    )


class DeitUnfrozen(FinetuneRecipe):
    """A DeiT on the patch tokens of an encoder; both are trained."""

    kind: ClassVar[Kind] = Kind("deit-unfrozen", version=3, module="deit", second="classifier", thaws=True)
    classifier: str = Field("imagenet", description="Model card of the network on top of the tokens.")


class Freeze(FinetuneRecipe):
    """The first units are frozen; the others and a linear head are trained."""

    kind: ClassVar[Kind] = Kind("freeze", version=3, sweep="frozen", first="linear-unfrozen", last="linear-frozen")
    frozen: int | list[int] | None = Field(
        None, description="Number of frozen units f, or a list; default: all from 0 to n."
    )
    train_stem: bool = Field(
        True,
        description="True: f = 0 is linear-unfrozen; false: at f = 0, the layers before and after the units stay "
        "frozen.",
    )
    train_final_norm: bool = Field(
        False, description="Whether the layers after the units are trained (they are not in the published code)."
    )
    cache_gb: float = Field(
        64.0,
        ge=0,
        description="Limit for cached outputs of the frozen part, in GiB; if they need more, nothing is cached.",
    )


class DecapitateFrozen(DeitFrozen):
    """A trained DeiT on the patch tokens of the first units of a frozen encoder."""

    kind: ClassVar[Kind] = Kind(
        "decapitate-frozen", version=3, module="deit", sweep="kept", last="deit-frozen", second="classifier"
    )

    kept: int | list[int] | None = Field(
        None, description="Number of units that are kept, or a list; default: all from 1 to n."
    )


class DecapitateUnfrozen(DeitUnfrozen):
    """A DeiT on the patch tokens of the first units of an encoder; both are trained."""

    kind: ClassVar[Kind] = Kind(
        "decapitate-unfrozen",
        version=3,
        module="deit",
        sweep="kept",
        last="deit-unfrozen",
        second="classifier",
        thaws=True,
    )

    kept: int | list[int] | None = Field(
        None, description="Number of units that are kept, or a list; default: all from 1 to n."
    )


class LpFt(LinearUnfrozen):
    """Logistic regression initialises the head; then the network is fine-tuned."""

    kind: ClassVar[Kind] = Kind("lp-ft", version=3, thaws=True)
    C: list[Rate] = Field(default=[0.316], min_length=1, description="Inverse strengths; chosen on validation.")
    balanced: bool = Field(True, description="True: class k has the weight n / (c n_k) in the regression.")
    scale: bool = Field(
        False, description="True: standardise features in the regression; the scaling is merged into the head."
    )
    max_iter: Positive = Field(1000, description="Maximum number of iterations of a fit.")
