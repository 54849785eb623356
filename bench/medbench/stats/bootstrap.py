"""How far a metric can be trusted: a bootstrap over patients and training seeds, and its interval.

Patients (images if no patients are known) are drawn with replacement within strata by class, so a draw is another test
split of the same make-up. Training seeds are a second level, crossed with the first. The interval is BCa (Efron, Better
bootstrap confidence intervals, JASA 1987) with a small-sample correction: a draw of m from m has (m - 1) / m of the
variance (Hesterberg, What teachers should know about the bootstrap, The American Statistician 2015). The draws give its
bias; a jackknife gives its skewness and the correction. In simulations with 100 images it covers the true value in 93
to 96 % of test splits, plain percentiles in 84 to 94 %. Where few draws reach, `deviates` continues their distribution,
so p has no floor that depends on the number of draws.

Own code: scipy's bootstrap takes 10.8 s for what takes 0.05 s here, and cannot draw patients.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medbench.metrics.scores import Array, Floats
from medbench.metrics.weighted import weighted
from medbench.metrics.weighted_ranking import Weights
from medbench.seeding import generator
from medbench.stats.deviates import NORMAL, Deviates
from medbench.stats.jackknife import Shape, Term, shape
from medbench.stats.resampling import Design, design

Many = Callable[[Weights], Array]
"""(n, b) weights of the images -> (m, s, b) values of m numbers of s training seeds."""
DRAWS = 2000
LEVEL = 0.95
FEW = 10
"""Draws beyond a point that are enough to tell its share: the relative error is then about a third."""
LEAST = sys.float_info.min
"""A p is never 0."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: Lower end; nan if fewer than two draws are defined.
        high: Upper end.
        se: Standard error: the deviation of the draws, with the same small-sample correction.
        draws: Number of draws.
        undefined: Draws left out because the metric is undefined there.
        level: Share of test splits whose interval contains the true value.
    """

    low: float
    high: float
    se: float
    draws: int
    undefined: int
    level: float = LEVEL


@dataclass(frozen=True)
class Draws:
    """The bootstrap distribution of a number.

    Attributes:
        value: The number itself, on the split; nan if undefined.
        values: (b,) the number on each draw; nan where undefined.
        shape: Skewness and correction, by the jackknife.
        skewed: Whether the interval corrects bias and skewness (BCa); False: percentiles. For a difference near 0 both
            are nearly 0, and estimating them adds noise: rejections of a true null at 0.05 would rise from 3 to 7 % to
            up to 13 % on 100 images.
        units: Units that are drawn: patients, or images.
    """

    value: float
    values: Array
    shape: Shape = field(default_factory=Shape)
    skewed: bool = True
    units: int = 0

    @cached_property
    def defined(self) -> Array:
        """The draws on which the number is defined, in ascending order."""
        return np.sort(self.values[~np.isnan(self.values)])

    @property
    def se(self) -> float:
        """Standard error; nan if fewer than two draws are defined."""
        known = self.defined
        return self.shape.spread * float(known.std(ddof=1)) if len(known) > 1 else math.nan

    def interval(self, level: float = LEVEL) -> Interval:
        """Return the interval that contains the true value for a share `level` of test splits.

        That of a metric ends within the draws, which never leave the metric's range; that of a difference may not.
        """
        known = self.defined
        low = high = math.nan
        if len(known) > 1 and not math.isnan(self.value):
            reach = self.shape.spread * t_quantile((1 + level) / 2, self.shape.freedom)
            ends = [self._corrected(end) for end in (-reach, reach)]
            if self.skewed:
                low, high = np.quantile(known, [NORMAL.cdf(end) for end in ends]).tolist()
            else:
                low, high = map(self._deviates.quantile, ends)
        return Interval(low, high, self.se, len(self.values), len(self.values) - len(known), level)

    def p(self, null: float = 0.0) -> float:
        """Return the two-sided p of "the number is `null`": the smallest 1 - level whose interval excludes `null`.

        nan where the interval is nan. Draws that are all equal, but not to `null`, have no spread to measure by. Then p
        is that of all units pointing the same way, 2 / 2^units, the least that a test of so many units can give.
        """
        if len(self.defined) < 2 or math.isnan(self.value):
            return math.nan
        low, high = (self._reach(z) for z in self._deviates.range_of(null))
        if low <= 0 <= high:
            return 1.0
        if math.isinf(low) and not self._deviates.spread:
            return max(2.0 ** (1 - self.units), LEAST)
        return max(2 * _t_tail(min(abs(low), abs(high)) / self.shape.spread, self.shape.freedom), LEAST)

    @cached_property
    def _deviates(self) -> Deviates:
        # A difference is near normal. A metric close to its limit is not: there the draws are the better guide.
        return Deviates(self.defined, 1 if self.skewed else FEW)

    @cached_property
    def _bias(self) -> float:
        """The `z0` of BCa."""
        return NORMAL.inv_cdf(_below(self.defined, self.value)) if self.skewed else 0.0

    @property
    def _acceleration(self) -> float:
        """The `a` of BCa."""
        return self.shape.acceleration if self.skewed else 0.0

    def _corrected(self, reach: float) -> float:
        """Return the deviate of the end of the interval that is `reach` standard errors away."""
        z = self._bias + reach
        return self._bias + z / max(1 - self._acceleration * z, 1e-9)

    def _reach(self, deviate: float) -> float:
        """Return how many standard errors away a deviate is: the inverse of `_corrected`."""
        if not self.skewed or math.isinf(deviate):
            return deviate
        gap = deviate - self._bias
        return gap / max(1 + self._acceleration * gap, 1e-9) - self._bias


def bootstrap(
    metric_id: str,
    scores: Floats,
    targets: NDArray[np.generic],
    groups: NDArray[np.generic] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    stratified: bool = True,
) -> Draws:
    """Return the bootstrap distribution of a metric, averaged over training seeds.

    Args:
        metric_id: The metric. If a draw has no image of a class, the mean leaves that class out, as in
            `medbench.metrics`.
        scores: (s, n, c) probabilities of `s` training seeds; or (n, c) of one, so that seeds are not drawn.
        targets: (n,) class numbers, or (n, c) zeros and ones.
        groups: (n,) patient or lesion of each image: groups are drawn; None: images are drawn.
        draws: How many. The same `groups`, `draws`, `seed` and targets draw the same images.
        seed: Of the draws.
        stratified: Draw within strata (`resampling.design`), for test splits of the same make-up. False: draw from all
            units, so that the make-up is random, too. This matters for metrics that depend on it: over splits of random
            make-up a stratified interval of quadratic κ covers the true value in 89 %, of AUROC in 95 %.

    Raises:
        CardError: The metric is unknown, or not for this form of targets.
        ValueError: The shapes do not fit, or a class number is out of range.
    """
    plan = design(targets, groups, stratified)
    return combine([evaluate(metric_id, scores, targets, plan, draws, seed)], plan, seed)


def evaluate(
    metric_id: str, scores: Floats, targets: NDArray[np.generic], plan: Design, draws: int = DRAWS, seed: int = 0
) -> Term:
    """Return a metric on the split, on the draws of `plan` and on its jackknife samples. See `bootstrap`."""
    values = weighted(metric_id, scores if scores.ndim == 3 else scores[None], targets)
    return evaluate_many(lambda weights: values(weights)[None], plan, draws, seed)[0]


def bootstrap_many(
    values: Many,
    targets: NDArray[np.generic],
    groups: NDArray[np.generic] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Draws]:
    """Return the bootstrap distributions of several numbers of one test split, all on the same draws.

    Args:
        values: (n, b) weights of the images -> (m, s, b) values of `m` numbers of `s` training seeds.
        targets: As for `bootstrap`.
        groups: (n,) patient or lesion of each image; None: images are drawn.
        draws: How many.
        seed: Of the draws.
    """
    plan = design(targets, groups)
    return [combine([term], plan, seed) for term in evaluate_many(values, plan, draws, seed)]


def evaluate_many(values: Many, plan: Design, draws: int = DRAWS, seed: int = 0) -> list[Term]:
    """Return `m` numbers on the split, on the draws of `plan` and on its jackknife samples. See `bootstrap_many`."""
    split = values(np.ones((len(plan.member), 1), np.float32))[:, :, 0]
    drawn = np.concatenate([values(part) for part in plan.weights(draws, seed)], axis=2)
    lacking = np.concatenate([values(part) for part in plan.lacking(seed)], axis=2)
    ends = np.cumsum(plan.blocks)[:-1]
    return [
        Term(one, on_draws, tuple(np.split(parts, ends)))
        for one, on_draws, parts in zip(split, drawn.swapaxes(1, 2), lacking.swapaxes(1, 2), strict=True)
    ]


def combine(terms: Sequence[Term], plan: Design, seed: int = 0, skewed: bool = True) -> Draws:
    """Return the distribution of the sum of the terms' means over seeds; each term's seeds are drawn separately."""
    value, values = 0.0, np.zeros(len(terms[0].drawn))
    for i, term in enumerate(terms):
        b, s = term.drawn.shape
        times = generator("bootstrap", "seeds", seed, i).multinomial(s, np.full(s, 1 / s), b) if s > 1 else 1
        values = values + np.where(times, term.drawn * times, 0).sum(axis=1) / s
        value += float(term.split.mean())
    return Draws(value, values, shape(terms, plan), skewed, plan.units)


def _below(known: Array, point: float) -> float:
    """Return the share of draws below a point, with ties as one half; always above 0 and below 1."""
    share = (np.searchsorted(known, point, "left") + np.searchsorted(known, point, "right")) / (2 * len(known))
    least = 1 / (len(known) + 1)
    return float(min(max(share, least), 1 - least))


def t_quantile(share: float, freedom: float) -> float:
    """Return the quantile of Student's t distribution below which a share lies; `freedom` may be infinite."""
    from scipy.special import stdtrit  # what scipy.stats.t.ppf calls; scipy.stats alone takes a second to import

    return float(stdtrit(freedom, share))


def _t_tail(point: float, freedom: float) -> float:
    from scipy.special import stdtr

    return float(stdtr(freedom, -point))
