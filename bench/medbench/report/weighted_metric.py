"""A metric of a group, of records or on demand, as a function of weights of its test images: what a bootstrap needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medbench import metrics, stats
from medbench.errors import CardError
from medbench.metrics import METRICS
from medbench.metrics.measures import Measure, Predictions, measure
from medbench.metrics.scores import Ints
from medbench.metrics.weighted import Weighted, weighted
from medbench.records.groups import Group
from medbench.report.inference import DRAWS, Predicted, predicted
from medbench.report.measured import Loaded, load_predictions
from medbench.report.tables.marks import stored
from medbench.stats.bootstrap import combine, evaluate_many
from medbench.stats.gaps import Gaps
from medbench.stats.jackknife import Term
from medbench.stats.resampling import Design, design


@dataclass(frozen=True)
class WeightedMetric:
    """A metric on the stored test predictions of a group.

    Attributes:
        ids: (n,) of the test images.
        targets: (n,) or (n, c).
        groups: (n,) patients; None where no two images share one.
        values: (n, b) weights of the images -> (s, b), one value for each training seed.
        gaps: (n, b) weights -> (1, s, r, b): the signed gaps of a calibration error (`Measure.gaps`); None for others.
        power: Of the gaps.
    """

    ids: tuple[str, ...]
    targets: NDArray[np.generic]
    groups: NDArray[np.generic] | None
    values: Weighted
    gaps: Gaps | None = None
    power: int = 1

    def compares(self, other: WeightedMetric) -> bool:
        """Tell whether the other's test images, in their order, and their targets are the same."""
        return self.ids == other.ids and np.array_equal(self.targets, other.targets)

    @cached_property
    def plan(self) -> Design:
        """The design of the draws; patients are kept whole."""
        return design(self.targets, self.groups)

    def term(self, draws: int = DRAWS, seed: int = 0) -> Term:
        """Return the metric on the split, on the draws of `plan` and on its jackknife samples."""
        return evaluate_many(lambda weights: self.values(weights)[None], self.plan, draws, seed)[0]

    def interval(self, term: Term, draws: int = DRAWS) -> stats.Interval:
        """Return the 95 % interval of the mean over the seeds, of which `term` has the draws."""
        if self.gaps is not None:
            return stats.gap_intervals(self.gaps, self.targets, self.groups, draws, power=self.power)[0]
        return combine([term], self.plan).interval()


def weighted_metric(
    group: Group, metric: str, held: Group | None = None, classes: Sequence[int] = ()
) -> WeightedMetric | None:
    """Return a metric of a group; None where predictions that it needs are missing or damaged.

    Args:
        group: The records.
        metric: The metric's id. One of `METRICS` is computed as for records, any other one on demand.
        held: Whose validation images choose thresholds and temperatures, with the same seeds; None: the group's own.
        classes: Places of the classes that count (`among`); none: all.
    """
    if not stored(group):
        return None
    if metric in METRICS:
        found = predicted(group)
        return None if found is None else of_records(among(found, classes) if classes else found, metric)
    try:
        one = measure(metric)
    except CardError:  # records of a later version
        return None
    chosen = held is not None and one.on_validation
    loaded = load_predictions(group, held if chosen else None) if held is None or stored(held) else None
    if loaded is None or not loaded.usable(one):
        return None
    return _on_demand(_loaded_among(loaded, classes) if classes else loaded, one)


def of_records(found: Predicted, metric: str) -> WeightedMetric:
    """Return one of `METRICS` on predictions."""
    values = weighted(metric, found.of(metric), found.targets)
    return WeightedMetric(found.ids, found.targets, found.groups, values, found.gaps(metric))


def _on_demand(loaded: Loaded, one: Measure) -> WeightedMetric:
    plans = [one.values(*seed) for seed in loaded.seeds]
    parts = [found for seed in loaded.seeds if (found := one.gaps(*seed)) is not None]
    return WeightedMetric(
        loaded.ids,
        loaded.targets,
        loaded.groups,
        lambda weights: np.concatenate([plan(weights) for plan in plans]),
        (lambda weights: np.stack([part(weights) for part in parts], axis=1)) if parts else None,
        one.power,
    )


def among(found: Predicted, columns: Sequence[int]) -> Predicted:
    """Return the predictions for some classes: of the images that have one of them, by the softmax over them.

    In a multilabel task all images stay, and the other findings are left out.
    """
    if len(columns) == found.scores.shape[2]:
        return found
    at, targets = _rows_among(found.targets, columns)
    if found.targets.ndim == 2:
        kept = None if found.ranks is None else found.ranks[:, :, columns]
        scores = found.scores[:, :, columns]
    else:
        kept = metrics.among(found.log_odds[:, at], columns)
        scores = metrics.probabilities(kept)
    return Predicted(tuple(np.array(found.ids)[at]), scores, targets, _chosen(found.groups, at), kept)


def _loaded_among(loaded: Loaded, columns: Sequence[int]) -> Loaded:
    """Return the same of log-odds; thresholds are chosen on the validation images that have one of the classes."""

    def part(one: Predictions) -> Predictions:
        if len(columns) == one.log_odds.shape[1]:
            return one
        at, targets = _rows_among(one.targets, columns)
        log_odds = one.log_odds[:, columns] if one.multilabel else metrics.among(one.log_odds[at], columns)
        return Predictions(log_odds, targets)

    seeds = [(part(test), None if held is None else part(held)) for test, held in loaded.seeds]
    at = np.arange(len(loaded.ids))
    if len(columns) < loaded.seeds[0][0].log_odds.shape[1]:
        at = _rows_among(loaded.targets, columns)[0]
    return Loaded(tuple(np.array(loaded.ids)[at]), seeds, seeds[0][0].targets, _chosen(loaded.groups, at))


def _rows_among(targets: NDArray[np.generic], columns: Sequence[int]) -> tuple[Ints, NDArray[np.generic]]:
    """Return the images that count if some classes do, and their targets among these."""
    if targets.ndim == 2:
        return np.arange(len(targets)), targets[:, columns]
    at = np.flatnonzero(np.isin(targets, columns))
    return at, np.searchsorted(columns, targets[at])


def _chosen(groups: NDArray[np.generic] | None, at: Ints) -> NDArray[np.generic] | None:
    return None if groups is None else groups[at]
