"""What every protocol decides before a network sees an image, and how training images are varied."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from medbench.cards.base import Strict

Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0)]
Level = Annotated[int, Field(ge=0, le=255)]


class Settings(Strict):
    """What every protocol decides before a network sees an image. Sources: spec of WACV 2024, section 3."""

    image_size: int | None = Field(None, gt=0, description="Side of the network's input; none: the model card's.")
    library: str | None = Field(
        None, description="Which of the model card's libraries builds the encoder; none: the card's own."
    )
    pooled: str | None = Field(None, description="Another pooled feature of the model card; none: the card's own.")
    transform: Literal["protocol", "native"] = Field(
        "protocol", description="The protocol's own preprocessing, or the model's."
    )
    foreground: bool = Field(False, description="Crop to the largest bright region first (FLAIR).")
    resize_ratio: float = Field(256 / 224, ge=1, description="Stored side / input side; the rest is cropped away.")
    fit: Literal["squash", "shortest", "canvas", "longest"] = Field(
        "squash",
        description="Resize to a square, or the shorter side, or the longer and pad on the right and below; `canvas`"
        " (FLAIR) and `longest` (SAM) differ in rounding.",
    )
    fill: list[Level] | None = Field(None, min_length=1, description="Colour of the padding; none: black.")
    interpolation: Literal["bilinear", "bicubic", "lanczos"] = "bilinear"
    draft: bool = Field(False, description="Let the JPEG decoder scale down first (5 times faster, .2 grey levels).")
    normalise: Literal["dataset", "model"] = Field("dataset", description="Whose mean and deviation.")
    channel_rule: Literal["slice", "sum"] = Field(
        "slice", description="First kernel on one-channel data: its first input slice, or the sum over inputs (Q13)."
    )
    inputs: list[str] | None = Field(
        None, min_length=1, description="Where samples have several inputs: the ones that are used; none: all."
    )
    encoders: dict[str, str] = Field(
        default_factory=dict, description="Input -> the model that encodes it, where it is not the run's own."
    )
    slices: Literal["mean", "max", "centre"] = Field(
        "mean", description="What becomes of the features of a volume's slices; `centre`: the middle slice alone."
    )
    stride: Positive = Field(1, description="Of a volume's slices every so many is used, counted from the middle.")
    balance: bool = Field(True, description="Give each input's features the same root mean square on train.")
    split: str | None = Field(
        None,
        description="Name of the data set's split, or a split file; `RULE@N`: the rule under another seed, `{seed}`:"
        " each seed its own; none: the default.",
    )


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
