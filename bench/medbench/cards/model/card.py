"""The model card: how to build an encoder and how to read its official weights file."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, ValidationError, model_validator

from medbench.cards.base import Card
from medbench.cards.dataset import DatasetCard
from medbench.cards.model.network import Features, Input, Pooled, Position, Pretraining
from medbench.cards.model.text import Text
from medbench.cards.model.weights import Weights
from medbench.errors import unknown


class ModelCard(Card):
    """One encoder.

    `presets`, `libraries` and `alternatives` hold what changes under a preset, with another library, or with another
    pooled feature; `resolved` puts the chosen ones on top.
    """

    library: Literal["timm", "medbench", "open_clip", "transformers", "segment_anything", "torchvision", "features"] = (
        Field(
            "timm",
            description="Library that builds the network (torchvision: only convolutional classifiers). `features`: "
            "there is no network, and `weights.file` is a features file.",
        )
    )
    arch: str = Field(description="Name of the architecture in the library.")
    args: dict[str, Any] = Field(default_factory=dict, description="Further arguments for the library's constructor.")
    remove: list[str] = Field(
        default_factory=list, description="Modules that are removed from the network (such as SAM's neck)."
    )
    weights: Weights | None = Field(
        None, description="The official weights file; default: none, for a toy encoder with random weights."
    )
    input: Input = Field(default_factory=Input, description="Input of the network.")
    position: Position | None = Field(
        None, description="How position embeddings are resized for other input sizes; default: there are none."
    )
    features: Features = Field(
        default_factory=lambda: Features(), description="Features of the network that a head uses."
    )
    text: Text | None = Field(None, description="The text tower, for vision-language models.")
    presets: dict[str, dict[str, Any]] = Field(default_factory=dict, description="Preset -> fields that it changes.")
    libraries: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Another library that can build the same network -> fields that it changes."
    )
    alternatives: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Name of another pooled feature of this model -> fields that it changes."
    )
    units: int | None = Field(
        None, gt=0, description="Number of units (blocks or stages) for freezing and truncation; default: unknown."
    )
    parameters: float | None = Field(
        None, gt=0, description="Number of parameters of the encoder as used, in millions."
    )
    pretraining: Pretraining = Field(
        default_factory=Pretraining, description="Data and supervision that the weights were trained with."
    )

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
        # MODEL@PROTOCOL is the name of a model, but not one that a card file can have: it is not validated again.
        found = type(self).model_validate({**fields, "name": "plain"}).model_copy(update={"name": self.name})
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
