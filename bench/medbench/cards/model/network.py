"""What a network takes and gives, and what it was trained on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from medbench.cards.base import Deviation, Side, Strict


class Input(Strict):
    """Input of the network."""

    size: Side = Field(224, description="Default side of the square input, in pixels.")
    native: int | None = Field(
        None, gt=0, description="Side of the input during pre-training (that of the position table), in pixels."
    )
    mean: list[float] = Field(
        default=[0.485, 0.456, 0.406], description="Mean per channel for normalisation, on [0, 1]."
    )
    std: list[Deviation] = Field(
        default=[0.229, 0.224, 0.225], description="Standard deviation per channel for normalisation, on [0, 1]."
    )
    interpolation: Literal["bilinear", "bicubic", "lanczos"] = Field(
        "bicubic", description="Resize filter in the model's own preprocessing."
    )
    crop: float = Field(
        0.875,
        gt=0,
        le=1,
        description="Centre crop in the model's own preprocessing, as a share of the resized image's side.",
    )
    fit: Literal["squash", "shortest", "canvas", "longest"] = Field(
        "shortest",
        description="How the model's own preprocessing makes images square: resize both sides; resize the shorter "
        "side and crop; resize the longer side and pad with black on the right and below (FLAIR), or with the mean "
        "colour (SAM).",
    )
    foreground: bool = Field(
        False, description="Whether the model's own preprocessing first crops to the largest bright region (FLAIR)."
    )


class Position(Strict):
    """How the official code resizes the position table to another grid."""

    interpolation: Literal["bicubic", "bilinear"] = Field("bicubic", description="The filter.")
    antialias: bool = Field(
        True, description="Whether the filter is widened (antialiasing) if the grid becomes smaller."
    )
    offset: float = Field(
        0.0, description="Number added to the grid side before the scale factor is computed (0.1 in DINO, DINOv2)."
    )
    table: str = Field("pos_embed", description="Name of the position table in the network.")
    relative: Literal["linear", "nearest"] | None = Field(
        None, description="How tables of relative positions (`rel_pos`, SAM) are resized; default: there are none."
    )


Pooled = Literal["cls", "mean", "cls+mean", "mean+cls", "last4", "token1", "head"]
"""What a head can see of an encoder; see `Features.pooled`."""


class Features(Strict):
    """Features of the encoder."""

    pooled: Pooled = Field(
        "head",
        description="Feature that a head uses: class token, mean of the patch tokens, both concatenated, class "
        "tokens of the last four blocks, the token at index 1 (as the WACV 2024 code does for BLIP), or `head`: the "
        "library's own pooling, with projection.",
    )
    norm: bool = Field(True, description="Whether the last norm is applied to the tokens before pooling.")
    layer_norm: float | None = Field(
        None,
        gt=0,
        description="Epsilon of a layer norm without parameters that is applied to the pooled vector; "
        "default: no such norm.",
    )
    l2: bool = Field(
        False,
        description="Scale the vector to unit length before and after the projection (`projection`, or that of "
        "`head`; FLAIR).",
    )
    token_norm: bool = Field(
        True, description="Whether the last norm is applied to patch tokens before a stacked classifier."
    )
    projection: tuple[int, int] | None = Field(
        None,
        description="Lengths [in, out] of a linear projection of the pooled vector, with the tensors "
        "`projection.weight` and `projection.bias` of the weights file. Default: no projection.",
    )
    dim: int | None = Field(None, gt=0, description="Length of the pooled vector; checked if given.")


class Pretraining(Strict):
    """Training of the weights: data and supervision."""

    data: list[str] = Field(
        default_factory=list, description="Data sets, by the name of their card if medbench has one."
    )
    images: int | None = Field(None, ge=0, description="Number of images.")
    method: str = Field("", description="Supervision, e.g. `supervised`, `DINOv2`, `CLIP`, `MAE`.")
