"""Two models on the same test images: the difference of a metric, and whether it could be chance.

There are two tests. The bootstrap asks what the difference would be on other test splits and with other training seeds.
Its p belongs to its interval: it is below 0.05 exactly when the 95 % interval excludes 0. The permutation test asks
whether each prediction could as well be the other model's. It is exact, but it knows only the training seeds that were
run, and it has no interval. The bootstrap is the default: its question is the usual one, it has an interval, and it
works for all metrics alike, while a permutation needs both models' scores on one scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medbench.metrics.log_odds import RANKED
from medbench.metrics.scores import Array, Floats
from medbench.metrics.weighted import weighted
from medbench.metrics.weighted_ranking import AT_ONCE, Weights
from medbench.seeding import generator
from medbench.stats.bootstrap import DRAWS, Draws, combine, evaluate, t_quantile
from medbench.stats.jackknife import Term
from medbench.stats.resampling import Design, design

SLACK = 1e-12
"""Two differences this close are equal: only the order of computing them differs."""


def paired(
    metric_id: str,
    a: Floats,
    b: Floats,
    targets: NDArray[np.generic],
    groups: NDArray[np.generic] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    stratified: bool = True,
    same_seeds: bool = True,
) -> Draws:
    """Return the bootstrap distribution of metric(a) - metric(b), both on the same draws.

    Args:
        metric_id: The metric.
        a: (s, n, c) probabilities of one model's training seeds, or (n, c).
        b: The same of the other model, (t, n, c) or (n, c).
        targets: (n,) class numbers, or (n, c) zeros and ones.
        groups: (n,) patient or lesion of each image: groups are drawn; None: images are drawn.
        draws: How many.
        seed: Of the draws.
        stratified: Draw within strata (`resampling.design`).
        same_seeds: Set j of both models is of the same training seed, and both are drawn together. False: each model's
            seeds are drawn separately.

    Raises:
        ValueError: The shapes do not fit; with `same_seeds`, also if the models have different numbers of seeds.
    """
    plan = design(targets, groups, stratified)
    one, two = (evaluate(metric_id, scores, targets, plan, draws, seed) for scores in (a, b))
    return difference(one, two, plan, seed, same_seeds)


def paired_se(
    metric_id: str,
    a: Floats,
    b: Floats,
    targets: NDArray[np.generic],
    groups: NDArray[np.generic] | None = None,
    draws: int = 200,
    seed: int = 0,
) -> float:
    """Return the standard error of metric(a) - metric(b) over other sets of samples, with the training seeds as given.

    Both are scored on the same draws, so what makes a sample easy or hard for both cancels. If the gap of two
    candidates is smaller than this, chance decided between them as much as merit.

    Args:
        metric_id: The metric.
        a: (s, n, c) probabilities of one candidate's training seeds, whose metrics are averaged, or (n, c) of one.
        b: The same of the other candidate, with the same seeds.
        targets: (n,) class numbers, or (n, c) zeros and ones.
        groups: (n,) patient or lesion of each sample: groups are drawn; None: samples are drawn.
        draws: How many. The relative error of the result is about 1 / sqrt(2 draws): 5 % for 200.
        seed: Of the draws: same arguments, same result.

    Returns:
        The standard error; nan if the metric is defined on fewer than two draws.

    Raises:
        ValueError: The shapes do not fit.
    """
    plan = design(targets, groups, stratified=False)
    one, two = (evaluate(metric_id, scores, targets, plan, draws, seed) for scores in (a, b))
    return combine([one.minus(two).averaged()], plan, seed).se


def difference(one: Term, two: Term, plan: Design, seed: int = 0, same_seeds: bool = True) -> Draws:
    """Return the distribution of one - two, as `paired` does; both were evaluated with the same plan and seed."""
    if not same_seeds:
        return combine([one, two.negative()], plan, seed, skewed=False)
    if one.split.shape != two.split.shape:
        raise ValueError(f"{len(one.split)} and {len(two.split)} training seeds cannot be the same")
    return combine([one.minus(two)], plan, seed, skewed=False)


def detectable(se: float, level: float = 0.05, power: float = 0.8, freedom: float = math.inf) -> float:
    """Return the minimal detectable difference, (t_(1 - level/2) + t_power) · se: 2.80 se for large `freedom`.

    If the true difference is this large, a two-sided test at `level` finds it on about a share `power` of test splits
    like this one.

    Args:
        se: Standard error of the paired difference.
        level: Of the test.
        power: Probability that the test finds the difference.
        freedom: Degrees of freedom of the standard error; few if it is estimated from few training seeds.
    """
    return (t_quantile(1 - level / 2, freedom) + t_quantile(power, freedom)) * se


def permutation(
    metric_id: str,
    a: Floats,
    b: Floats,
    targets: NDArray[np.generic],
    groups: NDArray[np.generic] | None = None,
    permutations: int = DRAWS,
    seed: int = 0,
) -> float:
    """Return the two-sided p of "each unit's predictions could be either model's", by swapping units at random.

    A unit is a group, or an image; all its images and all training seeds are swapped together. For ranking metrics each
    class's scores are first replaced by their ranks within their model and seed. This does not change the metric, while
    a swap between two scales would. p is (1 + number of permutations at least as far from 0) / (1 + permutations):
    Phipson and Smyth, Permutation p-values should never be zero, 2010.

    Args:
        metric_id: The metric.
        a: (s, n, c) probabilities of one model's training seeds, or (n, c).
        b: The same of the other model. If one of the two has one set, it is compared with each set of the other.
        targets: (n,) class numbers, or (n, c) zeros and ones.
        groups: (n,) patient or lesion of each image; None: each image is a unit.
        permutations: How many.
        seed: Of the permutations.

    Returns:
        p; nan if the metric is undefined.

    Raises:
        ValueError: The shapes do not fit.
    """
    one, two = (_ranked(scores) if metric_id in RANKED else scores for scores in map(_stacked, (a, b)))
    one, two = np.broadcast_arrays(one, two) if 1 in (len(one), len(two)) else (one, two)
    values = weighted(metric_id, np.concatenate([one, two], axis=1), np.concatenate([targets, targets]))

    def gaps(first: Weights) -> Array:
        kept, swapped = np.concatenate([first, 1 - first]), np.concatenate([1 - first, first])
        return np.asarray(values(kept).mean(axis=0) - values(swapped).mean(axis=0))

    found = float(gaps(np.ones((len(targets), 1), np.float32))[0])
    under_null = np.concatenate([gaps(part) for part in _sides(design(targets, groups, False), permutations, seed)])
    known = under_null[~np.isnan(under_null)]
    if math.isnan(found) or not len(known):
        return math.nan
    return float(1 + np.sum(np.abs(known) >= abs(found) - SLACK)) / (1 + len(known))


def _stacked(scores: Floats) -> Floats:
    return scores if scores.ndim == 3 else scores[None]


def _ranked(scores: Floats) -> Floats:
    """Return (s, n, c) ranks within each set and class; ties have their mean rank."""
    from scipy.stats import rankdata

    ranks: Floats = rankdata(scores, axis=1)
    return ranks


def _sides(plan: Design, permutations: int, seed: int) -> Iterator[Weights]:
    """Yield (n, b): one where an image keeps its model, zero where the models are swapped."""
    source = generator("permutation", seed)
    at_once = max(1, AT_ONCE // (2 * max(len(plan.member), 1)))
    for start in range(0, permutations, at_once):
        b = min(at_once, permutations - start)
        yield source.integers(0, 2, (plan.units, b)).astype(np.float32)[plan.member]
