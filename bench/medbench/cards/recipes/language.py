"""The recipes that use a text tower, and those that learn from a few samples of each class."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from medbench.cards.dataset.splits import Split
from medbench.cards.prompts.card import Template
from medbench.cards.recipes.base import Positive, Settings
from medbench.cards.recipes.kinds import Kind

ShotNumber = Positive | Literal["all"]


class Prompted(Settings):
    """What every protocol decides that classifies by texts: which texts, and how they become one vector a class."""

    transform: Literal["protocol", "native"] = Field(
        "native", description="The model's own preprocessing, or the protocol's."
    )
    prompts: str = Field(
        "auto",
        description="`names`: the classes' names; `card`: the data set card's terms and prompts; a prompts card; a YAML"
        " file (class -> texts); `auto`: the data set card's where each class has some, else the names.",
    )
    template: Template | None = Field(
        None, description="Sentence around a name or a term, which stands for {}; none: the model card's."
    )
    prototype: Literal["unit", "flair", "raw"] | None = Field(
        None,
        description="A class's vector: the mean of its texts' unit vectors, at unit length again (CLIP) or not (FLAIR);"
        " or the mean of the vectors as the tower gives them (CLAP). None: as the model's authors do.",
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
    """What every protocol decides that learns from a few samples of each class."""

    transform: Literal["protocol", "native"] = Field(
        "native", description="The model's own preprocessing, or the protocol's."
    )
    shots: ShotNumber | list[ShotNumber] = Field(
        default=[1, 2, 5, 10, 20], description="Samples of each class; `all`: the whole training part; a list."
    )
    unit: Literal["sample", "group"] = Field(
        "sample", description="What is counted: samples, or groups (patients) with all their samples of the class."
    )
    val: Literal["same", "none"] = Field("same", description="Validation: as many of each class, or none at all.")
