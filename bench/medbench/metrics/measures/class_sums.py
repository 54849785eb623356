"""Metrics that are a function of sums over images: each takes (n, b) weights and gives (k, b) values, a row per class.

Weights of 1 give the metric itself. The weights of a bootstrap (how often each image is in a draw) give it on all
draws at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medbench.metrics.formulas import ratio
from medbench.metrics.scores import Array, Floats
from medbench.metrics.weighted_ranking import Weights

if TYPE_CHECKING:
    from scipy.sparse import csr_array

ByClass = Callable[[Weights], Array]
"""(n, b) weights -> (k, b) values, nan where undefined."""
FEW = 64
"""For up to so many sets of weights, sums are in double precision; for more (draws of a bootstrap), in single."""


def at_threshold(name: str, called: NDArray[np.bool_], has: NDArray[np.bool_], odds: float | Array = 1.0) -> ByClass:
    """Return a metric of the images that are called positive.

    Args:
        name: `sensitivity`: true positives among the images with the class. `specificity`: true negatives among the
            others. `ppv` and `npv`: correct ones among the images called positive, and among those called negative.
            `youden`: sensitivity + specificity - 1. `balanced_accuracy`: their mean. `net_benefit`: true positives
            minus `odds` times false positives, per image (Vickers and Elkin, "Decision curve analysis", Medical
            Decision Making 2006).
        called: (n, k) whether an image is called positive.
        has: (n, k) whether it has the class.
        odds: p / (1 - p) of the threshold probability p: the harm of a false positive in true positives. One for all
            columns, or (k, 1).
    """
    totals = _totals(np.stack([called & has, called & ~has, has, ~has]).transpose(0, 2, 1).astype(np.float64))

    def values(weights: Weights) -> Array:
        true, false, positives, negatives = totals(weights)
        sensitivity, specificity = ratio(true, positives), 1 - ratio(false, negatives)
        correct = negatives - false
        ways = {
            "sensitivity": lambda: sensitivity,
            "specificity": lambda: specificity,
            "ppv": lambda: ratio(true, true + false),
            "npv": lambda: ratio(correct, correct + positives - true),
            "youden": lambda: sensitivity + specificity - 1,
            "balanced_accuracy": lambda: (sensitivity + specificity) / 2,
            "net_benefit": lambda: ratio(true - odds * false, positives + negatives),
        }
        return ways[name]()

    return values


def mean(rows: Array) -> ByClass:
    """Return the mean over images of (n, k) values."""
    totals = _totals(rows.T[None])
    return lambda weights: ratio(totals(weights)[0], weights.sum(axis=0, dtype=np.float64))


def brier(probabilities: Floats, has: NDArray[np.bool_]) -> ByClass:
    """Return the Brier score of each class: the mean of (p - y)², from (n, k) probabilities and classes."""
    return mean(np.asarray((probabilities - has) ** 2, np.float64))


def brier_part(name: str, probabilities: Floats, has: NDArray[np.bool_], bins: NDArray[np.int64], size: int) -> ByClass:
    """Return a part of the Brier score of each class: it is reliability - resolution + uncertainty, exactly.

    Murphy, "A new vector partition of the probability score" (Journal of Applied Meteorology 1973), with the
    resolution of Stephenson et al., "Two extra components in the Brier score decomposition" (Weather and Forecasting
    2008), which includes the variation within bins.

    Args:
        name: `brier_reliability`: the mean over bins of (mean p - share of y)², weighted by their images.
            `brier_uncertainty`: the share of y times 1 minus this share. `brier_resolution`: the rest.
        probabilities: (n, k).
        has: (n, k).
        bins: (n, k) bin of each probability, from 0 to `size` - 1.
        size: Number of bins.
    """
    gaps, held, whole = _binned(bins, size, probabilities - has), _binned(bins, size), brier(probabilities, has)
    shares = mean(has.astype(np.float64))

    def values(weights: Weights) -> Array:
        share = shares(weights)
        uncertainty = share * (1 - share)
        if name == "brier_uncertainty":
            return uncertainty
        apart, images = gaps(weights), held(weights)
        squares = np.divide(apart**2, images, out=np.zeros_like(apart), where=images > 0).sum(axis=1)
        reliability = ratio(squares, weights.sum(axis=0, dtype=np.float64))
        return reliability if name == "brier_reliability" else reliability + uncertainty - whole(weights)

    return values


def reliability_gaps(probabilities: Floats, has: NDArray[np.bool_], bins: NDArray[np.int64], size: int) -> ByClass:
    """Return the root of each bin's part of the reliability, with the sign of share of y - mean p, as (k, size, b).

    The sum of the squares over bins is `brier_reliability`; arguments are those of `brier_part`.
    """
    gaps, held = _binned(bins, size, has - probabilities), _binned(bins, size)

    def values(weights: Weights) -> Array:
        images = held(weights) * weights.sum(axis=0, dtype=np.float64)
        apart = gaps(weights)
        found: Array = np.divide(apart, np.sqrt(images), out=np.zeros_like(apart), where=images > 0)
        return found

    return values


def calibration_gaps(probabilities: Floats, has: NDArray[np.bool_], bins: NDArray[np.int64], size: int) -> ByClass:
    """Return (share of y - mean p) of each bin, weighted by its share of the images, as (k, size, b).

    The sum of the absolute values over bins is the expected calibration error.

    Args:
        probabilities: (n, k) of each class, or (n, 1) of the predicted class.
        has: (n, k) whether the image has the class, or (n, 1) whether the prediction is right.
        bins: (n, k) bin of each probability, from 0 to `size` - 1.
        size: Number of bins.
    """
    gaps = _binned(bins, size, has - probabilities)
    return lambda weights: ratio(gaps(weights), np.asarray(weights.sum(axis=0, dtype=np.float64)))


def equal_mass(probabilities: Floats, size: int) -> NDArray[np.int64]:
    """Return the bin of each of (n, k) probabilities among `size` bins of each column, with as many images in each.

    The edges are quantiles of the column, as in scikit-learn's `calibration_curve`. Equal probabilities share a bin.
    """
    p = np.asarray(probabilities, np.float64)
    if not len(p):
        return np.zeros(p.shape, np.int64)
    edges = np.percentile(p, np.linspace(0, 100, size + 1)[1:-1], axis=0)
    found = [np.searchsorted(edges[:, k], p[:, k], "left") for k in range(p.shape[1])]
    return np.stack(found, axis=1).astype(np.int64)


def _totals(rows: Array) -> Callable[[Weights], Array]:
    """Return the function that sums (r, k, n) values over images: (n, b) weights -> (r, k, b)."""
    r, k, n = rows.shape
    total = _Sums(rows.reshape(r * k, n))
    return lambda weights: total(weights).reshape(r, k, -1)


def _binned(bins: NDArray[np.int64], size: int, values: Floats | None = None) -> Callable[[Weights], Array]:
    """Return the function that sums values, or 1, over the images of each class and bin: (n, b) -> (k, size, b)."""
    from scipy.sparse import csr_array

    n, k = bins.shape
    rows, columns = (np.arange(k) * size + bins).ravel(), np.repeat(np.arange(n), k)
    data = np.ones(n * k) if values is None else np.asarray(values, np.float64).ravel()
    total = _Sums(csr_array((data, (rows, columns)), shape=(k * size, n)))
    return lambda weights: total(weights).reshape(k, size, -1)


class _Sums:
    """Sums over images as a product with weights; that of many draws is in single precision, which is faster.

    Args:
        rows: (r, n), one row per sum.
    """

    def __init__(self, rows: Array | csr_array) -> None:
        self.exact, self.fast = rows, rows.astype(np.float32)

    def __call__(self, weights: Weights) -> Array:
        if weights.shape[1] <= FEW:
            return np.asarray(self.exact @ weights.astype(np.float64))
        return np.asarray(self.fast @ weights.astype(np.float32, copy=False), np.float64)
