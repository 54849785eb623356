"""Metrics that are not in records: computed from the stored predictions of a group, with what validation chose."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medbench import stats
from medbench.errors import CardError
from medbench.metrics import log_odds_of
from medbench.metrics.measures import Measure, Predictions, measure
from medbench.metrics.measures.class_sums import ByClass
from medbench.metrics.scores import Array
from medbench.metrics.weighted_ranking import Weights
from medbench.records import Record
from medbench.records.groups import Group
from medbench.records.store import PREDICTIONS
from medbench.report import cache
from medbench.report.inference import DRAWS, Part, read_part

log = logging.getLogger(__name__)

VALUE, ENDS = ("value", "std", "n"), ("low", "high")
NOT_STORED = "no predictions are stored with the records: run again with --overwrite always"
NO_CLASSES = "these runs train a model and do not classify test images"
NO_VALIDATION = "it needs a threshold or temperature from validation images, and these runs have none (val=none)"


@dataclass(frozen=True)
class Measured:
    """One number of a group.

    Attributes:
        value: Mean over the seeds; None: there is none.
        std: Sample standard deviation over the seeds; None below two.
        n: Seeds for which it is defined.
        low: Lower end of the 95 % interval; None: not asked for, or undefined.
        high: Its upper end.
        lacking: Why there is no value; empty: it is undefined on this test split.
    """

    value: float | None = None
    std: float | None = None
    n: int = 0
    low: float | None = None
    high: float | None = None
    lacking: str = ""


def task_of(group: Group) -> str | None:
    """Return the task of a group's data set; None if its records do not say."""
    card = group.first.material.get("dataset")
    return card.get("task") if isinstance(card, dict) else None


def measured(
    group: Group, ids: Sequence[str], intervals: bool = False, held: Group | None = None
) -> dict[str, Measured]:
    """Return metrics of a group, each one number.

    Args:
        group: The records.
        ids: The metrics, in any spelling.
        intervals: Also give the 95 % intervals: bootstrap over test patients (or images), seeds as a second level. What
            was chosen on validation is fixed.
        held: Whose validation images choose thresholds and temperatures, with the same seeds; None: the group's own.

    Returns:
        Each id -> its number.
    """
    found: dict[str, Measured] = {}
    known: dict[str, Measure] = {}
    for name in ids:
        try:
            known[name] = measure(name, task_of(group))
        except CardError as error:
            found[name] = Measured(lacking=error.message)
    rows = _numbers(group, list(known.values()), False, intervals, held)
    return found | {name: row[0] for name, row in zip(known, rows, strict=True)}


def by_class(group: Group, ids: Sequence[str]) -> list[dict[str, Measured]]:
    """Return for each class of a group's test split its metrics, one class against the rest, with 95 % intervals.

    Raises:
        CardError: A metric is unknown, or is not defined for each class.
    """
    known = [measure(name) for name in ids]
    if odd := [one for one in known if not one.base.each]:
        raise CardError(
            f"the metric '{odd[0].id}' is not defined for each class", "remove it, or run without --per-class"
        )
    rows = _numbers(group, known, True, True)
    return [dict(zip(ids, column, strict=True)) for column in zip(*rows, strict=True)]


def _numbers(
    group: Group, measures: Sequence[Measure], each: bool, intervals: bool, held: Group | None = None
) -> list[list[Measured]]:
    """Return for each measure its number, or with `each` the number of each class.

    Those that are not kept from an earlier call are computed together, on the same draws.
    """
    reasons = [lacking(group, one, held) for one in measures]
    usable = [one for one, why in zip(measures, reasons, strict=True) if not why]
    made = _Made(group, usable, each, held)
    rows = []
    for one, why in zip(measures, reasons, strict=True):
        places = range(len(group.first.n["test"].classes) if each and "test" in group.first.n else 1)
        row = [Measured(lacking=why) if why else made.number(usable.index(one), k, intervals) for k in places]
        rows.append(row)
    return rows


def lacking(group: Group, one: Measure | None = None, held: Group | None = None) -> str:
    """Return why a measure, or any metric, cannot be computed, as far as the records tell; empty: it can."""
    chosen = one is not None and one.on_validation
    for record in (*group.records, *(held.records if held is not None and chosen else ())):
        if record.path is None or not (record.path / PREDICTIONS).is_file():
            return NOT_STORED if _classifies(record) else NO_CLASSES
        if chosen and not ("val" in record.n and record.n["val"].images):
            return NO_VALIDATION
    return ""


def _classifies(record: Record) -> bool:
    """Tell whether a run classifies images; the material of its key names the kind of protocol."""
    from medbench.cards.recipes import KINDS  # imported for such a note alone: it takes longer than most tables

    kind = KINDS.get(record.material.get("protocol", {}).get("kind", ""))
    return kind is None or kind.classifies


@dataclass(frozen=True)
class _Made:
    """The numbers of one group; all are computed when the first one is needed."""

    group: Group
    measures: Sequence[Measure]
    each: bool
    held: Group | None = None

    def number(self, i: int, k: int, intervals: bool) -> Measured:
        """Return the number of measure `i` and class `k`, from the cache where it is kept."""
        what, name = f"class {k}" if self.each else "measure", self.measures[i].id
        groups = [self.group] if self.held is None else [self.group, self.held]
        found = dict(cache.cached_numbers(what, VALUE, name, 0, groups, lambda: self.values[i][k]))
        if not found:
            return Measured(lacking=NOT_STORED)
        if intervals:
            kind = f"{what} interval"
            found |= cache.cached_numbers(kind, ENDS, name, DRAWS, groups, lambda: self.intervals[i][k])
        held = {key: value for key, value in found.items() if not math.isnan(value)}
        return Measured(held.get("value"), held.get("std"), int(held["n"]), held.get("low"), held.get("high"))

    @cached_property
    def loaded(self) -> Loaded | None:
        return load_predictions(self.group, self.held)

    @cached_property
    def plans(self) -> list[list[ByClass]]:
        """The functions of weights of each measure and seed; none if it lacks stored validation predictions."""
        seeds = [] if self.loaded is None else self.loaded.seeds
        chosen = all(validation is not None for _, validation in seeds)
        return [
            [one.values(*seed, each=self.each) for seed in seeds] if chosen or not one.on_validation else []
            for one in self.measures
        ]

    @cached_property
    def values(self) -> list[list[cache.Numbers]]:
        """Mean, deviation and number of seeds of each measure and class; empty if the predictions cannot be used."""
        ones = np.ones((0 if self.loaded is None else len(self.loaded.targets), 1), np.float32)
        return [
            [_summary(row) for row in np.stack([plan(ones)[:, 0] for plan in plans], axis=1)]
            if plans
            else [{}] * max(1, len(self.group.first.n["test"].classes))
            for plans in self.plans
        ]

    @cached_property
    def intervals(self) -> list[list[cache.Numbers]]:
        """The interval of each measure and class; it is only asked for where there is a value."""
        assert self.loaded is not None
        found: dict[int, list[cache.Numbers]] = {}
        others = [i for i, plans in enumerate(self.plans) if plans]
        for i in [*others]:
            if ends := self._of_gaps(self.measures[i], self.loaded):
                found[i] = ends
                others.remove(i)

        def values(weights: Weights) -> Array:
            return np.concatenate([np.stack([plan(weights) for plan in self.plans[i]], axis=1) for i in others])

        if others:
            drawn = iter(stats.bootstrap_many(values, self.loaded.targets, self.loaded.groups, draws=DRAWS))
            found |= {i: [_ends(next(drawn).interval()) for _ in self.values[i]] for i in others}
        return [found.get(i, []) for i in range(len(self.measures))]

    def _of_gaps(self, one: Measure, loaded: Loaded) -> list[cache.Numbers]:
        """Return the intervals of a calibration error, or of the reliability of the Brier score; of others none."""
        gaps = [found for seed in loaded.seeds if (found := one.gaps(*seed, each=self.each)) is not None]
        if not gaps:
            return []

        def values(weights: Weights) -> Array:
            return np.stack([each(weights) for each in gaps], axis=1)

        intervals = stats.gap_intervals(values, loaded.targets, loaded.groups, DRAWS, power=one.power)
        return [_ends(interval) for interval in intervals]


@dataclass(frozen=True)
class Loaded:
    """The stored predictions of a group.

    Attributes:
        ids: Of the test images.
        seeds: Test and validation predictions of each training seed; None: that seed has no validation part.
        targets: Of the test images.
        groups: (n,) patients of the test images; None where no two images share one.
    """

    ids: tuple[str, ...]
    seeds: list[tuple[Predictions, Predictions | None]]
    targets: NDArray[np.generic]
    groups: NDArray[np.generic] | None

    def usable(self, one: Measure) -> bool:
        """Tell whether each seed has the validation predictions that a measure needs."""
        return not one.on_validation or all(validation is not None for _, validation in self.seeds)


def load_predictions(group: Group, held: Group | None = None) -> Loaded | None:
    """Return a group's predictions; None where a file is damaged or the seeds were tested on other images.

    Args:
        group: The records.
        held: Whose validation part it has, seed by seed; None: its own.
    """
    if held is not None:
        found, source = load_predictions(group), load_predictions(held)
        if found is None or source is None:
            return None
        pairs = zip(found.seeds, source.seeds, strict=True)
        return replace(found, seeds=[(test, validation) for (test, _), (_, validation) in pairs])
    seeds: list[tuple[Predictions, Predictions | None]] = []
    tests: list[Part] = []
    for record in group.records:
        assert record.path is not None
        file = record.path / PREDICTIONS
        try:
            test, validation = (read_part(file, split) for split in ("test", "val"))
        except (OSError, ValueError, TypeError) as error:  # pyarrow's own are of the first two kinds
            log.warning("%s is damaged and counts as missing (to run it again: --overwrite always): %s", file, error)
            return None
        tests.append(test)
        seeds.append((_predictions(test), _predictions(validation) if validation[0] else None))
    ids, targets, members, *_ = tests[0]
    if not ids or any(other[0] != ids or other[3].shape != tests[0][3].shape for other in tests[1:]):
        return None
    return Loaded(ids, seeds, targets, members if len(set(members)) < len(members) else None)


def _predictions(part: Part) -> Predictions:
    _, targets, _, scores, ranks = part
    return Predictions(log_odds_of(scores) if ranks is scores else ranks, targets)


def _summary(values: Array) -> cache.Numbers:
    """Return mean, deviation and number of seeds; nan for what is undefined."""
    mean, std, n = stats.summary(values.tolist())
    return {"value": math.nan if mean is None else mean, "std": math.nan if std is None else std, "n": n}


def _ends(interval: stats.Interval) -> cache.Numbers:
    return {"low": interval.low, "high": interval.high}
