"""A signed-rank test over (data set, seed) pairs, and Holm's correction of many p."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from medbench.errors import MedbenchError
from medbench.metrics.scores import Array

FEWEST = 6
"""Pairs that a two-sided signed-rank test needs for p < 0.05: 2 / 2**6 = 0.031, but 2 / 2**5 = 0.063."""


@dataclass(frozen=True)
class Wilcoxon:
    """A two-sided Wilcoxon signed-rank test.

    Attributes:
        n: Pairs that differ.
        zeros: Pairs without a difference, dropped.
        statistic: The smaller of the rank sums of positive and of negative differences.
        p: The two-sided p.
    """

    n: int
    zeros: int
    statistic: float
    p: float


def wilcoxon(differences: Iterable[float]) -> Wilcoxon:
    """Test whether differences are symmetric about 0 (scipy's two-sided signed-rank test, zero differences dropped).

    The test takes pairs as independent. Pairs of one data set are not, because they share its test images. So with few
    data sets and many seeds, p is too small.

    Args:
        differences: One per pair; differences below 1e-12 are rounding errors and count as zero.

    Raises:
        MedbenchError: Fewer than six pairs differ, so that no result could be significant.
    """
    every = np.round(np.fromiter(differences, np.float64), 12)
    kept = every[every != 0]
    if len(kept) < FEWEST:
        raise MedbenchError(
            f"a Wilcoxon signed-rank test needs {FEWEST} pairs that differ, and there are {len(kept)}",
            "run more seeds (--seeds) or more data sets with both",
        )
    from scipy.stats import wilcoxon as signed_rank

    found = signed_rank(kept, zero_method="wilcox", alternative="two-sided")
    return Wilcoxon(len(kept), len(every) - len(kept), float(found.statistic), float(found.pvalue))


def holm(p: Iterable[float]) -> Array:
    """Return each p of a family of tests, adjusted after Holm (1979).

    The k-th smallest of m is multiplied by m - k + 1, then raised to at least the result of the smaller ones, and cut
    to 1. If you reject at a result of 0.05 or less, the probability of any false rejection is at most 0.05, however the
    tests depend on each other.

    Args:
        p: The family; nan: a test that was not made. It does not count and stays nan.
    """
    values = np.fromiter(p, np.float64)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    adjusted = np.full(len(values), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted
