"""The ranking of a study: which of its cells are ranked, their tests, and its repeats from stored predictions."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from medbench import progress
from medbench.metrics.measures import higher_is_better
from medbench.metrics.scores import Array
from medbench.records.groups import Group, shared_tests
from medbench.report import cache
from medbench.report.inference import DRAWS
from medbench.report.tables.choose import number_of
from medbench.report.weighted_metric import WeightedMetric, weighted_metric
from medbench.seeding import seed_of
from medbench.stats.bootstrap import combine
from medbench.stats.ranks import Friedman, Repeats, friedman, ranks
from medbench.storage import files

NUMBERS = ("low", "high", "first", "alike")


@dataclass(frozen=True)
class Entry:
    """One cell that may be ranked.

    Attributes:
        group: The records behind it; None: it has no number, or one that does not compare.
        metric: What it shows.
    """

    group: Group | None
    metric: str


@dataclass(frozen=True)
class Repeated:
    """What the repeats of a study say of one entrant.

    Attributes:
        low: Lower end of the 95 % interval of its mean rank.
        high: Its upper end.
        first: Share of the draws in which it has the best mean rank.
        alike: Whether they do not tell it from the best mean rank.
    """

    low: float
    high: float
    first: float
    alike: bool


@dataclass(frozen=True)
class Ranking:
    """The ranks of k entrants on N data sets.

    Attributes:
        entrants: Places of the ranked entrants among the study's.
        columns: Places of the ranked data sets among the study's.
        found: (N, k) their ranks; equal numbers share the mean of their ranks.
        test: The Friedman test with Nemenyi's critical difference.
        repeats: One for each entrant; empty: not all predictions are stored.
    """

    entrants: tuple[int, ...]
    columns: tuple[int, ...]
    found: Array
    test: Friedman
    repeats: tuple[Repeated, ...]

    @property
    def mean_ranks(self) -> list[float]:
        """(k,) the mean rank of each entrant."""
        means: list[float] = self.found.mean(axis=0).tolist()
        return means

    @property
    def wins(self) -> list[float]:
        """(k,) on how many data sets each entrant is the best; those that share the best number share the win."""
        best = self.found == self.found.min(axis=1, keepdims=True)
        shares: list[float] = (best / best.sum(axis=1, keepdims=True)).sum(axis=0).tolist()
        return shares


def ranking_of(name: str, rows: Sequence[Sequence[Entry]]) -> tuple[Ranking | None, dict[int, list[int]]]:
    """Return the ranking of a study, and why cells are not in it.

    Ranks need all entrants on each data set (complete blocks). So an entrant without any number is left out first; then
    each data set on which another entrant lacks one, or on which the test images are not the same for all.

    Args:
        name: The study's, for the progress bar.
        rows: The cells of each entrant, one a data set.

    Returns:
        The ranking (None: fewer than two entrants or data sets are left), and for each data set that is left out the
        places of the entrants without a number; an empty list: the test images differ.
    """
    entrants = [i for i, row in enumerate(rows) if any(cell.group is not None for cell in row)]
    columns, left = [], {}
    for j in range(len(rows[0])):
        groups = [rows[i][j].group for i in entrants]
        there = [group for group in groups if group is not None]
        if len(there) < len(groups) or not there:
            left[j] = [i for i in range(len(rows)) if rows[i][j].group is None]
        elif len(set(shared_tests(there))) > 1:
            left[j] = []
        else:
            columns.append(j)
    if len(entrants) < 2 or len(columns) < 2:
        return None, left
    values = np.array([[_value(rows[i][j]) for i in entrants] for j in columns])
    found = ranks(values)
    repeats = _repeats(name, [[rows[i][j] for i in entrants] for j in columns], values)
    return Ranking(tuple(entrants), tuple(columns), found, friedman(found), repeats), left


def _value(cell: Entry) -> float:
    assert cell.group is not None
    mean = number_of(cell.group, cell.metric).value
    assert mean is not None
    return _sign(cell.metric) * mean


def _sign(metric: str) -> int:
    return -1 if higher_is_better(metric) is False else 1


def _repeats(name: str, columns: Sequence[Sequence[Entry]], values: Array) -> tuple[Repeated, ...]:
    """Return what the repeats say of each entrant, from the cache where it is kept."""
    k = len(columns[0])
    names = [f"{number} {i}" for i in range(k) for number in NUMBERS]
    groups = [cell.group for column in columns for cell in column if cell.group is not None]
    metrics = ",".join(column[0].metric for column in columns)

    def computed() -> cache.Numbers:
        noise = _noise(name, columns)
        if noise is None:
            return {}
        study = Repeats(values, noise)
        ends, alike = study.intervals(), study.alike()
        rows = zip(*zip(*ends, strict=True), study.first.tolist(), alike.tolist(), strict=True)
        return dict(zip(names, (float(number) for row in rows for number in row), strict=True))

    found = cache.cached_numbers(f"ranks of {k}", names, metrics, DRAWS, groups, computed)
    if not found:
        return ()
    rows = [[found[f"{number} {i}"] for number in NUMBERS] for i in range(k)]
    return tuple(Repeated(low, high, first, bool(alike)) for low, high, first, alike in rows)


def _noise(name: str, columns: Sequence[Sequence[Entry]]) -> Array | None:
    """Return (N, b, k): what each draw of test patients and training seeds adds to each entrant's metric.

    Columns with the same test images have the same draws: a draw that is hard in one is hard in the others, and mean
    ranks vary as they do on new test patients only while such draws stay together. So a draw in which any metric of
    any of these columns is undefined is left out of all of them, and the defined draws are repeated in its place.
    Columns with other test images are drawn independently, and lose nothing by it.

    Returns:
        None if the predictions of a cell are missing or damaged, or are of other images than those of its column.
    """
    found: list[Array] = []
    tests: list[Hashable] = []
    with progress.bar(f"ranks of {name}", len(columns) * len(columns[0]), "bootstraps") as advance:
        for column in columns:
            noise = _noise_of(column, advance)
            if noise is None:
                return None
            tests.append(noise[0])
            found.append(noise[1])
    return _defined(np.stack(found), tests)


def _defined(noise: Array, tests: Sequence[Hashable]) -> Array | None:
    """Return (N, b, k) draws without undefined ones, together for columns with the same test images.

    Args:
        noise: (N, b, k); nan where undefined.
        tests: What tells the test images of the N columns apart.

    Returns:
        None if no draw is defined in all columns of some test images.
    """
    kept = np.empty_like(noise)
    for test in dict.fromkeys(tests):
        same = [j for j, other in enumerate(tests) if other == test]
        known = np.flatnonzero(~np.isnan(noise[same]).any(axis=(0, 2)))
        if not len(known):
            return None
        kept[same] = noise[same][:, np.resize(known, noise.shape[1])]
    return kept


def _noise_of(column: Sequence[Entry], advance: progress.Advance) -> tuple[Hashable, Array] | None:
    """Return the data set with its test images, and (b, k) draws of one column."""
    parts: list[Array] = []
    test: WeightedMetric | None = None
    name = ""
    for cell in column:
        assert cell.group is not None
        own = weighted_metric(cell.group, cell.metric)
        if own is None or not (test is None or test.compares(own)):
            return None
        test, name = test or own, cell.group.first.unit.dataset
        parts.append(_sign(cell.metric) * drawn(own, name))
        advance(1)
    assert test is not None
    return (name, test.ids), np.stack(parts, axis=1)


def drawn(own: WeightedMetric, dataset: str) -> Array:
    """Return (b,) what each draw adds to a metric; its deviation is the standard error.

    Args:
        own: The metric on the test predictions.
        dataset: The data set's name: data sets have draws of their own, even with equal ids.
    """
    seed = seed_of("ranks", dataset, files.digest(own.ids))
    found = combine([own.term(DRAWS, seed)], own.plan, seed)
    centre = found.defined.mean() if len(found.defined) else np.nan
    return np.asarray(found.shape.spread * (found.values - centre))
