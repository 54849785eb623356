"""The recipes of few-shot adapters: small parts beside a frozen vision-language model, on stored features."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from medbench.cards.dataset.splits import Split
from medbench.cards.recipes.base import Augment, Positive, Rate, Views
from medbench.cards.recipes.kinds import Kind
from medbench.cards.recipes.language import Prompted, Shots

Share = Annotated[float, Field(ge=0, le=1)]
Schedule = Literal["warm", "epoch", "step", "constant"]
Weight = Annotated[float, Field(ge=0)]


class Adapter(Prompted, Shots):
    """What all adapters decide: texts, shots, and views of the training images."""

    augment: Augment = Field(default_factory=Augment)

    @property
    def single_label(self) -> bool:
        """True: no adapter has a rule for several findings."""
        return True


class ClipAdapter(Adapter):
    """CLIP-Adapter: a small network on the image feature, mixed with it."""

    kind: ClassVar[Kind] = Kind("clip-adapter", module="adapters.clip_adapter", images=False, sweep="shots")
    ratios: list[Share] = Field(
        default=[0.2],
        min_length=1,
        description="Share of the network in the feature; a list: chosen on validation, without validation the first.",
    )
    learning_rates: list[Rate] = Field(
        default=[2e-3], min_length=1, description="Highest rates; a list: chosen on validation, without it the first."
    )
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="The optimiser; SGD has a momentum of 0.9.")
    weight_decay: float = Field(5e-4, ge=0)
    eps: float = Field(1e-8, gt=0, description="Of AdamW.")
    epochs: Positive = Field(200)
    batch_size: Positive = Field(32, description="Images per step; the last step of an epoch can have fewer.")
    schedule: Schedule = Field(
        "warm",
        description="How the rate falls: half a cosine per `epoch` or per `step`; `warm`: per epoch, after one epoch at"
        " 1e-5; or `constant`.",
    )
    one_order: bool = Field(False, description="All epochs have the first one's order (FLAIR's code).")


class TipAdapter(Adapter):
    """Tip-Adapter: texts and a cache of training images; nothing is trained."""

    kind: ClassVar[Kind] = Kind("tip-adapter", module="adapters.tip_adapter", seeded=False, images=False, sweep="shots")
    views: Views = Field(
        10, description="Augmented views of a training image, whose mean is its key; 0: the clean image."
    )
    search: bool = Field(True, description="Choose alpha and beta on validation, if there is any.")
    alpha: Weight = Field(1.0, description="Weight of the cache, if it is not searched.")
    beta: Weight = Field(5.5, description="Sharpness of the cache, if it is not searched.")
    alphas: Positive = Field(20, description="Number of values of alpha that are tried.")
    betas: Positive = Field(200, description="Number of values of beta that are tried.")
    alpha_most: float = Field(50.0, gt=0.1, description="Where the tried alphas end; they start at 0.1.")
    beta_most: float = Field(50.0, gt=0.1, description="Where the tried betas end; they start at 0.1.")
    ties: Literal["first", "log_loss"] = Field(
        "first",
        description="Which of equally accurate settings: the first (smallest beta), or that of lowest log loss.",
    )
    even: bool = Field(
        False, description="Give each class the same total weight in the cache, whatever its number of images."
    )


class TipAdapterF(TipAdapter):
    """Tip-Adapter-F: the keys of the cache are trained."""

    kind: ClassVar[Kind] = Kind(
        "tip-adapter-f", module="adapters.tip_adapter", function="run_trained", images=False, sweep="shots"
    )
    epochs: Positive = Field(20)
    learning_rate: Rate = Field(1e-3, description="Highest rate of AdamW.")
    weight_decay: float = Field(0.01, ge=0)
    eps: float = Field(1e-4, gt=0, description="Of AdamW.")
    batch_size: Positive = Field(256, description="Images per step; the last step of an epoch can have fewer.")
    schedule: Schedule = Field("step", description="How the rate falls; see clip-adapter.")
    one_order: bool = Field(False, description="All epochs have the first one's order (FLAIR's code).")
    train_alpha: Weight | Literal["scale/n"] = Field(
        2.0, description="Weight of the cache in training; `scale/n`: the factor on cosines / training images (FLAIR)."
    )
    train_beta: Weight = Field(1.0, description="Sharpness of the cache in training.")
    test_scale: float | None = Field(
        None, gt=0, description="Factor on cosines after training; none: that of training (FLAIR's code: 100)."
    )
    moving_images: bool = Field(
        False,
        description="Train on the current keys in place of the images, as FLAIR's code does, where both share memory.",
    )


class ZsLp(Adapter):
    """A linear probe that starts at the classes' texts; no validation image is used."""

    kind: ClassVar[Kind] = Kind("zs-lp", module="adapters.clap", images=False, sweep="shots")
    views: Views = Field(
        20, description="Augmented views of the training images; all are trained on; 0: the clean images."
    )
    epochs: Positive = Field(300)
    learning_rate: Rate = Field(0.1, description="Highest rate of SGD with a momentum of 0.9.")
    batch_size: Positive = Field(256, description="Views per step; the last step of an epoch can have fewer.")
    val: Literal["same", "none"] = Field(
        "none", description="Validation samples, as many as for training or none; they are scored but not used."
    )

    @property
    def parts(self) -> tuple[Split, ...]:
        """Nothing is chosen on validation."""
        return ("train", "test")


class Clap(ZsLp):
    """CLAP: ZS-LP with a penalty on the distance from the texts, for classes that the texts classify well."""

    kind: ClassVar[Kind] = Kind("clap", module="adapters.clap", images=False, sweep="shots")


class LpPlusPlus(Adapter):
    """LP++: a linear probe with the texts' logits added, whose step sizes come from the data."""

    kind: ClassVar[Kind] = Kind("lp++", module="adapters.lp_plus_plus", images=False, sweep="shots")
    epochs: Positive = Field(300)
    reset: bool = Field(
        False, description="Update the texts' factors by the gradients since the last update, not by all so far."
    )
    best_epoch: bool = Field(
        True, description="Keep the epoch of best validation accuracy (of equals the last); false: the last epoch."
    )
