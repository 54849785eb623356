"""The recipes that use a text tower, and those that learn from a few samples of each class."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from medbench.cards.dataset.splits import SPLITS, Split
from medbench.cards.prompts.card import Template
from medbench.cards.recipes.base import Positive, Rate, Settings
from medbench.cards.recipes.kinds import Kind

ShotNumber = Positive | Literal["all"]


class Prompted(Settings):
    """Settings of every protocol that classifies by texts: which texts, and how they become one vector per class."""

    transform: Literal["protocol", "native"] = Field(
        "native", description="The model's own preprocessing, or the protocol's."
    )
    prompts: str = Field(
        "auto",
        description="`names`: the classes' names; `card`: the data set card's terms and prompts; a prompts card; a YAML"
        " file (class -> texts); `auto`: `card` if each class has some there, else `names`.",
    )
    template: Template | None = Field(
        None, description="Sentence around a name or a term, with {} in its place; none: the model card's."
    )
    prototype: Literal["unit", "flair", "raw"] | None = Field(
        None,
        description="A class's vector. `unit`: the mean of its texts' unit vectors, scaled to unit length (CLIP);"
        " `flair`: that mean, not scaled; `raw`: the mean of the tower's vectors (CLAP); none: the model card's.",
    )
    scale: float | None = Field(None, gt=0, description="Factor on cosines; none: the model's own.")

    @property
    def language(self) -> bool:
        """Whether the text tower is used."""
        return True


class ZeroShot(Prompted):
    """Cosine between an image and the texts of each class; nothing is trained."""

    kind: ClassVar[Kind] = Kind("zero-shot", seeded=False, images=False)

    @property
    def parts(self) -> tuple[Split, ...]:
        """The parts of a split that must have images: only test."""
        return ("test",)


class Shots(Settings):
    """Settings of every protocol that learns from a few samples of each class."""

    transform: Literal["protocol", "native"] = Field(
        "native", description="The model's own preprocessing, or the protocol's."
    )
    shots: ShotNumber | list[ShotNumber] = Field(
        default=[1, 2, 5, 10, 20],
        description="Samples of each class, or a list of numbers; `all`: the whole training part.",
    )
    unit: Literal["sample", "group"] = Field(
        "sample", description="Whether shots count samples, or groups (patients) with all their samples of the class."
    )
    val: Literal["same", "none"] = Field(
        "same", description="Validation: as many samples of each class as for training, or none."
    )

    @field_validator("shots", mode="before")
    @classmethod
    def _numbers(cls, shots: Any) -> Any:
        listed = shots if isinstance(shots, list) else [shots]
        if not listed or not all(n == "all" or (type(n) is int and n > 0) for n in listed):
            raise ValueError("give whole numbers from 1 up, `all`, or a list of them")
        return shots

    @property
    def split_name(self) -> str | None:
        """Few shots from the training part of `split`, drawn for each seed; with all shots, `split` itself."""
        if self.shots == "all":
            return self.split
        told = f"fewshot-{self.shots}{'-group' * (self.unit == 'group')}{'-noval' * (self.val == 'none')}@{{seed}}"
        return told if self.split is None else f"{self.split}+{told}"

    @property
    def parts(self) -> tuple[Split, ...]:
        """Without validation nothing is chosen on it."""
        return SPLITS if self.val == "same" else ("train", "test")


class FewShot(Prompted, Shots):
    """A head on the frozen features of a few samples of each class."""

    kind: ClassVar[Kind] = Kind("few-shot", seeded=False, images=False, sweep="shots")
    head: Literal["logistic", "nearest-mean", "zs-lp"] = Field(
        "logistic",
        description="Logistic regression, the nearest class mean, or a linear probe that starts at the classes' texts.",
    )
    C: list[Rate] = Field(
        default=[1e-3, 3.16e-3, 1e-2, 3.16e-2, 0.1, 0.316, 1.0, 3.16, 10.0, 31.6, 100.0],
        min_length=1,
        description="`logistic`: inverse strengths; chosen on validation.",
    )
    C_fixed: Rate = Field(
        0.316, description="`logistic`: C if it cannot be chosen: with 1 shot, or without validation."
    )
    balanced: bool = Field(True, description="`logistic`: weigh classes n / (c n_k).")
    scale_features: bool = Field(False, description="`logistic`: standardise features by training mean and deviation.")
    max_iter: Positive = Field(1000, description="`logistic`: iterations of a fit.")
    temperature: float = Field(0.1, gt=0, description="`nearest-mean`: cosines are divided by it before the softmax.")

    @property
    def language(self) -> bool:
        """Whether the text tower is used."""
        return self.head == "zs-lp"

    @property
    def single_label(self) -> bool:
        """The head zs-lp has no rule for several findings."""
        return self.head == "zs-lp"
