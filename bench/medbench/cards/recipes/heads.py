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
    """A linear head on frozen features; features of augmented views are computed once."""

    kind: ClassVar[Kind] = Kind("linear-frozen", version=4, images=False)
    views: Views = Field(
        16, description="Number of augmented views of each training image, computed once; 0: the clean images."
    )


class Knn(Settings):
    """k nearest neighbours in feature space, with votes weighted by exp(similarity / temperature)."""

    kind: ClassVar[Kind] = Kind("knn", version=2, seeded=False, images=False)
    k: Positive | Literal["auto"] = Field(
        200, description="Number of neighbours; `auto`: chosen from `k_grid` on validation."
    )
    k_grid: list[Positive] = Field(
        default=[1, 3, 5, 10, 20, 50, 100, 200],
        min_length=1,
        description="Candidates for k if `k` is `auto`; chosen on validation.",
    )
    temperature: float | None = Field(
        0.1,
        gt=0,
        description="Temperature of the votes exp(similarity / temperature); `null`: each neighbour has one vote.",
    )
    distance: Literal["cosine", "euclid"] = Field(
        "cosine", description="Similarity of features: cosine, or minus the squared Euclidean distance (`euclid`)."
    )
    bank_drop: bool = Field(
        False, description="True: cut the training features to a multiple of `batch_size`, as in the code of WACV 2024."
    )
    batch_size: Positive = Field(64, description="Batch size for `bank_drop`.")

    @property
    def parts(self) -> tuple[Split, ...]:
        """Validation is needed to choose k."""
        return SPLITS if self.k == "auto" else UNCHOSEN


class NearestMean(Settings):
    """Cosine similarity of an image and the mean feature of each class's training images."""

    kind: ClassVar[Kind] = Kind("nearest-mean", version=2, seeded=False, images=False)
    temperature: float = Field(
        0.1, gt=0, description="Temperature by which cosine similarities are divided before the softmax."
    )

    @property
    def parts(self) -> tuple[Split, ...]:
        """Nothing is chosen."""
        return UNCHOSEN


class LinearProbe(Settings):
    """Logistic regression on frozen features."""

    kind: ClassVar[Kind] = Kind("linear-probe", version=3, seeded=False, images=False)
    C: list[Rate] = Field(
        default=[0.316],
        min_length=1,
        description="Candidates for the inverse regularisation strength C; chosen on validation.",
    )
    balanced: bool = Field(True, description="True: class k has the weight n / (c n_k).")
    scale: bool = Field(False, description="True: standardise features by mean and standard deviation on train.")
    refit: bool = Field(
        False,
        description="True: fit again on train and val with the chosen C before test; validation scores are "
        "those of the first fit.",
    )
    max_iter: Positive = Field(1000, description="Maximum number of iterations of a fit.")

    @property
    def parts(self) -> tuple[Split, ...]:
        """Validation is needed to choose among several C."""
        return SPLITS if len(set(self.C)) > 1 else UNCHOSEN
