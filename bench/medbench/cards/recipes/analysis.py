"""The recipes of what examines networks: their time, and the similarity of their layers."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from medbench.cards.recipes.base import Positive, Settings
from medbench.cards.recipes.kinds import Kind


class Timing(Settings):
    """Time of one instance and throughput, warmed up and synchronised."""

    kind: ClassVar[Kind] = Kind(
        "timing", seeded=False, sweep="classifier", second="second", timed=True, classifies=False
    )
    classifier: Literal["linear", "deit"] | list[Literal["linear", "deit"]] | None = Field(
        None,
        description="Classifier on top of the encoder: `linear`, `deit` or a model card, which is stacked then; a list;"
        " none: both.",
    )
    stack: str = Field("imagenet", description="Model card of the stacked network.")
    batches: list[Positive] = Field(default=[1, 8, 32, 64, 128, 256], min_length=1)
    warmup: int = Field(5, ge=0, le=1_000_000, description="Warm-up passes, not measured.")
    repeats: Positive = Field(30, description="Measured passes.")
    seconds: float = Field(20.0, gt=0, description="A batch size is skipped if its passes would take longer.")

    @model_validator(mode="before")
    @classmethod
    def _card(cls, values: Any) -> Any:
        """Take a model card's name as the classifier, as the protocols that train a stacked network do."""
        asked = values.get("classifier") if isinstance(values, dict) else None
        listed = asked if isinstance(asked, list) else [asked]
        named = [one for one in listed if isinstance(one, str) and one not in ("linear", "deit")]
        if len(set(named)) != 1:
            return values
        kinds = ["deit" if one == named[0] else one for one in listed]
        return {**values, "stack": named[0], "classifier": kinds if isinstance(asked, list) else kinds[0]}

    @property
    def second(self) -> str | None:
        """The stacked network's card, where there is one."""
        return None if self.classifier == "linear" else self.stack


class CkaRecipe(Settings):
    """Linear CKA between the layers of a network before and after fine-tuning."""

    kind: ClassVar[Kind] = Kind(
        "cka",
        seeded=False,
        second="second",
        tunes=("linear-unfrozen", "deit-frozen", "deit-unfrozen"),
        classifies=False,
    )

    tuned: Literal["linear-unfrozen", "deit-frozen", "deit-unfrozen"] = Field(
        "linear-unfrozen", description="Protocol that fine-tuned the network; `deit-*`: the stacked network's layers."
    )
    estimator: Literal["batch", "hsic"] = Field(
        "hsic",
        description="`batch`: mean of the debiased ratios of all batches; `hsic`: HSIC summed over batches first.",
    )
    layers: Literal["blocks", "all"] = Field("blocks", description="`all`: embedding, attention and MLP outputs.")
    form: Literal["flat", "cls", "pooled"] = Field("flat", description="Which part of a layer's output is compared.")
    images: Positive | None = Field(2000, description="Test images, the first of a named shuffle; none: all.")
    batch: int = Field(64, ge=4, description="Images of one Gram matrix.")
    classifier: str = Field("imagenet", description="`deit-*`: model card of the stacked network.")

    @property
    def second(self) -> str | None:
        """The stacked network's card, where there is one."""
        return None if self.tuned == "linear-unfrozen" else self.classifier


class CkaModels(Settings):
    """Pooled features of a fine-tuned network on test images, to be compared among models."""

    kind: ClassVar[Kind] = Kind(
        "cka-models", module="cka", function="run_models", seeded=False, tunes=("linear-unfrozen",), classifies=False
    )

    tuned: Literal["linear-unfrozen"] = "linear-unfrozen"
    images: Positive | None = Field(2000, description="Test images, the first of a named shuffle; none: all.")
    batch: Positive = 64
