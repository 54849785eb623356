"""What features depend on, and their key. Without torch: keys are needed before anything is computed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from medbench.cards.recipes import Augment
from medbench.storage import files

VERSION = 1  # raise it when extraction computes other numbers


@dataclass(frozen=True)
class FeatureSpec:
    """Everything that can change the features of a set of images.

    Attributes:
        dataset: Name of the data set; only names the folder.
        model: Name of the model; only names the folder.
        card: The model card's material.
        weights: sha256 of the weights file, or `random:SEED`.
        store: Digest of the prepared pixels.
        image_size: Side of the input.
        channels: Channels of the images: 1 or 3.
        channel_rule: What becomes of a three-channel kernel on one-channel images.
        mean: Mean of each channel, for normalisation.
        std: Standard deviation of each channel, for normalisation.
        precision: `fp32`, `bf16` or `fp16`.
        rows: Digest of the rows of the store that are used, in order.
        view: Number of the augmented view, or None for the clean images.
        augment: Recipe of the view.
        view_seed: Seed of the views.
        output: Which output of the network is stored: `pooled`, or the tokens or the raw output of a unit.
        corruption: What was done to the images, and the digest of their ids; None: nothing.
    """

    dataset: str
    model: str
    card: dict[str, Any]
    weights: str
    store: str
    image_size: int
    channels: int
    channel_rule: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    precision: str
    rows: str
    view: int | None = None
    augment: dict[str, Any] | None = None
    view_seed: int = 0
    output: str = "pooled"
    corruption: dict[str, Any] | None = None

    @property
    def dtype(self) -> str:
        """Type of the stored numbers: half precision for tokens computed in half precision, else single."""
        return "float32" if self.output == "pooled" or self.precision == "fp32" else "float16"

    def of_view(self, view: int, rows: str, augment: Augment, seed: int) -> FeatureSpec:
        """Return the spec of augmented view number `view`, drawn with `seed`, of the images `rows`."""
        return replace(self, view=view, rows=rows, augment=augment.model_dump(mode="json"), view_seed=seed)

    def of_output(self, name: str) -> FeatureSpec:
        """Return the spec of another output of the same images."""
        return replace(self, output=name)

    def material(self) -> dict[str, Any]:
        """Return the fields that the key depends on."""
        found = asdict(self)
        for name in ("dataset", "model", *(["corruption"] if self.corruption is None else [])):
            del found[name]
        return {"version": VERSION, **found, "mean": list(self.mean), "std": list(self.std)}

    def key(self) -> str:
        """Return the digest of the material."""
        return files.digest(self.material())


def differences(wanted: dict[str, Any], stored: dict[str, Any]) -> list[str]:
    """Return `field: stored -> wanted` for each field that differs; nested fields have dotted names."""
    a, b = _flat(stored), _flat(wanted)
    changed = [name for name in sorted({*a, *b}) if a.get(name) != b.get(name)]
    return [f"{name}: {_brief(a.get(name))} -> {_brief(b.get(name))}" for name in changed]


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, inner in value.items():
        if isinstance(inner, dict):
            found |= _flat(inner, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = inner
    return found


def _brief(value: Any) -> str:
    text = "(none)" if value is None else str(value)
    return f"{text[:12]}…" if len(text) > 40 else text
