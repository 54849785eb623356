"""The paired difference of two groups in a metric that is not in records, from their stored predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from medbench.metrics.measures import Measure, Predictions
from medbench.metrics.scores import Array
from medbench.metrics.weighted_ranking import Weights
from medbench.records.groups import Group
from medbench.report import cache
from medbench.report.measured import Loaded, load_predictions
from medbench.stats.bootstrap import evaluate_many
from medbench.stats.jackknife import Term
from medbench.stats.paired import difference
from medbench.stats.resampling import Design, design


def measured_difference(
    pair: tuple[Group, Group], ids: Sequence[str], one: Measure, draws: int, *, same_seeds: bool
) -> cache.Numbers:
    """Return A - B with interval, p, and the values of each seed (`a 0` is that of A's first seed).

    Each seed of each side has its own thresholds and temperatures, which validation chose. They are the same in all
    draws. Swapping predictions would mix them, so there is no permutation test: its p is nan.

    Args:
        pair: A and B.
        ids: The test images, in the order of A.
        one: The metric.
        draws: Of the bootstrap over patients (images where none are known) and seeds.
        same_seeds: Whether both have the same training seeds, so that they are drawn together.

    Returns:
        The numbers; none where predictions that the metric needs are damaged or missing.
    """
    a, b = (load_predictions(group) for group in pair)
    if a is None or b is None or not (a.usable(one) and b.usable(one)):
        return {}
    plan = design(a.targets, a.groups)
    first, second = (_term(side, ids, one, plan, draws) for side in (a, b))
    drawn = difference(first, second, plan, same_seeds=same_seeds)
    ends = drawn.interval()
    seeds = {f"{side} {i}": float(x) for side, term in (("a", first), ("b", second)) for i, x in enumerate(term.split)}
    return seeds | {
        "difference": drawn.value,
        "low": ends.low,
        "high": ends.high,
        "se": ends.se,
        "freedom": min(drawn.shape.freedom, 1e9),  # JSON has no infinity
        "p": drawn.p(),
        "permutation": math.nan,
    }


def _term(side: Loaded, ids: Sequence[str], one: Measure, plan: Design, draws: int) -> Term:
    """Return the metric of each seed on the split and on the draws, the images in the order of `ids`."""
    places = {name: i for i, name in enumerate(side.ids)}
    order = np.array([places[name] for name in ids])
    seeds = [
        one.values(Predictions(test.log_odds[order], test.targets[order]), validation)
        for test, validation in side.seeds
    ]

    def values(weights: Weights) -> Array:
        return np.stack([of_seed(weights) for of_seed in seeds], axis=1)

    return evaluate_many(values, plan, draws)[0]
