"""What a network takes and gives, and what it was trained on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from medbench.cards.base import Deviation, Side, Strict


class Input(Strict):
    """The network's input."""

    size: Side = Field(224, description="Side of the square input used by default.")
    native: int | None = Field(None, gt=0, description="Side that the weights were trained at (their position table).")
    mean: list[float] = Field(default=[0.485, 0.456, 0.406], description="The model's mean, on [0, 1].")
    std: list[Deviation] = Field(
        default=[0.229, 0.224, 0.225], description="The model's standard deviation, on [0, 1]."
    )
    interpolation: Literal["bilinear", "bicubic", "lanczos"] = Field(
        "bicubic", description="The model's resize filter."
    )
    crop: float = Field(0.875, gt=0, le=1, description="The model's centre crop as a share of the resized image.")
    fit: Literal["squash", "shortest", "canvas", "longest"] = Field(
        "shortest",
        description="The model's way to a square: both sides; shorter side, then a crop; longer side, then black on"
        " the right and below (FLAIR); likewise with the mean colour (SAM).",
    )
    foreground: bool = Field(False, description="Whether it first crops to the largest bright region (FLAIR).")


class Position(Strict):
    """How the official code resizes the position table to another grid."""

    interpolation: Literal["bicubic", "bilinear"] = Field("bicubic", description="The filter.")
    antialias: bool = Field(True, description="Whether the filter is widened where the grid shrinks.")
    offset: float = Field(0.0, description="Added to the grid before the scale factor is formed (0.1 in DINO, DINOv2).")
    table: str = Field("pos_embed", description="The network's name of the table.")
    relative: Literal["linear", "nearest"] | None = Field(
        None, description="How tables of relative positions (`rel_pos`, SAM) are resized; none: there are none."
    )


Pooled = Literal["cls", "mean", "cls+mean", "mean+cls", "last4", "token1", "head"]
"""What a head can see of an encoder; see `Features.pooled`."""


class Features(Strict):
    """What the encoder's outputs are."""

    pooled: Pooled = Field(
        "head",
        description="What a head sees: class token, mean of patch tokens, both side by side, class tokens of the last"
        " four blocks, the token at index 1 (the WACV code's BLIP), or `head`: the library's own, projection included.",
    )
    norm: bool = Field(True, description="Whether tokens pass the last norm before they are pooled.")
    layer_norm: float | None = Field(
        None, gt=0, description="Epsilon of a layer norm without parameters over the pooled vector; none: no such norm."
    )
    l2: bool = Field(
        False,
        description="Scale to unit length before and after the projection: `projection`, or that of `head` (FLAIR).",
    )
    token_norm: bool = Field(True, description="Whether patch tokens pass the last norm before a stacked classifier.")
    projection: tuple[int, int] | None = Field(
        None,
        description="Lengths [in, out] of a linear map of the pooled vector: the tensors `projection.weight` and"
        " `projection.bias` of the weights file; with `l2`, scaled to unit length before and after. None: no map.",
    )
    dim: int | None = Field(None, gt=0, description="Length of the pooled vector, checked; none: not checked.")


class Pretraining(Strict):
    """What the weights were trained on."""

    data: list[str] = Field(default_factory=list, description="Data sets, by card name where medbench has one.")
    images: int | None = Field(None, ge=0, description="Number of images.")
    method: str = Field("", description="Supervision, e.g. `supervised`, `DINOv2`, `CLIP`, `MAE`.")
