"""What all recipes decide: from an image to an input, augmentation, training. Papers' numbers are in the cards."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from medbench.cards.base import Side, Strict
from medbench.cards.dataset.splits import SPLITS, Split
from medbench.cards.recipes.kinds import Kind

Positive = Annotated[int, Field(gt=0, le=1_000_000)]
Views = Annotated[int, Field(ge=0, le=10_000)]
Rate = Annotated[float, Field(gt=0)]
Level = Annotated[int, Field(ge=0, le=255)]


class Settings(Strict):
    """What every protocol decides before a network sees an image. Source: WACV 2024, section 3."""

    kind: ClassVar[Kind]  # declared by each class that a protocol card can name

    image_size: Side | None = Field(None, description="Side of the network's input; none: the model card's.")
    library: str | None = Field(
        None, description="Which of the model card's libraries builds the encoder; none: the card's."
    )
    pooled: str | None = Field(None, description="Another pooled feature of the model card; none: the card's.")
    transform: Literal["protocol", "native"] = Field(
        "protocol", description="The protocol's own preprocessing, or the model's."
    )
    foreground: bool = Field(False, description="Crop to the largest bright region first (FLAIR).")
    resize_ratio: float = Field(256 / 224, ge=1, description="Stored side / input side; the rest is cropped away.")
    fit: Literal["squash", "shortest", "canvas", "longest", "centre"] = Field(
        "squash",
        description="Resize to a square, or the shorter side, or the longer and pad on the right and below; `canvas`"
        " (FLAIR) and `longest` (SAM) differ in rounding. `centre`: square images of one size are not resized; each is"
        " in the middle of the input, with zeros around it after normalisation.",
    )
    fill: list[Level] | None = Field(None, min_length=1, description="Colour of the padding; none: black.")
    interpolation: Literal["bilinear", "bicubic", "lanczos"] = "bilinear"
    draft: bool = Field(False, description="Let the JPEG decoder scale down first (5 times faster, .2 grey levels).")
    normalise: Literal["dataset", "model", "none"] = Field(
        "dataset", description="Mean and deviation of the data set, of the model, or none: pixels stay on [0, 1]."
    )
    channel_rule: Literal["slice", "sum", "repeat"] = Field(
        "slice",
        description="First kernel on one-channel data: its first input slice, or the sum over inputs (Q13). `repeat`:"
        " grey images are read as three equal channels.",
    )
    inputs: list[str] | None = Field(
        None, min_length=1, description="The inputs that are used, where samples have several; none: all."
    )
    encoders: dict[str, str] = Field(
        default_factory=dict, description="Input -> the model that encodes it, if it is not the run's."
    )
    slices: Literal["mean", "max", "centre"] = Field(
        "mean", description="How the features of a volume's slices are pooled; `centre`: only the middle slice is used."
    )
    stride: Positive = Field(1, description="Use every n-th slice of a volume, counted from the middle.")
    balance: bool = Field(True, description="Give each input's features the same root mean square on train.")
    precision: Literal["fp32", "bf16", "fp16"] | None = Field(
        None, description="Precision where --precision is auto; none: bf16 on a GPU that has it, else fp32."
    )
    split: str | None = Field(
        None,
        description="Name of the data set's split, or a split file; `RULE@N`: the rule with seed N; `fewshot-K@N`: K"
        " samples of each class; `fraction-0.25@N`: a share of train; `{seed}`: the run's seed; none: the default.",
    )

    @property
    def split_name(self) -> str | None:
        """The name of the split, which may follow from other settings, with `{seed}` where each seed has its own."""
        return self.split

    @property
    def parts(self) -> tuple[Split, ...]:
        """The parts that a split must have: all, unless nothing is chosen on validation, or nothing is learned."""
        return SPLITS

    @property
    def channels(self) -> int | None:
        """Number of channels with which images are read, 1 or 3; none: that of the data set."""
        return 3 if self.channel_rule == "repeat" else None

    @property
    def single_label(self) -> bool:
        """Whether a sample must have one class: there is no rule for several findings."""
        return False

    @property
    def language(self) -> bool:
        """Whether the model's text tower is used."""
        return False


class Augment(Strict):
    """Training augmentation of WACV 2024: all draws are per (view, image)."""

    scale: tuple[float, float] = Field((0.8, 1.2), description="Area of the random resized crop.")
    ratio: tuple[float, float] = Field((3 / 4, 4 / 3), description="Aspect ratio of the crop.")
    vertical_flip: float = Field(0.5, ge=0, le=1)
    horizontal_flip: float = Field(0.5, ge=0, le=1)
    jitter: float = Field(0.8, ge=0, le=1, description="Probability of the colour jitter.")
    brightness: float = Field(0.2, ge=0)
    contrast: float = Field(0.2, ge=0)
    saturation: float = Field(0.1, ge=0)
    hue: float = Field(0.1, ge=0, le=0.5)


class Recipe(Settings):
    """What every protocol that trains decides. Source: WACV 2024, section 3."""

    augment: Augment = Field(default_factory=Augment)
    epochs: int = Field(100, gt=0, le=100_000)
    batch_size: Positive = Field(64, description="Images per step, over all processes and micro-batches.")
    learning_rates: list[Rate] = Field(default=[1e-5, 1e-4, 3e-4, 1e-3], min_length=1)
    weight_decay: float = Field(1e-5, ge=0, description="On weight matrices and kernels, not on biases and norms.")
    clip: float = Field(1.0, gt=0, description="Global norm of the gradient.")
    warmup_epochs: int = Field(5, ge=0, le=100_000)
    warmup_steps: int | None = Field(None, ge=0, description="Steps of the warm-up; overrides `warmup_epochs`.")
    warmup_overshoot: bool = Field(False, description="Q10: end the ramp at lr * (1 + 1/W), as the code did.")
    plateau: bool = Field(True, description="Q8: divide the rate when validation stops improving.")
    plateau_factor: float = Field(0.1, gt=0, lt=1)
    plateau_patience: int = Field(2, ge=0, description="Epochs without improvement that are tolerated.")
    plateau_threshold: float = Field(1e-4, ge=0, description="Relative improvement that counts.")
    cosine: bool = Field(False, description="Half a cosine from the end of the warm-up to `min_rate`, per step.")
    cosine_by: Literal["step", "epoch"] = Field(
        "step",
        description="`epoch`: the cosine is constant in an epoch and one epoch late: it is set after each epoch for"
        " that epoch's number, from 0 (Doerrich et al.).",
    )
    min_rate: float = Field(0.0, ge=0, description="Where the cosine ends.")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    early_stopping: Positive | None = Field(
        None, description="Stop after this many epochs without a better validation metric."
    )
    early_from: int = Field(0, ge=0, description="First epoch, from 0, that `early_stopping` counts.")
    early_threshold: float = Field(
        0.0, ge=0, description="Smallest gain of the metric that early stopping counts as better."
    )
    select: str | None = Field(None, description="Metric by which epochs and rates are chosen; none: the data set's.")
    round_metric: int | None = Field(None, ge=0, description="Q7: decimals kept before epochs are compared.")
    val_drop: bool = Field(False, description="Q6: leave out a random rest of validation in each epoch.")
    val_half: bool = Field(False, description="Q21: validation scores in half precision.")
    test_fp32: bool = Field(False, description="Q21: test scores in single precision, whatever training's is.")

    @model_validator(mode="after")
    def _one_decay(self) -> Recipe:
        if self.cosine and self.plateau:
            raise ValueError("the rate follows either the plateau or the cosine: set one of them to false")
        return self
