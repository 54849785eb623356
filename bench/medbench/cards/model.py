"""The model card: how to build an encoder and how to read its official weights file."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from medbench.cards.base import Card, Strict


class Hub(Strict):
    """A file in a Hugging Face repository, pinned."""

    repo: str = Field(description="Repository id, owner/name.")
    file: str = Field(description="The file in it.")
    revision: str = Field(description="Commit hash (or tag) the card was written against.")


class Weights(Strict):
    """Where the official file is, and how its tensors map to the network's parameters.

    The mapping runs in this order: `key` selects the state dict, names outside `prefix` are left aside and the
    prefix is stripped, `rename` rewrites, `drop` removes. After it every name must be one of the network's and every
    parameter of the network must be filled.
    """

    url: str | None = Field(None, description="Direct address of the official file.")
    hub: Hub | None = Field(None, description="Hub file, used when there is no `url`.")
    file: str | None = Field(None, description="Local file, absolute or relative to the card's folder.")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{8,64}$", description="Digest of the file, or its beginning.")
    bytes: int | None = Field(None, gt=0, description="Size of the file.")
    key: str | None = Field(None, description="Dotted path to the state dict inside the file, e.g. `model`.")
    prefix: str = Field("", description="Prefix of the encoder's tensors; names without it are not the encoder's.")
    rename: dict[str, str] = Field(default_factory=dict, description="Regular expression -> replacement, in order.")
    drop: list[str] = Field(default_factory=list, description="Regular expressions (whole name) of tensors to leave.")
    licence: str = Field("", description="Licence of the weights.")
    gated: bool = Field(False, description="Whether a form or a token stands before the file.")
    access: str = Field("", description="How to get the file where it cannot simply be fetched.")

    @field_validator("rename", "drop")
    @classmethod
    def _regular(cls, patterns: Any) -> Any:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"'{pattern}' is not a regular expression: {error}") from error
        return patterns

    @property
    def filename(self) -> str | None:
        """The official file's own name."""
        place = self.url or (self.hub.file if self.hub else self.file)
        return place.rstrip("/").split("/")[-1] if place else None


class Input(Strict):
    """What the network takes."""

    size: int = Field(224, gt=0, description="Side of the square input used by default.")
    native: int | None = Field(None, gt=0, description="Side the weights were made for (their position table).")
    mean: list[float] = Field(default=[0.485, 0.456, 0.406], description="The model's own mean, on [0, 1].")
    std: list[float] = Field(default=[0.229, 0.224, 0.225], description="The model's own deviation, on [0, 1].")
    interpolation: Literal["bilinear", "bicubic", "lanczos"] = Field("bicubic", description="Its own resize filter.")
    crop: float = Field(0.875, gt=0, le=1, description="Its own centre crop as a share of the resized image.")


class Position(Strict):
    """How the official code resizes the position table to another grid."""

    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    antialias: bool = True
    offset: float = Field(0.0, description="Added to the grid before the scale factor is formed (0.1 in DINO, DINOv2).")


class Features(Strict):
    """What the encoder's outputs are."""

    pooled: Literal["cls", "mean", "head"] = Field(
        "head",
        description="What a head sees: class token or mean of patches after the last norm; `head`: timm's.",
    )
    token_norm: bool = Field(True, description="Whether patch tokens pass the last norm before a stacked classifier.")
    dim: int | None = Field(None, gt=0, description="Length of the pooled vector, checked; none: not checked.")


class Pretraining(Strict):
    """What the weights have seen."""

    data: list[str] = Field(default_factory=list, description="Data sets, by card name where medbench has one.")
    images: int | None = Field(None, ge=0, description="Number of images.")
    method: str = Field("", description="Supervision, e.g. `supervised`, `DINOv2`, `CLIP`, `MAE`.")


class ModelCard(Card):
    """One encoder."""

    library: Literal["timm"] = Field("timm", description="Who builds the network.")
    arch: str = Field(description="The library's name of the architecture.")
    args: dict[str, Any] = Field(default_factory=dict, description="Further arguments of the library's constructor.")
    weights: Weights | None = Field(None, description="The official file; none for toy encoders, which stay random.")
    input: Input = Field(default_factory=Input)
    position: Position | None = Field(None, description="Rule for other input sizes; none: no position table.")
    features: Features = Field(default_factory=lambda: Features())
    parameters: float | None = Field(None, gt=0, description="Millions of parameters of the encoder as used.")
    pretraining: Pretraining = Field(default_factory=Pretraining)

    @property
    def toy(self) -> bool:
        """Whether this encoder exists for demonstration and tests only."""
        return self.weights is None

    @model_validator(mode="after")
    def _stats_fit(self) -> ModelCard:
        if len(self.input.mean) != len(self.input.std):
            raise ValueError("input.mean and input.std differ in length")
        return self

    def material(self) -> dict[str, Any]:
        """Return what can change a feature: architecture, mapping of the file, input and output rules."""
        found = super().material()
        for text in ("parameters", "pretraining"):
            found.pop(text, None)
        weights = found.get("weights") or {}
        for place in ("url", "hub", "file", "bytes", "sha256", "licence", "gated", "access"):
            weights.pop(place, None)  # the digest of the file that was really read stands in the key
        return found
