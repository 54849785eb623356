"""Settings of few-shot adapters: small modules on the stored features of a frozen vision-language model."""

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
    """Settings of all adapters: texts, shots and augmented views."""

    augment: Augment = Field(default_factory=Augment, description="Augmentation of the training images.")

    @property
    def single_label(self) -> bool:
        """True: no adapter has a rule for several findings."""
        return True


class ClipAdapter(Adapter):
    """CLIP-Adapter: a small network on the image feature; its output is mixed with the feature."""

    kind: ClassVar[Kind] = Kind("clip-adapter", module="adapters.clip_adapter", images=False, sweep="shots")
    ratios: list[Share] = Field(
        default=[0.2],
        min_length=1,
        description="Share of the adapter's output in the feature; of a list, the best on validation is chosen "
        "(without validation, the first).",
    )
    learning_rates: list[Rate] = Field(
        default=[2e-3],
        min_length=1,
        description="Highest learning rate; of a list, the best on validation is "
        "chosen (without validation, the first).",
    )
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="Optimiser; SGD has a momentum of 0.9.")
    weight_decay: float = Field(5e-4, ge=0, description="Weight decay.")
    eps: float = Field(1e-8, gt=0, description="Of AdamW.")
    epochs: Positive = Field(200, description="Number of epochs.")
    batch_size: Positive = Field(32, description="Images per step; the last step of an epoch may have fewer.")
    schedule: Schedule = Field(
        "warm",
        description="Schedule of the learning rate: cosine, updated every `epoch` or `step`; `warm`: every epoch, "
        "after one epoch at 1e-5; or `constant`.",
    )
    one_order: bool = Field(
        False, description="True: all epochs use the image order of the first (as in FLAIR's code)."
    )


class TipAdapter(Adapter):
    """Tip-Adapter: zero-shot logits plus a cache of training images; nothing is trained."""

    kind: ClassVar[Kind] = Kind("tip-adapter", module="adapters.tip_adapter", seeded=False, images=False, sweep="shots")
    views: Views = Field(
        10, description="Number of augmented views whose mean is the key of a training image; 0: the clean image."
    )
    search: bool = Field(True, description="True: alpha and beta are chosen on validation, if there is any.")
    alpha: Weight = Field(1.0, description="Weight of the cache if it is not searched.")
    beta: Weight = Field(5.5, description="Sharpness of the cache if it is not searched.")
    alphas: Positive = Field(20, description="Number of values of alpha that are tried.")
    betas: Positive = Field(200, description="Number of values of beta that are tried.")
    alpha_most: float = Field(50.0, gt=0.1, description="Largest alpha that is tried; the smallest is 0.1.")
    beta_most: float = Field(50.0, gt=0.1, description="Largest beta that is tried; the smallest is 0.1.")
    ties: Literal["first", "log_loss"] = Field(
        "first",
        description="How ties in accuracy are broken: by the first setting (smallest beta), or by the lowest log loss.",
    )
    even: bool = Field(
        False,
        description="True: each class has the same total weight in the cache, independent of its number of images.",
    )


class TipAdapterF(TipAdapter):
    """Tip-Adapter-F: Tip-Adapter with trained keys."""

    kind: ClassVar[Kind] = Kind(
        "tip-adapter-f", module="adapters.tip_adapter", function="run_trained", images=False, sweep="shots"
    )
    epochs: Positive = Field(20, description="Number of epochs.")
    learning_rate: Rate = Field(1e-3, description="Highest learning rate of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay.")
    eps: float = Field(1e-4, gt=0, description="Of AdamW.")
    batch_size: Positive = Field(256, description="Images per step; the last step of an epoch may have fewer.")
    schedule: Schedule = Field("step", description="Schedule of the learning rate; see clip-adapter.")
    one_order: bool = Field(
        False, description="True: all epochs use the image order of the first (as in FLAIR's code)."
    )
    train_alpha: Weight | Literal["scale/n"] = Field(
        2.0,
        description="Weight of the cache in training; `scale/n`: factor on cosine similarities / number of "
        "training images (FLAIR).",
    )
    train_beta: Weight = Field(1.0, description="Sharpness of the cache in training.")
    test_scale: float | None = Field(
        None,
        gt=0,
        description="Factor on cosine similarities after training; default: that of training (FLAIR's code: 100).",
    )
    moving_images: bool = Field(
        False,
        description="True: train on the current keys instead of the image features (as FLAIR's code does, since both "
        "share memory there).",
    )


class ZsLp(Adapter):
    """A linear probe that starts at the text vectors of the classes; validation is not used."""

    kind: ClassVar[Kind] = Kind("zs-lp", module="adapters.clap", images=False, sweep="shots")
    views: Views = Field(
        20,
        description="Number of augmented views of each training image; all are used in training; 0: the clean images.",
    )
    epochs: Positive = Field(300, description="Number of epochs.")
    learning_rate: Rate = Field(0.1, description="Highest learning rate of SGD with a momentum of 0.9.")
    batch_size: Positive = Field(256, description="Views per step; the last step of an epoch may have fewer.")
    val: Literal["same", "none"] = Field(
        "none",
        description="Validation: as many samples of each class as for training, or none. They are scored but "
        "choose nothing.",
    )

    @property
    def parts(self) -> tuple[Split, ...]:
        """Nothing is chosen on validation."""
        return ("train", "test")


class Clap(ZsLp):
    """CLAP: ZS-LP with a penalty on the distance to the text vectors of classes that the texts classify well."""

    kind: ClassVar[Kind] = Kind("clap", module="adapters.clap", images=False, sweep="shots")


class LpPlusPlus(Adapter):
    """LP++: a linear probe plus weighted text logits, with step sizes computed from the data."""

    kind: ClassVar[Kind] = Kind("lp++", module="adapters.lp_plus_plus", images=False, sweep="shots")
    epochs: Positive = Field(300, description="Number of epochs.")
    reset: bool = Field(
        False,
        description="True: update the factors of the texts by the gradients since the last update; false: by "
        "all gradients so far.",
    )
    best_epoch: bool = Field(
        True,
        description="True: keep the epoch with the best validation accuracy (the last of equal ones); false: "
        "the last epoch.",
    )
