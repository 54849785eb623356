"""Scores and targets of one split; counts that several metrics share are computed once."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Array = NDArray[np.float64]
Ints = NDArray[np.int64]


class Scores:
    """Scores and targets of one split.

    Attributes:
        scores: (n, c) probabilities in any float type: a softmax, or one sigmoid per label.
        targets: (n,) class numbers from 0 to c - 1, or (n, c) zeros and ones for multilabel tasks.
        ranks: (n, c) numbers in the order of each class's scores, such as log-odds, which do not round to 0 or 1; the
            scores themselves if none are given.

    Raises:
        ValueError: The shapes do not fit, or a class number is out of range.
    """

    def __init__(self, scores: Floats, targets: NDArray[np.generic], ranks: Floats | None = None) -> None:
        self.scores, self.targets = np.asarray(scores), np.asarray(targets)
        self.ranks = self.scores if ranks is None else np.asarray(ranks)
        if self.scores.ndim != 2 or self.targets.shape not in (self.scores.shape[:1], self.scores.shape):
            raise ValueError(f"scores of shape {self.scores.shape} do not fit targets of shape {self.targets.shape}")
        self.n, self.c = self.scores.shape
        self.multilabel = self.targets.ndim == 2
        if not self.multilabel and self.n and not (self.targets.min() >= 0 and self.targets.max() < self.c):
            raise ValueError(f"class numbers must be from 0 to {self.c - 1}")

    @cached_property
    def finite(self) -> bool:
        """Whether there are samples and all scores are numbers; otherwise no metric is defined."""
        return self.n > 0 and bool(np.isfinite(self.scores).all())

    @cached_property
    def confusion(self) -> Ints:
        """(c, c) counts, target by prediction; the first of equal highest scores is the prediction."""
        counts: Ints = confusions(self.scores[None], self.targets)[0]
        return counts

    @cached_property
    def positives(self) -> Ints:
        """(c,) number of samples of each class, or with each finding."""
        if self.multilabel:
            return np.asarray((self.targets != 0).sum(axis=0), np.int64)
        return np.asarray(np.bincount(self.targets.astype(np.int64), minlength=self.c), np.int64)

    @cached_property
    def hits(self) -> tuple[Ints, Ints]:
        """Multilabel, at a score of 0.5 or more: (c,) true positives and (c,) predicted positives."""
        called = self.scores >= 0.5
        true = called & (self.targets != 0)
        return np.asarray(true.sum(axis=0), np.int64), np.asarray(called.sum(axis=0), np.int64)

    @cached_property
    def _sorted(self) -> list[tuple[Floats, Floats]]:
        """Per class, the sorted scores of the samples with it and of those without it."""
        parts = []
        for k in range(self.c):
            has = self.targets[:, k] != 0 if self.multilabel else self.targets == k
            column = self.ranks[:, k]
            parts.append((np.sort(column[has]), np.sort(column[~has])))
        return parts

    def auroc(self, k: int) -> float:
        """Return the area under the ROC curve of class `k` against the rest; nan without positives or negatives.

        It is the share of (positive, negative) pairs in the right order, with ties as one half.
        """
        positive, negative = self._sorted[k]
        if not len(positive) or not len(negative):
            return float("nan")
        few, many = (positive, negative) if len(positive) < len(negative) else (negative, positive)
        # Twice the number of pairs where the sample of `few` is higher: integers, so the sum is exact.
        above = int(np.searchsorted(many, few, "left").sum()) + int(np.searchsorted(many, few, "right").sum())
        share = above / (2 * len(few) * len(many))
        return share if few is positive else 1 - share

    def ap(self, k: int) -> float:
        """Return the average precision of class `k`; nan without positives.

        It is the mean over the positives of the precision among all samples with the same or a higher score.
        """
        positive, negative = self._sorted[k]
        if not len(positive):
            return float("nan")
        true = len(positive) - np.searchsorted(positive, positive, "left")
        false = len(negative) - np.searchsorted(negative, positive, "left")
        return float(np.mean(true / (true + false)))

    @cached_property
    def aurocs(self) -> Array:
        """(c,) areas under the ROC curve, one class against the rest; nan where undefined."""
        return np.array([self.auroc(k) for k in range(self.c)])

    @cached_property
    def aps(self) -> Array:
        """(c,) average precisions, one class against the rest; nan where undefined."""
        return np.array([self.ap(k) for k in range(self.c)])


def confusions(scores: Floats, targets: NDArray[np.generic]) -> Ints:
    """Return the (m, c, c) confusion counts, target by prediction, of `m` sets of (n, c) scores."""
    m, _, c = scores.shape
    predicted = scores.argmax(axis=2)
    cells = (np.arange(m) * c)[:, None] * c + targets.astype(np.int64) * c + predicted
    return np.bincount(cells.ravel(), minlength=m * c * c).reshape(m, c, c)
