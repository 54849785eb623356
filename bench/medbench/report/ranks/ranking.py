"""The ranking of a study: which of its cells are ranked, their tests, and its repeats from stored predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medbench import progress
from medbench.metrics import METRICS
from medbench.metrics.scores import Array
from medbench.records.groups import Group, shared_tests
from medbench.report import cache
from medbench.report.inference import DRAWS, Predicted, predicted
from medbench.seeding import seed_of
from medbench.stats.bootstrap import combine, evaluate
from medbench.stats.ranks import Friedman, Repeats, friedman, ranks
from medbench.stats.resampling import design
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
    mean = cell.group.summary(cell.metric)[0]
    assert mean is not None
    return METRICS[cell.metric].sign * mean


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

    Columns with the same test images have the same draws. Draws in which a metric is undefined are replaced by others.

    Returns:
        None if the predictions of a cell are missing or damaged, or are of other images than those of its column.
    """
    found = []
    with progress.bar(f"ranks of {name}", len(columns) * len(columns[0]), "bootstraps") as advance:
        for column in columns:
            noise = _noise_of(column, advance)
            if noise is None:
                return None
            found.append(noise)
    return np.stack(found)


def _noise_of(column: Sequence[Entry], advance: progress.Advance) -> Array | None:
    """Return (b, k): the part of one column."""
    parts: list[Array] = []
    test: Predicted | None = None
    for cell in column:
        assert cell.group is not None
        own = predicted(cell.group)
        if own is None or not (test is None or test.compares(own)):
            return None
        test = test or own
        parts.append(drawn(cell.metric, own, cell.group.first.unit.dataset))
        advance(1)
    values = np.stack(parts, axis=1)
    defined = values[~np.isnan(values).any(axis=1)]
    return np.resize(defined, values.shape) if len(defined) else None


def drawn(metric: str, own: Predicted, dataset: str) -> Array:
    """Return (b,) what each draw adds to a metric, where higher is better; its deviation is the standard error.

    Args:
        metric: The metric.
        own: The test predictions.
        dataset: The data set's name: data sets have draws of their own, even with equal ids.
    """
    plan = design(own.targets, own.groups)
    seed = seed_of("ranks", dataset, files.digest(own.ids))
    found = combine([evaluate(metric, own.of(metric), own.targets, plan, DRAWS, seed)], plan, seed)
    centre = found.defined.mean() if len(found.defined) else np.nan
    return METRICS[metric].sign * found.shape.spread * (found.values - centre)
