"""Intervals and ties of a table's cells, from the predictions next to the records."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medbench import stats
from medbench.metrics import METRICS, Scores
from medbench.metrics.log_odds import RANKED, log_odds_of
from medbench.metrics.measures import Predictions, measure
from medbench.metrics.measures.ids import ECE
from medbench.records.groups import Group, summaries
from medbench.records.store import PREDICTIONS
from medbench.report import cache
from medbench.stats import Interval
from medbench.stats.gaps import Gaps

log = logging.getLogger(__name__)

LEVEL = 0.05
DRAWS = 1000
INTERVAL = ("low", "high", "se", "draws", "undefined", "level")
BEHIND = ("difference", "low", "high", "p")
NEEDED = {"id", "group", "split"}
"""Columns of predictions besides targets and scores."""


@dataclass(frozen=True)
class Predicted:
    """A group's predictions on the test split.

    Attributes:
        ids: (n,) of the samples.
        scores: (s, n, c) probabilities, one a seed.
        targets: (n,) or (n, c).
        groups: (n,) patients, or None where no sample shares one.
        ranks: (s, n, c) log-odds, by which metrics rank; None: older files have none, and the scores take their place.
    """

    ids: tuple[str, ...]
    scores: NDArray[np.float64]
    targets: NDArray[np.generic]
    groups: NDArray[np.generic] | None
    ranks: NDArray[np.float64] | None = None

    def of(self, metric: str) -> NDArray[np.float64]:
        """Return what a metric is computed from: `ranks` where it ranks, else `scores`."""
        return self.ranks if self.ranks is not None and metric in RANKED else self.scores

    @property
    def log_odds(self) -> NDArray[np.float64]:
        """(s, n, c) log-odds: the stored ones, or else those of the scores."""
        return log_odds_of(self.scores) if self.ranks is None else self.ranks

    def gaps(self, metric: str) -> Gaps | None:
        """Return the signed gaps of the ECE that records hold, as of `ece` on demand; None for other metrics."""
        if metric != ECE:
            return None
        plans = [measure("ece").gaps(Predictions(one, self.targets)) for one in self.log_odds]
        known = [plan for plan in plans if plan is not None]
        return lambda weights: np.stack([plan(weights) for plan in known], axis=1)

    def compares(self, other: Predicted) -> bool:
        """Tell whether the other's samples, in their order, and their targets are the same."""
        same = self.ids == other.ids and self.scores.shape[2] == other.scores.shape[2]
        return same and np.array_equal(self.targets, other.targets)


def predicted(group: Group) -> Predicted | None:
    """Return a group's test predictions; None where a seed's are missing or the seeds were tested on other samples.

    Damaged ones count as missing, and are told in the log.
    """
    frames = []
    for record in group.records:
        if record.path is None or not record.has(PREDICTIONS):
            return None
        file = record.path / PREDICTIONS
        try:
            frames.append(read_part(file))
        except (OSError, ValueError, TypeError) as error:  # pyarrow's own are of the first two kinds
            log.warning("%s is damaged and counts as missing (to run it again: --overwrite always): %s", file, error)
            return None
    ids, targets, members, *_ = frames[0]
    if not ids or any(frame[0] != ids or frame[3].shape != frames[0][3].shape for frame in frames[1:]):
        return None
    shared = len(set(members)) < len(members)
    scores, ranks = (np.stack([frame[place] for frame in frames]) for place in (3, 4))
    old = any(frame[4] is frame[3] for frame in frames)
    return Predicted(ids, scores, targets, members if shared else None, None if old else ranks)


Part = tuple[tuple[str, ...], NDArray[np.generic], NDArray[np.generic], NDArray[np.float64], NDArray[np.float64]]


def read_part(file: Path, split: str = "test") -> Part:
    """Return (ids, targets, groups, (n, c) scores, (n, c) log-odds) of one part of a file of predictions.

    Older files have no log-odds; the scores take their place.

    Args:
        file: The file.
        split: `test` or `val`. A file without this part gives no rows.

    Raises:
        OSError, ValueError, TypeError: It is damaged, or not what a run writes.
    """
    import pandas as pd

    frame = pd.read_parquet(file)
    if lacking := NEEDED - set(frame.columns):
        raise ValueError(f"no column {', '.join(sorted(lacking))}")
    frame = frame[frame["split"] == split]
    columns = [name for name in frame.columns if name == "target" or name.startswith("target_")]
    scores = frame.filter(regex="^score_").to_numpy(np.float64)
    log_odds = frame.filter(regex="^log_odds_").to_numpy(np.float64)
    ranks = log_odds if log_odds.shape == scores.shape else scores
    targets = frame[columns].to_numpy()
    targets = targets[:, 0] if columns == ["target"] else targets
    if not Scores(scores, targets).finite and len(frame):
        raise ValueError("scores that are no numbers")
    return tuple(frame["id"].astype(str)), targets, frame["group"].astype(str).to_numpy(), scores, ranks


def interval_of(group: Group, metric: str) -> Interval | None:
    """Return the 95 % interval of a cell: bootstrap over test patients (or images), seeds as a second level."""

    def computed() -> cache.Numbers:
        found = predicted(group)
        if found is None:
            return {}
        if (gaps := found.gaps(metric)) is not None:
            return vars(stats.gap_intervals(gaps, found.targets, found.groups, DRAWS)[0])
        return vars(stats.bootstrap(metric, found.of(metric), found.targets, found.groups, draws=DRAWS).interval())

    found = cache.cached_numbers("interval", INTERVAL, metric, DRAWS, [group], computed)
    if not found:
        return None
    counts = {name: int(found[name]) for name in ("draws", "undefined")}
    return stats.Interval(found["low"], found["high"], found["se"], level=found["level"], **counts)


def best_of(groups: Sequence[Group], metric: str) -> int | None:
    """Return the place of the best mean, of equal ones the first; None where it is unknown or undefined."""
    if metric not in METRICS:
        return None
    means = [mean for [(mean, *_)] in summaries(groups, [metric])]
    sign = 1 if METRICS[metric].higher_is_better else -1
    known = [(sign * mean, -i) for i, mean in enumerate(means) if mean is not None]
    return -max(known)[1] if known else None


def ties(groups: Sequence[Group], metric: str) -> set[int]:
    """Return the places that a paired test does not separate from the best one, itself not among them.

    They are those of `against_best` whose p is above `LEVEL` after Holm over all of them.
    """
    return {i for i, found in against_best(groups, metric).items() if not found.p_holm <= LEVEL}


@dataclass(frozen=True)
class Behind:
    """How far the best group is ahead of another one, on the same test samples.

    Attributes:
        difference: Best minus other.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Two-sided, of the paired bootstrap.
        p_holm: After Holm's method over all groups that are compared with the best.
    """

    difference: float
    low: float
    high: float
    p: float
    p_holm: float = math.nan


def against_best(groups: Sequence[Group], metric: str) -> dict[int, Behind]:
    """Return place -> how far the group of the best mean (the lowest, where lower is better) is ahead.

    Each is compared on the same test samples. Groups without predictions, or on other samples, are left out.
    """
    best = best_of(groups, metric)
    known = [i for i, group in enumerate(groups) if group.summary(metric)[0] is not None]
    if best is None or len(known) < 2:
        return {}
    top = functools.cache(lambda: predicted(groups[best]))
    pairs = [(i, _behind(groups[best], groups[i], metric, top)) for i in known if i != best]
    found = {i: behind for i, behind in pairs if behind is not None}
    adjusted = stats.holm(behind.p for behind in found.values()).tolist()
    return {i: replace(found[i], p_holm=p) for i, p in zip(found, adjusted, strict=True)}


def _behind(best: Group, group: Group, metric: str, top: Callable[[], Predicted | None]) -> Behind | None:
    """Return how far the best is ahead; None where ids, pixels or targets of their tests differ.

    Args:
        best: The one.
        group: The other.
        metric: The metric.
        top: Reads the predictions of `best`, if they are needed.
    """

    def computed() -> cache.Numbers:
        one = top()
        two = None if one is None else predicted(group)
        if one is None or two is None or not one.compares(two):
            return {}
        pair, same = (one.of(metric), two.of(metric)), best.seeds == group.seeds
        drawn = stats.paired(metric, *pair, one.targets, one.groups, draws=DRAWS, same_seeds=same)
        ends = drawn.interval()
        return {"difference": drawn.value, "low": ends.low, "high": ends.high, "p": drawn.p()}

    if best.content != group.content:
        return None
    found = cache.cached_numbers("paired", BEHIND, metric, DRAWS, [best, group], computed)
    return Behind(**found) if found else None
