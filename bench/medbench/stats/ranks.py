"""Ranks of entrants over several data sets: the tests of them, and a bootstrap of their mean ranks.

Two questions have two answers here.

- Would other data sets give this order? The Friedman test and Nemenyi's critical difference take the data sets as a
  sample, and each value as exact (Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 2006).
  They are weak with few data sets. A Bayesian signed-rank test (Benavoli et al., Time for a change, JMLR 2017) needs a
  margin that counts as equal, which a study over several metrics does not have, and it compares pairs alone; so it is
  not here.
- Would other patients and training seeds give this order, on these data sets? `Repeats` draws both, and ranks again.

The mean rank that a study has on average is the expectation of the rank over test sets and training seeds. Draws of a
bootstrap are too noisy for it: the noise of the split is in their centre, and each draw adds its own. Near a tie their
ranks therefore lie too close to the middle, and the 95 % of draws lies next to the truth; the deviation of the draws is
too small as well, since the entrants look further apart than they are. So the entrants of a data set are moved together
first, until their variance is what it would be without noise. Then the deviation of the draws is right, and the
interval is the mean rank ± 1.96 deviations. In simulations of 3 to 10 entrants on 4 to 12 data sets, equal or far
apart, it contains the truth in 93 to 98 % of studies. Plain percentiles do so in 70 to 98 %; and of the rank by
the true values, which no study can know where entrants are nearly equal, in 0 to 99 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from medbench.metrics.scores import Array
from medbench.stats.bootstrap import LEVEL

DECIMALS = 12
"""Values that differ less are equal: only the order of computing them differs."""


def ranks(values: Array) -> Array:
    """Return the ranks of the last axis: 1 for the highest value; equal values share the mean of their ranks.

    Args:
        values: (..., k) finite numbers; higher is better.
    """
    rounded = np.round(values, DECIMALS)
    one, others = rounded[..., :, None], rounded[..., None, :]
    return np.asarray(0.5 + (others > one).sum(axis=-1) + (others == one).sum(axis=-1) / 2)


@dataclass(frozen=True)
class Friedman:
    """The Friedman test of "all entrants are alike", and the critical difference that follows it.

    Attributes:
        entrants: k.
        datasets: N.
        statistic: Friedman's chi-square, corrected for ties; nan where all entrants are equal on all data sets.
        p: By Iman and Davenport's F with k - 1 and (k - 1)(N - 1) degrees of freedom, which is less conservative than
            chi-square (Demšar 2006); not below that of the same order on all data sets, (1 / k!)^(N - 1), which no
            study of this size can undercut. nan where the statistic is.
        difference: Nemenyi's critical difference of two mean ranks at 0.05.
    """

    entrants: int
    datasets: int
    statistic: float
    p: float
    difference: float

    @property
    def hopeless(self) -> bool:
        """Whether no two mean ranks can differ by the critical difference, whatever the results are."""
        return self.difference > self.entrants - 1


def friedman(found: Array, level: float = 1 - LEVEL) -> Friedman:
    """Return the Friedman test of ranks, with Nemenyi's critical difference.

    Args:
        found: (n, k) ranks on each data set; at least two of both.
        level: Of the critical difference.
    """
    from scipy.special import fdtrc

    n, k = found.shape
    spread = float(((found - (k + 1) / 2) ** 2).sum())
    between = float(((found.sum(axis=0) - n * (k + 1) / 2) ** 2).sum())
    statistic = (k - 1) * between / spread if spread else math.nan
    rest = n * (k - 1) - statistic  # 0 where all data sets have the same order
    p = float(math.factorial(k)) ** (1 - n)
    if rest > 1e-9 * n * k:
        p = max(p, float(fdtrc(k - 1, (k - 1) * (n - 1), (n - 1) * statistic / rest)))
    return Friedman(k, n, statistic, p if spread else math.nan, critical_difference(k, n, level))


def critical_difference(entrants: int, datasets: int, level: float = 1 - LEVEL) -> float:
    """Return Nemenyi's critical difference of two mean ranks: q sqrt(k (k + 1) / 6N), Demšar 2006.

    Args:
        entrants: k.
        datasets: N.
        level: Of all pairs together.
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - level, entrants, np.inf)) / math.sqrt(2)
    return q * math.sqrt(entrants * (entrants + 1) / (6 * datasets))


def bars(mean_ranks: Sequence[float], difference: float) -> list[tuple[int, ...]]:
    """Return the groups that a critical-difference diagram joins by a bar: the largest whose ends do not differ.

    Args:
        mean_ranks: (k,).
        difference: The critical difference.

    Returns:
        Places of the entrants of each group of two or more, the best first.
    """
    order = sorted(range(len(mean_ranks)), key=lambda i: (mean_ranks[i], i))
    found: list[tuple[int, ...]] = []
    for i, first in enumerate(order):
        group = tuple(j for j in order[i:] if mean_ranks[j] - mean_ranks[first] <= difference)
        if len(group) > 1 and not (found and set(group) <= set(found[-1])):
            found.append(group)
    return found


@dataclass(frozen=True)
class Repeats:
    """A study of k entrants on N data sets, repeated with other test patients and training seeds.

    Attributes:
        values: (N, k) the metrics, higher is better.
        noise: (N, b, k) what each draw of a bootstrap adds to them. Entrants of one data set share its draws.
    """

    values: Array
    noise: Array

    @cached_property
    def mean_ranks(self) -> Array:
        """(k,) the mean rank of each entrant."""
        return np.asarray(ranks(self.values).mean(axis=0))

    @cached_property
    def factors(self) -> Array:
        """(N, 1) how far entrants are moved towards the mean of a data set: to 1 (not at all) or 0 (all are equal).

        A factor is the square root of the share of the entrants' variance that is not noise, so that moved entrants
        vary as without noise (Louis, Estimating a population of parameter values using Bayes and empirical Bayes
        methods, JASA 1984). Few entrants tell this share badly, so it is that of the data set, or of all data sets
        together, whichever is smaller.
        """
        seen = self.values.var(axis=1, ddof=1)
        noise = self.noise.var(axis=2, ddof=1).mean(axis=1)
        ratios = np.divide(seen, noise, out=np.full(len(seen), np.inf), where=noise > 0)
        known = ratios[np.isfinite(ratios)]
        pooled = known.mean() if len(known) else np.inf
        return np.asarray(np.sqrt(1 - 1 / np.maximum(np.minimum(ratios, pooled), 1)))[:, None]

    @cached_property
    def drawn(self) -> Array:
        """(b, k) the mean ranks of each repeat, with entrants moved together: for their spread, not their order."""
        centre = self.values.mean(axis=1, keepdims=True)
        moved = centre + self.factors * (self.values - centre)
        return np.asarray(ranks(moved[:, None] + self.noise).mean(axis=0))

    def intervals(self, level: float = LEVEL) -> list[tuple[float, float]]:
        """Return the interval of each mean rank that contains its expectation in a share `level` of studies."""
        reach = NormalDist().inv_cdf((1 + level) / 2) * self.drawn.std(axis=0, ddof=1)
        low, high = (np.clip(self.mean_ranks + end, 1, self.values.shape[1]) for end in (-reach, reach))
        return list(zip(low.tolist(), high.tolist(), strict=True))

    @cached_property
    def first(self) -> Array:
        """(k,) the share of draws in which each entrant has the best mean rank; equal ones share a draw.

        Here no entrant is moved: the question is which one is the best, given what was seen.
        """
        places = ranks(-ranks(self.values[:, None] + self.noise).mean(axis=0))
        best = places == places.min(axis=1, keepdims=True)
        return np.asarray((best / best.sum(axis=1, keepdims=True)).mean(axis=0))

    def alike(self, level: float = 1 - LEVEL) -> NDArray[np.bool_]:
        """Return (k,) which entrants the repeats do not tell from the best mean rank; the best is one of them.

        Differences of mean ranks are compared with their deviation over the repeats. The limit holds for all pairs at
        once (the largest of all, as in Tukey's test), since the results chose which entrant is the best.
        """
        one, two = np.triu_indices(self.values.shape[1], 1)
        apart = self.drawn[:, one] - self.drawn[:, two]
        apart = apart - apart.mean(axis=0)
        spread = apart.std(axis=0, ddof=1)
        moving = spread > 0
        largest = np.max(np.abs(apart[:, moving]) / spread[moving], axis=1, initial=0.0)
        limit = float(np.quantile(largest, 1 - level))
        gaps = np.abs(self.mean_ranks[one] - self.mean_ranks[two])
        same = np.eye(self.values.shape[1], dtype=bool)
        same[one, two] = same[two, one] = gaps <= limit * spread
        return np.asarray(same[self.mean_ranks.argmin()])
