"""One metric of a run on each of its groups, with intervals, and the gap between them with its interval and p."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from medbench import stats
from medbench.metrics import METRICS, Scores, probabilities, scores_for
from medbench.metrics.measures import Measure, Predictions, biased, higher_is_better, measure
from medbench.metrics.measures.ids import ECE
from medbench.metrics.scores import Array, Ints
from medbench.metrics.weighted import weighted
from medbench.metrics.weighted_ranking import Weights
from medbench.records.groups import Group
from medbench.report import cache
from medbench.report.inference import DRAWS
from medbench.report.measured import NOT_STORED, Loaded, Measured
from medbench.report.subgroups.by import Members
from medbench.stats.bootstrap import combine, evaluate_many
from medbench.stats.subgroups import Gap, gap, group_design, permutation_p
from medbench.storage import files

SAME = {ECE: "ece", "auroc_macro": "auroc_macro", "ap_macro": "ap_macro"}
"""Metrics of records -> the same metric on demand, whose parts are known: classes, or bins."""

ByClass = Callable[[Weights], Array]
"""(n, b) weights of images -> (s, c, b): for each training seed and each class that the metric is a mean over."""


@dataclass(frozen=True)
class Compared:
    """One metric on the groups of one run.

    Attributes:
        numbers: Of each group; without a value for one that is too small, or in which the metric is undefined.
        gap: Between the groups that have a value; None: fewer than two have one, or their means are over other classes.
        p: Of the permutation test; nan: none.
        left_out: Places of the classes that the mean leaves out because a group lacks them.
        unequal: Whether there is no gap because the means are over other classes.
    """

    numbers: tuple[Measured, ...]
    gap: Gap | None = None
    p: float = math.nan
    left_out: tuple[int, ...] = ()
    unequal: bool = False

    def best_worst(self, metric: str) -> tuple[int, int]:
        """Return the places of the best and the worst group; of a metric without a direction, highest and lowest."""
        assert self.gap is not None
        ends = self.gap.highest, self.gap.lowest
        return ends[::-1] if higher_is_better(metric) is False else ends


@dataclass(frozen=True)
class Curves:
    """A metric of a run as a function of weights of its test images.

    Attributes:
        loaded: The run's predictions.
        metric: The metric's id.
    """

    loaded: Loaded
    metric: str

    @property
    def on_demand(self) -> Measure | None:
        """The metric, if it is computed from log-odds class by class or bin by bin; None: as records have it."""
        if self.metric in METRICS and self.metric not in SAME:
            return None
        return measure(SAME.get(self.metric, self.metric))

    @property
    def lacking(self) -> str:
        """Why it cannot be computed; empty: it can."""
        return "" if self.on_demand is None or self.loaded.usable(self.on_demand) else NOT_STORED

    def of(self, rows: Ints) -> ByClass:
        """Return the metric of some test images. What was chosen on validation stays as it is."""
        tests = [Predictions(test.log_odds[rows], test.targets[rows]) for test, _ in self.loaded.seeds]
        if (one := self.on_demand) is None:
            scores = np.stack([scores_for(self.metric, test.log_odds) for test in tests])
            values = weighted(self.metric, scores, self.loaded.targets[rows])
            return lambda weights: values(weights)[:, None]
        held = [validation for _, validation in self.loaded.seeds]
        plans = [one.values(test, own, each=one.macro) for test, own in zip(tests, held, strict=True)]
        return lambda weights: np.stack([plan(weights) for plan in plans])

    def absent(self, rows: Ints) -> tuple[bool, ...]:
        """Return the classes that the mean of a metric of records leaves out, as the images lack them."""
        if self.on_demand is not None or (left := METRICS[self.metric].absent) is None:
            return ()
        test = self.loaded.seeds[0][0]
        return tuple(left(Scores(probabilities(test.log_odds[rows]), test.targets[rows])).tolist())

    def calibration(self, rows: Ints, seed: int = 0) -> stats.Interval | None:
        """Return the interval of a calibration error or of the reliability of the Brier score; None for others."""
        if (one := self.on_demand) is None:
            return None
        gaps = [one.gaps(Predictions(test.log_odds[rows], test.targets[rows]), own) for test, own in self.loaded.seeds]
        if not (known := [each for each in gaps if each is not None]):
            return None
        patients = None if self.loaded.groups is None else self.loaded.groups[rows]
        return stats.gap_intervals(
            lambda weights: np.stack([each(weights) for each in known], axis=1),
            self.loaded.targets[rows],
            patients,
            DRAWS,
            seed,
            power=one.power,
        )[0]


def compared(group: Group, loaded: Loaded, members: Members, measured: Sequence[int], metric: str) -> Compared:
    """Return a metric on the groups of a run, from the cache where it is kept.

    Args:
        group: The run.
        loaded: Its predictions.
        members: Who is in which group.
        measured: Places of the groups that are large enough.
        metric: The metric's id.
    """
    k, c = len(members.names), loaded.seeds[0][0].log_odds.shape[1]
    names = [f"{what}{i}" for i in range(k) for what in ("value", "std", "n", "low", "high")]
    names += ["gap", "gap_low", "gap_high", "highest", "lowest", "p", "unequal", *(f"left{i}" for i in range(c))]
    what = f"subgroups {files.digest([members.member.tolist(), list(measured)])}"

    def computed() -> cache.Numbers:
        return dict(zip(names, _flat(_compared(Curves(loaded, metric), members.member, measured, k), c), strict=True))

    found = cache.cached_numbers(what, names, metric, DRAWS, [group], computed)
    return _unflat([found[name] for name in names], k)


def _compared(curves: Curves, member: Ints, measured: Sequence[int], k: int) -> Compared:
    """Compute a metric on the groups, all on the same draws."""
    rows = {g: np.flatnonzero(member == g) for g in measured}
    alone = {g: curves.of(own)(np.ones((len(own), 1), np.float32))[:, :, 0] for g, own in rows.items()}
    rows = {g: own for g, own in rows.items() if not np.isnan(alone[g]).all(axis=1).any()}
    numbers = [Measured()] * k
    if not rows:
        return Compared(tuple(numbers))
    common = np.all([~np.isnan(alone[g]).any(axis=0) for g in rows], axis=0)
    if not common.any():
        return Compared(tuple(numbers), left_out=tuple(range(len(common))))
    left_out = tuple(np.flatnonzero(~common).tolist())
    chosen = np.concatenate(list(rows.values()))
    own_member = np.repeat(np.arange(len(rows)), [len(own) for own in rows.values()])
    targets = curves.loaded.targets[chosen]
    patients = None if curves.loaded.groups is None else curves.loaded.groups[chosen]
    plan = group_design(targets, own_member, patients)
    parts = [partial(_mean, curves.of(own), common) for own in rows.values()]
    ends = np.cumsum([len(own) for own in rows.values()])[:-1]
    terms = evaluate_many(
        lambda weights: np.stack([part(w) for part, w in zip(parts, np.split(weights, ends), strict=True)]), plan, DRAWS
    )
    for (g, own), term in zip(rows.items(), terms, strict=True):
        interval = curves.calibration(own) or combine([term], plan).interval()
        mean, std, n = stats.summary(term.split.tolist())
        numbers[g] = Measured(mean, std, n, interval.low, interval.high)
    if len(rows) < 2:
        return Compared(tuple(numbers), left_out=left_out)
    if len({curves.absent(own) for own in rows.values()}) > 1:
        return Compared(tuple(numbers), unequal=True)
    whole = partial(_mean, curves.of(chosen), common)
    p = permutation_p(lambda weights: whole(weights).mean(axis=0), own_member, targets, patients, DRAWS)
    return Compared(tuple(numbers), _placed(gap(terms, plan), list(rows), curves), p, left_out)


def _mean(by_class: ByClass, common: NDArray[np.bool_], weights: Weights) -> Array:
    """Return (s, b) means over the classes that all groups have; those that a draw lacks do not count."""
    values = by_class(weights)[:, common]
    known = ~np.isnan(values)
    total = known.sum(axis=1)
    found = np.where(known, values, 0).sum(axis=1) / np.maximum(total, 1)
    return np.where(total > 0, found, np.nan)


def _placed(found: Gap, places: Sequence[int], curves: Curves) -> Gap:
    """Return a gap with the places of its groups among all of them, and without the ends that would mislead."""
    low, high = (math.nan, math.nan) if biased(curves.metric) else (found.low, found.high)
    return Gap(found.value, low, high, places[found.highest], places[found.lowest])


def _flat(one: Compared, classes: int) -> list[float]:
    nan = math.nan
    numbers = [
        nan if value is None else float(value) for x in one.numbers for value in (x.value, x.std, x.n, x.low, x.high)
    ]
    gap = [nan] * 5 if one.gap is None else [one.gap.value, one.gap.low, one.gap.high, one.gap.highest, one.gap.lowest]
    return [*numbers, *gap, one.p, float(one.unequal), *(float(i in one.left_out) for i in range(classes))]


def _unflat(values: Sequence[float], k: int) -> Compared:
    known = [None if math.isnan(value) else value for value in values[: 5 * k]]
    numbers = [
        Measured(value, std, int(n or 0), low, high)
        for value, std, n, low, high in (known[at : at + 5] for at in range(0, 5 * k, 5))
    ]
    size, low, high, highest, lowest, p, unequal, *left = values[5 * k :]
    gap = None if math.isnan(size) else Gap(size, low, high, int(highest), int(lowest))
    return Compared(tuple(numbers), gap, p, tuple(i for i, out in enumerate(left) if out), bool(unequal))
