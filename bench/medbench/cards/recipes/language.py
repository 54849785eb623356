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
    """Settings of all protocols that use texts: which texts, and how they become one vector per class."""

    transform: Literal["protocol", "native"] = Field(
        "native", description="Preprocessing of the model (`native`), or of the protocol."
    )
    prompts: str = Field(
        "auto",
        description="Texts of the classes. `names`: class names; `card`: terms and prompts of the data set card; "
        "`auto`: `card` if all classes have some there, else `names`; or a prompts card, or a YAML file (class -> "
        "texts).",
    )
    template: Template | None = Field(
        None, description="Template with {} in place of the name or term; default: the model card's."
    )
    prototype: Literal["unit", "flair", "raw"] | None = Field(
        None,
        description="How the texts of a class become one vector. `unit`: mean of the texts' unit vectors, scaled to "
        "unit length (CLIP); `flair`: this mean without scaling; `raw`: mean of the vectors before scaling (CLAP). "
        "Default: the model card's.",
    )
    scale: float | None = Field(None, gt=0, description="Factor on cosine similarities; default: the model's own.")

    @property
    def language(self) -> bool:
        """Whether the text tower is used."""
        return True


class ZeroShot(Prompted):
    """Cosine similarity of an image and the texts of each class; nothing is trained."""

    kind: ClassVar[Kind] = Kind("zero-shot", seeded=False, images=False)

    @property
    def parts(self) -> tuple[Split, ...]:
        """The parts of a split that must have images: only test."""
        return ("test",)


class Shots(Settings):
    """Settings of all protocols that learn from a few samples of each class."""

    transform: Literal["protocol", "native"] = Field(
        "native", description="Preprocessing of the model (`native`), or of the protocol."
    )
    shots: ShotNumber | list[ShotNumber] = Field(
        default=[1, 2, 5, 10, 20],
        description="Number of training samples of each class, or a list of numbers; `all`: the complete train split.",
    )
    unit: Literal["sample", "group"] = Field(
        "sample", description="Whether shots are samples, or groups (patients) with all their samples of the class."
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
        description="Classifier: logistic regression, nearest class mean, or a linear probe that starts at the text "
        "vectors of the classes.",
    )
    C: list[Rate] = Field(
        default=[1e-3, 3.16e-3, 1e-2, 3.16e-2, 0.1, 0.316, 1.0, 3.16, 10.0, 31.6, 100.0],
        min_length=1,
        description="`logistic`: candidates for the inverse regularisation strength C; chosen on validation.",
    )
    C_fixed: Rate = Field(
        0.316, description="`logistic`: C that is used if it cannot be chosen, with 1 shot or without validation."
    )
    balanced: bool = Field(True, description="`logistic`: true: class k has the weight n / (c n_k).")
    scale_features: bool = Field(
        False, description="`logistic`: true: standardise features by mean and standard deviation on train."
    )
    max_iter: Positive = Field(1000, description="`logistic`: maximum number of iterations of a fit.")
    temperature: float = Field(
        0.1,
        gt=0,
        description="`nearest-mean`: temperature by which cosine similarities are divided before the softmax.",
    )

    @property
    def language(self) -> bool:
        """Whether the text tower is used."""
        return self.head == "zs-lp"

    @property
    def single_label(self) -> bool:
        """The head zs-lp has no rule for several findings."""
        return self.head == "zs-lp"
