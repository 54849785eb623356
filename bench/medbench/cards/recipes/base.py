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
    """Settings of all protocols: preprocessing of images, and the split. Source: WACV 2024, section 3."""

    kind: ClassVar[Kind]  # declared by each class that a protocol card can name

    image_size: Side | None = Field(
        None, description="Side of the network's input in pixels; default: the model card's."
    )
    library: str | None = Field(
        None,
        description="Library that builds the encoder, if the model card has several; default: the card's `library`.",
    )
    pooled: str | None = Field(None, description="Pooled feature, if the model card has several; default: the card's.")
    transform: Literal["protocol", "native"] = Field(
        "protocol", description="Preprocessing of the protocol, or of the model (`native`)."
    )
    foreground: bool = Field(False, description="True: first crop to the largest bright region (FLAIR).")
    resize_ratio: float = Field(
        256 / 224, ge=1, description="Side of the stored image / side of the input; the rest is cropped away."
    )
    fit: Literal["squash", "shortest", "canvas", "longest", "centre"] = Field(
        "squash",
        description="How images become square. `squash`: resize both sides. `shortest`: resize the shorter side and "
        "crop. `canvas` (FLAIR) and `longest` (SAM): resize the longer side and pad on the right and below; they "
        "differ in rounding. `centre`: square images of one size are not resized but padded with zeros on all sides "
        "after normalisation.",
    )
    fill: list[Level] | None = Field(None, min_length=1, description="Colour of the padding; default: black.")
    interpolation: Literal["bilinear", "bicubic", "lanczos"] = Field("bilinear", description="Resize filter.")
    draft: bool = Field(
        False,
        description="True: the JPEG decoder scales images down first (5 times faster; pixels "
        "differ by 0.2 grey levels on average).",
    )
    normalise: Literal["dataset", "model", "none"] = Field(
        "dataset",
        description="Normalisation by the mean and standard deviation of the data set or of the model; "
        "`none`: pixels stay on [0, 1].",
    )
    channel_rule: Literal["slice", "sum", "repeat"] = Field(
        "slice",
        description="How the first convolution is adapted to images of one channel. `slice`: its weights for the "
        "first channel; `sum`: their sum over channels; `repeat`: not at all, grey images are read as three equal "
        "channels.",
    )
    inputs: list[str] | None = Field(
        None, min_length=1, description="Inputs that are used, if samples have several; default: all."
    )
    encoders: dict[str, str] = Field(
        default_factory=dict, description="Input -> model that encodes it; default: the model of the run."
    )
    slices: Literal["mean", "max", "centre"] = Field(
        "mean",
        description="How features of the slices of a volume are pooled; `centre`: only the middle slice is used.",
    )
    stride: Positive = Field(1, description="Use only every n-th slice of a volume, counted from the middle.")
    balance: bool = Field(
        True, description="True: the features of all inputs are scaled to the same root mean square on train."
    )
    precision: Literal["fp32", "bf16", "fp16"] | None = Field(
        None, description="Precision if --precision is auto; default: bf16 on a GPU that supports it, else fp32."
    )
    split: str | None = Field(
        None,
        description="Name of the data set's split, or a split file. `RULE@N`: the rule with seed N; `fewshot-K@N`: K "
        "samples of each class; `fraction-0.25@N`: a share of train; `{seed}` stands for the seed of the run. "
        "Default: the card's default split.",
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
    """Training augmentation of WACV 2024, drawn anew for each view of each image."""

    scale: tuple[float, float] = Field(
        (0.8, 1.2), description="Range of the area of the random resized crop, as a share of the image."
    )
    ratio: tuple[float, float] = Field((3 / 4, 4 / 3), description="Range of the aspect ratio of the crop.")
    vertical_flip: float = Field(0.5, ge=0, le=1, description="Probability of a vertical flip.")
    horizontal_flip: float = Field(0.5, ge=0, le=1, description="Probability of a horizontal flip.")
    jitter: float = Field(0.8, ge=0, le=1, description="Probability of the colour jitter.")
    brightness: float = Field(0.2, ge=0, description="Strength of the brightness change.")
    contrast: float = Field(0.2, ge=0, description="Strength of the contrast change.")
    saturation: float = Field(0.1, ge=0, description="Strength of the saturation change.")
    hue: float = Field(0.1, ge=0, le=0.5, description="Strength of the hue change, as a share of the colour circle.")


class Recipe(Settings):
    """Settings of all protocols that train by gradient descent. Source: WACV 2024, section 3."""

    augment: Augment = Field(default_factory=Augment, description="Augmentation of the training images.")
    epochs: int = Field(100, gt=0, le=100_000, description="Number of epochs.")
    batch_size: Positive = Field(64, description="Images per step, in all processes and micro-batches together.")
    learning_rates: list[Rate] = Field(
        default=[1e-5, 1e-4, 3e-4, 1e-3],
        min_length=1,
        description="Learning rates; the best one on validation is chosen.",
    )
    weight_decay: float = Field(
        1e-5, ge=0, description="Weight decay of weight matrices and kernels; biases and norms have none."
    )
    clip: float = Field(1.0, gt=0, description="Gradients are clipped to this global norm.")
    warmup_epochs: int = Field(5, ge=0, le=100_000, description="Epochs of linear warm-up of the learning rate.")
    warmup_steps: int | None = Field(
        None, ge=0, description="Number of steps of the warm-up; overrides `warmup_epochs`."
    )
    warmup_overshoot: bool = Field(
        False, description="True: the warm-up of W steps ends at lr * (1 + 1/W), as in the code of WACV 2024."
    )
    plateau: bool = Field(
        True, description="True: multiply the learning rate by `plateau_factor` when validation stops improving."
    )
    plateau_factor: float = Field(0.1, gt=0, lt=1, description="Factor on the learning rate at each plateau.")
    plateau_patience: int = Field(
        2, ge=0, description="Number of epochs without improvement before the learning rate is reduced."
    )
    plateau_threshold: float = Field(1e-4, ge=0, description="Smallest relative improvement that counts.")
    cosine: bool = Field(False, description="True: cosine schedule from the end of the warm-up to `min_rate`.")
    cosine_by: Literal["step", "epoch"] = Field(
        "step",
        description="Whether the cosine is updated after each step or each epoch; `epoch`: it is one epoch late, as "
        "in the code of Doerrich et al.",
    )
    min_rate: float = Field(0.0, ge=0, description="Learning rate at the end of the cosine.")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of label smoothing in the cross-entropy loss.")
    early_stopping: Positive | None = Field(
        None, description="Stop after this many epochs without a better validation metric."
    )
    early_from: int = Field(0, ge=0, description="First epoch, from 0, that `early_stopping` counts.")
    early_threshold: float = Field(
        0.0, ge=0, description="Smallest gain of the metric that early stopping counts as better."
    )
    select: str | None = Field(
        None,
        description="Metric by which epochs and learning rates are chosen; default: the "
        "primary metric of the data set.",
    )
    round_metric: int | None = Field(
        None,
        ge=0,
        description="Number of decimals to which the metric is rounded "
        "before epochs are compared; default: not rounded.",
    )
    val_drop: bool = Field(
        False,
        description="True: leave out the last incomplete batch of the shuffled validation "
        "images in each epoch, as in the code of WACV 2024.",
    )
    val_half: bool = Field(False, description="True: compute validation scores in half precision.")
    test_fp32: bool = Field(
        False, description="True: compute test scores in single precision, independent of the precision of training."
    )

    @model_validator(mode="after")
    def _one_decay(self) -> Recipe:
        if self.cosine and self.plateau:
            raise ValueError("the learning rate follows either plateau or cosine: set one of them to false")
        return self
