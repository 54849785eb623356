"""Predictions in bins of confidence: how sure they are, and how often they are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medbench.metrics.formulas import equal_width
from medbench.metrics.measures.class_sums import equal_mass
from medbench.metrics.scores import Array, Floats, Ints
from medbench.stats.proportions import shares


@dataclass(frozen=True)
class Bins:
    """Bins of confidence, pooled over the seeds; nan in empty bins.

    Attributes:
        mean: (b,) mean confidence.
        share: (b,) share of predictions that are right.
        low: (b,) lower end of the 95 % interval of `share`, with patients as units.
        high: (b,) its upper end.
        count: (b,) predictions in the bin.
    """

    mean: Array
    share: Array
    low: Array
    high: Array
    count: Ints


def confidence_of(
    probabilities: Floats, targets: NDArray[np.generic], k: int | None = None
) -> tuple[Array, NDArray[np.bool_]]:
    """Return (confidences, whether they come true), both (n, m).

    Args:
        probabilities: (n, c).
        targets: (n,) class numbers, or (n, c) zeros and ones.
        k: One class against the rest, m = 1; None: the predicted class, m = 1, or for several labels all, m = c.
    """
    p = np.asarray(probabilities, np.float64)
    if targets.ndim == 2:
        has = np.asarray(targets != 0)
        return (p, has) if k is None else (p[:, [k]], has[:, [k]])
    if k is not None:
        return p[:, [k]], np.asarray(targets == k)[:, None]
    return p.max(axis=1, keepdims=True), np.asarray(p.argmax(axis=1) == targets)[:, None]


def binned(
    seeds: Sequence[tuple[Array, NDArray[np.bool_]]], groups: NDArray[np.generic] | None, size: int, mass: bool = False
) -> Bins:
    """Return the bins of all seeds' predictions together.

    Args:
        seeds: What `confidence_of` gives for each seed.
        groups: (n,) patient of each image; None: images are the units of intervals.
        size: Number of bins.
        mass: Whether each bin has as many predictions; else bins are of equal width, (low, high].
    """
    confidence, right = (np.concatenate([seed[place] for seed in seeds]) for place in (0, 1))
    flat = confidence.reshape(-1, 1)
    bins = (equal_mass(flat, size) if mass else equal_width(flat, size)).ravel()
    n, m = seeds[0][0].shape
    member = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    unit = np.tile(np.repeat(member, m), len(seeds))
    units = int(member.max()) + 1 if n else 0
    cells = bins * units + unit

    def sums(weights: NDArray[np.generic]) -> Array:
        found = np.bincount(cells, weights=weights.ravel().astype(np.float64), minlength=size * units)
        return found.reshape(size, units) / len(seeds)

    count = np.bincount(bins, minlength=size)
    share, low, high = shares(sums(right), sums(np.ones(len(flat))))
    with np.errstate(invalid="ignore"):
        mean = np.bincount(bins, weights=flat.ravel(), minlength=size) / count
    return Bins(mean, share, low, high, np.asarray(count, np.int64))
