"""The model card: how to build an encoder and how to read its official weights file."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, ValidationError, model_validator

from medbench.cards.base import Card, Deviation, Pattern, Side, Strict
from medbench.cards.dataset import DatasetCard
from medbench.errors import unknown


class Hub(Strict):
    """A file in a Hugging Face repository, pinned."""

    repo: str = Field(description="Repository id, owner/name.")
    file: str = Field(description="The file in it.")
    alike: list[str] = Field(default_factory=list, description="Other names under which repositories hold this file.")
    revision: str = Field(description="Commit hash (or tag) the card was written against.")


class Weights(Strict):
    """Where the official file is, and how its tensors map to the network's parameters.

    The mapping runs in this order: `key` selects the state dict, names outside `prefix` are left aside and the
    prefix is stripped, `rename` rewrites, `drop` removes, `transpose` turns, `absent` adds. After it every name must be
    one of the network's and every parameter of the network must be filled.
    """

    url: str | None = Field(None, description="Direct address of the official file.")
    hub: Hub | None = Field(None, description="Hub file, used when there is no `url`.")
    file: str | None = Field(None, description="Local file, absolute or relative to the card's folder.")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{8,64}$", description="Digest of the file, or its beginning.")
    bytes: int | None = Field(None, gt=0, description="Size of the file.")
    key: str | None = Field(None, description="Dotted path to the state dict inside the file, e.g. `model`.")
    prefix: str | list[str] = Field(
        "", description="Prefix of the encoder's tensors; other names are ignored. Of several, the first found."
    )
    rename: dict[Pattern, str] = Field(default_factory=dict, description="Regular expression -> replacement, in order.")
    drop: list[Pattern] = Field(
        default_factory=list, description="Regular expressions (whole name) of tensors left out."
    )
    transpose: list[str] = Field(default_factory=list, description="Names of matrices held as (in, out).")
    lead: list[str] = Field(default_factory=list, description="Names of tensors without leading 1-axes.")
    absent: dict[str, float] = Field(
        default_factory=dict, description="Parameter that no file of this layout has -> the constant it is set to."
    )
    convert: Literal["library"] | None = Field(
        None, description="`library`: names and tables are adapted by the library's own conversion instead."
    )
    licence: str = Field("", description="Licence of the weights.")
    gated: bool = Field(False, description="Whether a form or a token is needed to get the file.")
    access: str = Field("", description="How to get the file if it cannot be downloaded directly.")

    @property
    def filename(self) -> str | None:
        """The name of the official file."""
        place = self.url or (self.hub.file if self.hub else self.file)
        return place.rstrip("/").split("/")[-1] if place else None


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
    l2: bool = Field(False, description="Unit length before and after the projection of `head` (FLAIR).")
    token_norm: bool = Field(True, description="Whether patch tokens pass the last norm before a stacked classifier.")
    dim: int | None = Field(None, gt=0, description="Length of the pooled vector, checked; none: not checked.")


class Pretraining(Strict):
    """What the weights were trained on."""

    data: list[str] = Field(default_factory=list, description="Data sets, by card name where medbench has one.")
    images: int | None = Field(None, ge=0, description="Number of images.")
    method: str = Field("", description="Supervision, e.g. `supervised`, `DINOv2`, `CLIP`, `MAE`.")


class Text(Strict):
    """The text tower that belongs to an image encoder; it is in the same file."""

    library: Literal["open_clip", "transformers"] = Field(description="The library that builds it.")
    arch: str = Field(description="The library's name of the architecture: open_clip's model, or `bert`.")
    args: dict[str, Any] = Field(default_factory=dict, description="Fields of the library's configuration.")
    weights: Weights = Field(default_factory=Weights, description="How the file's tensors map to the tower.")
    hidden: list[int] = Field(
        default_factory=list, description="`bert`: hidden states averaged over all positions, padding included (FLAIR)."
    )
    l2: bool = Field(False, description="Unit length before and after the projection (FLAIR).")
    dim: int = Field(gt=0, description="Length of an embedding.")


class ModelCard(Card):
    """One encoder.

    `presets`, `libraries` and `alternatives` hold what changes under a preset, with another library, or with another
    pooled feature; `resolved` puts the chosen ones on top.
    """

    library: Literal["timm", "medbench", "open_clip", "transformers", "segment_anything", "torchvision"] = Field(
        "timm", description="The library that builds the network; of torchvision, its convolutional classifiers."
    )
    arch: str = Field(description="The library's name of the architecture.")
    args: dict[str, Any] = Field(default_factory=dict, description="Further arguments of the library's constructor.")
    remove: list[str] = Field(default_factory=list, description="Modules taken out of the built network (SAM's neck).")
    weights: Weights | None = Field(None, description="The official file; none: a toy encoder, which stays random.")
    input: Input = Field(default_factory=Input, description="What the network takes.")
    position: Position | None = Field(None, description="Rule for other input sizes; none: no position table.")
    features: Features = Field(default_factory=lambda: Features(), description="What a head sees of the network.")
    text: Text | None = Field(None, description="The text tower, where there is one.")
    presets: dict[str, dict[str, Any]] = Field(default_factory=dict, description="Preset -> fields it changes.")
    libraries: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Another library that can build the same network -> fields that change."
    )
    alternatives: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Name of another pooled feature of this model -> fields that change."
    )
    units: int | None = Field(None, gt=0, description="Number of units for freezing and truncation; none: not counted.")
    parameters: float | None = Field(None, gt=0, description="Millions of parameters of the encoder as used.")
    pretraining: Pretraining = Field(default_factory=Pretraining, description="What the weights have seen, and how.")

    @property
    def toy(self) -> bool:
        """Whether this encoder exists only for demonstration and tests."""
        return self.weights is None

    @model_validator(mode="after")
    def _stats_fit(self) -> ModelCard:
        if len(self.input.mean) != len(self.input.std):
            raise ValueError("input.mean and input.std differ in length")
        return self

    @model_validator(mode="after")
    def _overlays_fit(self) -> ModelCard:
        for field, overlays in self._overlays().items():
            for name, overlay in overlays.items():
                try:
                    self._over({"library": name, **overlay} if field == "libraries" else overlay)
                except ValidationError as error:
                    fault = error.errors()[0]
                    where = ".".join(map(str, (field, name, *fault["loc"])))
                    raise ValueError(f"{where}: {fault['msg']}") from error
        return self

    def resolved(self, preset: str = "paper", library: str | None = None, pooled: str | None = None) -> ModelCard:
        """Return the card with the chosen preset, library and pooled feature applied; no choices are left in it.

        Args:
            preset: What the card changes under it comes first.
            library: The card's own or one of `libraries`.
            pooled: One of `alternatives`, or a general rule (`cls`, `mean`, …), which takes tokens after the last norm.

        Raises:
            CardError: The card has no such library or alternative.
        """
        chosen = self._over(self.presets.get(preset, {}))
        if library is not None and library != self.library:
            if library not in self.libraries:
                raise unknown(f"library of {self.name}", library, (self.library, *self.libraries))
            chosen = chosen._over({"library": library, **self.libraries[library]})
        if pooled is not None:
            rules = get_args(Pooled)
            if pooled not in self.alternatives and pooled not in rules:
                raise unknown(f"pooled feature of {self.name}", pooled, (*self.alternatives, *rules))
            plain = {"pooled": pooled, "norm": True, "layer_norm": None, "l2": False, "dim": None}
            chosen = chosen._over(self.alternatives.get(pooled, {"features": plain}))
        return chosen.model_copy(update={field: {} for field in self._overlays()})

    def _overlays(self) -> dict[str, dict[str, dict[str, Any]]]:
        return {"presets": self.presets, "libraries": self.libraries, "alternatives": self.alternatives}

    def _over(self, overlay: dict[str, Any]) -> ModelCard:
        """Return the card with `overlay` on top: the parts of the card field by field, everything else replaced."""
        if not overlay:
            return self
        fields = self.model_dump(exclude=set(self._overlays()), exclude_unset=True)
        for field, value in overlay.items():
            part = isinstance(value, dict) and field != "args" and isinstance(fields.get(field), dict)
            fields[field] = {**fields[field], **value} if part else value
        found = type(self).model_validate(fields)
        found._folder = self._folder
        return found

    def material(self) -> dict[str, Any]:
        """Return what can change a feature: architecture, mapping of the file, input and output rules."""
        found = super().material()
        for text in ("units", "parameters", "pretraining", "text"):
            found.pop(text, None)
        features = found.pop("features", {})
        features.pop("dim", None)  # a check, not a rule
        if features:
            found["features"] = features
        weights = found.get("weights") or {}
        for place in ("url", "hub", "file", "bytes", "sha256", "licence", "gated", "access"):
            weights.pop(place, None)  # the key has the digest of the file that was read
        return found


def seen(model: ModelCard, dataset: DatasetCard) -> list[str]:
    """Return the entries of the model's pre-training data that name the data set; none: no known contamination.

    Names agree when their letters and digits do: `ISIC-2019` is `isic2019`.
    """
    names = {_plain(text) for text in (dataset.name, *dataset.also)}
    return [text for text in model.pretraining.data if _plain(text) in names]


def _plain(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())
