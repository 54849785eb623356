"""The recipes of what examines networks: their time, and the similarity of their layers."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from medbench.cards.recipes.base import Positive, Settings
from medbench.cards.recipes.kinds import Kind


class Timing(Settings):
    """Latency of one image and throughput, after warm-up and with synchronisation."""

    kind: ClassVar[Kind] = Kind(
        "timing", seeded=False, sweep="classifier", second="second", timed=True, classifies=False
    )
    classifier: Literal["linear", "deit"] | list[Literal["linear", "deit"]] | None = Field(
        None,
        description="Classifier on top of the encoder: `linear`, `deit`, or a model card that is stacked; or a list; "
        "default: linear and deit.",
    )
    stack: str = Field("imagenet", description="Model card of the stacked network.")
    batches: list[Positive] = Field(
        default=[1, 8, 32, 64, 128, 256], min_length=1, description="Batch sizes that are measured."
    )
    warmup: int = Field(5, ge=0, le=1_000_000, description="Number of warm-up passes, which are not measured.")
    repeats: Positive = Field(30, description="Measured passes.")
    seconds: float = Field(20.0, gt=0, description="A batch size is skipped if its passes would take longer than this.")

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
        "linear-unfrozen",
        description="Protocol that fine-tuned the network; `deit-*`: layers of the stacked network are compared.",
    )
    estimator: Literal["batch", "hsic"] = Field(
        "hsic",
        description="`batch`: mean of the debiased CKA of all batches; `hsic`: ratio of HSIC sums over all batches.",
    )
    layers: Literal["blocks", "all"] = Field(
        "blocks", description="`blocks`: outputs of blocks; `all`: outputs of embedding, attention and MLP."
    )
    form: Literal["flat", "cls", "pooled"] = Field("flat", description="Part of a layer's output that is compared.")
    images: Positive | None = Field(2000, description="Number of test images, drawn with a fixed seed; `null`: all.")
    batch: int = Field(64, ge=4, description="Number of images in one Gram matrix.")
    classifier: str = Field("imagenet", description="`deit-*`: model card of the stacked network.")

    @property
    def second(self) -> str | None:
        """The stacked network's card, where there is one."""
        return None if self.tuned == "linear-unfrozen" else self.classifier


class CkaModels(Settings):
    """Pooled features of a fine-tuned network on test images, to compare models with each other."""

    kind: ClassVar[Kind] = Kind(
        "cka-models", module="cka", function="run_models", seeded=False, tunes=("linear-unfrozen",), classifies=False
    )

    tuned: Literal["linear-unfrozen"] = Field("linear-unfrozen", description="Protocol that fine-tuned the network.")
    images: Positive | None = Field(2000, description="Number of test images, drawn with a fixed seed; `null`: all.")
    batch: Positive = Field(64, description="Number of images in one Gram matrix.")
