"""The protocol card: every number of a recipe, per preset and per data set, checked against its kind's settings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from medbench.cards.base import Card, Strict

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
    split: str | None = Field(None, description="Name of the data set's split, or a split file; none: its default.")


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


class LinearFrozen(Settings):
    """A linear head on frozen features: four learning rates times all seeds, trained together on cached views."""

    views: int = Field(16, ge=0, description="Augmented views of the training set in the bank; 0: the clean images.")
    augment: Augment = Field(default_factory=Augment)
    epochs: int = Field(100, gt=0)
    batch_size: int = Field(64, gt=0)
    learning_rates: list[Rate] = Field(default=[1e-5, 1e-4, 3e-4, 1e-3], min_length=1)
    weight_decay: float = Field(1e-5, ge=0, description="On the weight matrix, not on the bias.")
    clip: float = Field(1.0, gt=0, description="Global norm of the gradient of each head.")
    warmup_epochs: int = Field(5, ge=0)
    warmup_steps: int | None = Field(None, ge=0, description="Steps of the warm-up; overrides `warmup_epochs`.")
    warmup_overshoot: bool = Field(False, description="Q10: end the ramp at lr * (1 + 1/W), as the code did.")
    plateau: bool = Field(True, description="Q8: divide the rate when validation stops improving.")
    plateau_factor: float = Field(0.1, gt=0, lt=1)
    plateau_patience: int = Field(2, ge=0, description="Epochs without improvement that are let pass.")
    plateau_threshold: float = Field(1e-4, ge=0, description="Relative improvement that counts.")
    round_metric: int | None = Field(None, ge=0, description="Q7: decimals kept before epochs are compared.")
    val_drop: bool = Field(False, description="Q6: leave a random rest of validation out in each epoch.")
    val_half: bool = Field(False, description="Q21: validation scores in half precision.")


class Knn(Settings):
    """Cosine k-nearest neighbours with votes weighted exp(similarity / temperature)."""

    k: Positive | Literal["auto"] = Field(200, description="Neighbours; `auto` chooses among `k_grid` on validation.")
    k_grid: list[Positive] = Field(default=[1, 3, 5, 10, 20, 50, 100, 200], min_length=1)
    temperature: float = Field(0.1, gt=0)
    bank_drop: bool = Field(False, description="Q6: cut the bank to a multiple of `batch_size`, as the code did.")
    batch_size: int = Field(64, gt=0)


SETTINGS: dict[str, type[Settings]] = {"linear-frozen": LinearFrozen, "knn": Knn}
"""The settings each kind of protocol takes."""


class ProtocolCard(Card):
    """One recipe: a kind of protocol with its numbers."""

    kind: Literal["linear-frozen", "knn"]
    defaults: dict[str, Any] = Field(default_factory=dict, description="Numbers that differ from the kind's own.")
    presets: dict[str, dict[str, Any]] = Field(default_factory=dict, description="Preset -> what it changes.")
    datasets: dict[str, dict[str, Any]] = Field(default_factory=dict, description="Data set -> what it changes.")
