"""Two models on the same test images: how far apart they are, and whether that could be chance.

Two tests are here. The bootstrap asks how the difference would come out on other test splits and with other training
seeds, and its p is the interval's: below 0.05 just where the 95 % interval leaves 0 out. The permutation test asks
whether these very predictions could have come from either model alike; it is exact for that, but knows of no training
seed other than those run and gives no interval. The bootstrap is the default for its question is the usual one, it
answers with an interval, and every metric has it on the same footing: scores need not be on one scale, as a swap
between two models asks for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medbench.metrics.scores import Array, Floats
from medbench.metrics.weighted import RANKED, weighted
from medbench.metrics.weighted_ranking import AT_ONCE, Weights
from medbench.seeding import generator
from medbench.stats.bootstrap import DRAWS, Draws, combine, evaluate
from medbench.stats.jackknife import Term
from medbench.stats.resampling import Design, design

SLACK = 1e-12
"""Two differences this close are one, computed in another order."""


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
        groups: (n,) patient or lesion of each image, drawn whole; None: images are drawn.
        draws: How many.
        seed: Of the draws.
        stratified: Draw within strata (`design.design`).
        same_seeds: Set j of both is of the same training seed, and is drawn with it; False: those of each model are
            drawn on their own.

    Raises:
        ValueError: The shapes do not fit; with `same_seeds`, also where the numbers of sets differ.
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
        groups: (n,) patient or lesion of each sample, drawn whole; None: samples are drawn.
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
    """Return the distribution of one - two, of terms evaluated with one plan and seed; as `paired`."""
    if not same_seeds:
        return combine([one, two.negative()], plan, seed, skewed=False)
    if one.split.shape != two.split.shape:
        raise ValueError(f"{len(one.split)} and {len(two.split)} training seeds cannot be the same")
    return combine([one.minus(two)], plan, seed, skewed=False)


def detectable(se: float, level: float = 0.05, power: float = 0.8, freedom: float = math.inf) -> float:
    """Return the minimal detectable difference, (t_(1 - level/2) + t_power) · se: 2.80 se for large `freedom`.

    A true difference of that size is told from 0, by a two-sided test at `level`, on about a share `power` of all test
    splits like this one.

    Args:
        se: Standard error of the paired difference.
        level: Of the test.
        power: Chance to find the difference.
        freedom: Degrees of freedom of the standard error; few where it rests on a few training seeds.
    """
    from scipy.stats import t

    return float(t.ppf(1 - level / 2, freedom) + t.ppf(power, freedom)) * se


def permutation(
    metric_id: str,
    a: Floats,
    b: Floats,
    targets: NDArray[np.generic],
    groups: NDArray[np.generic] | None = None,
    permutations: int = DRAWS,
    seed: int = 0,
) -> float:
    """Return the two-sided p of "a unit's predictions could be either model's", by swapping them unit by unit.

    A unit is a group, or an image; all its images and all training seeds are swapped together. For ranking metrics
    each class's scores are first made ranks within their model and seed, which leaves the metric as it is: swapping
    between scales would change it. p is (1 + number of permutations at least as far from 0) / (1 + permutations):
    Phipson and Smyth, Permutation p-values should never be zero, 2010.

    Args:
        metric_id: The metric.
        a: (s, n, c) probabilities of one model's training seeds, or (n, c).
        b: The same of the other model; one of the two may have one set that stands against each of the other's.
        targets: (n,) class numbers, or (n, c) zeros and ones.
        groups: (n,) patient or lesion of each image; None: each image stands for itself.
        permutations: How many.
        seed: Of the permutations.

    Returns:
        p; nan where the metric is undefined.

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
    """Return (s, n, c) mean ranks of each set's scores of each class."""
    from scipy.stats import rankdata

    ranks: Floats = rankdata(scores, axis=1)
    return ranks


def _sides(plan: Design, permutations: int, seed: int) -> Iterator[Weights]:
    """Yield (n, b) ones where an image keeps its side, zeros where the models are swapped."""
    source = generator("permutation", seed)
    at_once = max(1, AT_ONCE // (2 * max(len(plan.member), 1)))
    for start in range(0, permutations, at_once):
        b = min(at_once, permutations - start)
        yield source.integers(0, 2, (plan.units, b)).astype(np.float32)[plan.member]
