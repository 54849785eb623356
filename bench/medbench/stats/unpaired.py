"""One model on two test sets: how much a metric falls from one to the other, and how sure that is.

The sets share no patient, so each is drawn separately, within its own strata; a draw of both is one draw of a design
with the units of both. Training seeds are a further level. Both sides have the same seeds, since they have one model.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medbench.metrics.scores import Array, Floats
from medbench.metrics.weighted import Weighted, weighted
from medbench.metrics.weighted_ranking import Weights
from medbench.stats.bootstrap import DRAWS, Draws, combine
from medbench.stats.jackknife import Term
from medbench.stats.resampling import Design, design


class Sample(NamedTuple):
    """Predictions on one test set.

    Attributes:
        scores: (s, n, c) probabilities of the training seeds, or (n, c).
        targets: (n,) class numbers, or (n, c) zeros and ones.
        groups: (n,) patient or lesion of each image: groups are drawn; None: images are drawn.
    """

    scores: Floats
    targets: NDArray[np.generic]
    groups: NDArray[np.generic] | None = None


def unpaired(metric_id: str, a: Sample, b: Sample, draws: int = DRAWS, seed: int = 0) -> Draws:
    """Return the bootstrap distribution of metric(a) - metric(b) on two sets without a common patient.

    Args:
        metric_id: The metric.
        a: The model's predictions on one set.
        b: On the other, with the same training seeds in the same order; their classes may be others.
        draws: How many.
        seed: Of the draws.

    Raises:
        CardError: The metric is unknown, or not for this form of targets.
        ValueError: The shapes do not fit, a set is empty, or the two have different numbers of seeds.
    """
    if len(_stacked(a.scores)) != len(_stacked(b.scores)):
        raise ValueError(f"{len(_stacked(a.scores))} and {len(_stacked(b.scores))} training seeds cannot be the same")
    first, second = (weighted(metric_id, _stacked(one.scores), one.targets) for one in (a, b))
    return apart(first, second, design(a.targets, a.groups), design(b.targets, b.groups), draws, seed)


def apart(first: Weighted, second: Weighted, a: Design, b: Design, draws: int = DRAWS, seed: int = 0) -> Draws:
    """Return the bootstrap distribution of the difference of any metric, as `unpaired` does.

    Args:
        first: (n, b) weights of the images of one set -> (s, b) values of the training seeds.
        second: The same of the other set, with the same training seeds.
        a: Design of the first set.
        b: Design of the second.
        draws: How many.
        seed: Of the draws.
    """
    n, plan = len(a.member), beside(a, b)

    def gap(weights: Weights) -> Array:
        return np.asarray(first(weights[:n]) - second(weights[n:]))

    split = gap(np.ones((len(plan.member), 1), np.float32))[:, 0]
    drawn = np.concatenate([gap(part).T for part in plan.weights(draws, seed)])
    lacking = np.concatenate([gap(part).T for part in plan.lacking(seed)])
    term = Term(split, drawn, tuple(np.split(lacking, np.cumsum(plan.blocks)[:-1])))
    return combine([term], plan, seed, skewed=False)


def beside(a: Design, b: Design) -> Design:
    """Return the design that draws the units of both, each within its own strata; the images of `b` come second."""
    member = np.concatenate([a.member, b.member + a.units])
    return Design(member, (*a.strata, *(units + a.units for units in b.strata)))


def _stacked(scores: Floats) -> Floats:
    return scores if scores.ndim == 3 else scores[None]
