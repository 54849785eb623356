"""The recipes of classifiers on frozen features."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from medbench.cards.dataset.splits import SPLITS, Split
from medbench.cards.recipes.base import Positive, Rate, Recipe, Settings, Views
from medbench.cards.recipes.kinds import Kind

UNCHOSEN: tuple[Split, ...] = ("train", "test")
"""The parts that are needed where nothing is chosen on validation."""


class LinearFrozen(Recipe):
    """A linear head on frozen features: all learning rates and seeds trained together on cached views."""

    kind: ClassVar[Kind] = Kind("linear-frozen", version=4, images=False)
    views: Views = Field(16, description="Augmented views of the training set in the bank; 0: the clean images.")


class Knn(Settings):
    """k nearest neighbours with votes weighted exp(similarity / temperature)."""

    kind: ClassVar[Kind] = Kind("knn", version=2, seeded=False, images=False)
    k: Positive | Literal["auto"] = Field(200, description="Neighbours; `auto` chooses among `k_grid` on validation.")
    k_grid: list[Positive] = Field(default=[1, 3, 5, 10, 20, 50, 100, 200], min_length=1)
    temperature: float | None = Field(0.1, gt=0, description="None: each neighbour has one vote.")
    distance: Literal["cosine", "euclid"] = Field(
        "cosine", description="`euclid`: features as they are; the similarity is minus the squared distance."
    )
    bank_drop: bool = Field(False, description="Q6: cut the bank to a multiple of `batch_size`, as the code did.")
    batch_size: Positive = Field(64)

    @property
    def parts(self) -> tuple[Split, ...]:
        """Validation is needed to choose k."""
        return SPLITS if self.k == "auto" else UNCHOSEN


class NearestMean(Settings):
    """Cosine between an image and the mean of each class's training images."""

    kind: ClassVar[Kind] = Kind("nearest-mean", version=2, seeded=False, images=False)
    temperature: float = Field(0.1, gt=0, description="Cosines are divided by it before the softmax.")

    @property
    def parts(self) -> tuple[Split, ...]:
        """Nothing is chosen."""
        return UNCHOSEN


class LinearProbe(Settings):
    """Logistic regression on frozen features."""

    kind: ClassVar[Kind] = Kind("linear-probe", version=3, seeded=False, images=False)
    C: list[Rate] = Field(default=[0.316], min_length=1, description="Inverse strengths; chosen on validation.")
    balanced: bool = Field(True, description="Weigh classes n / (c n_k).")
    scale: bool = Field(False, description="Standardise features by training mean and deviation.")
    refit: bool = Field(
        False, description="Fit again at the chosen C on train and val together before test; val scores stay."
    )
    max_iter: Positive = 1000

    @property
    def parts(self) -> tuple[Split, ...]:
        """Validation is needed to choose among several C."""
        return SPLITS if len(set(self.C)) > 1 else UNCHOSEN
