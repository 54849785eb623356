"""Choosing among candidates on validation, with warnings where the choice is uncertain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medbench import metrics
from medbench.errors import MedbenchError
from medbench.stats import paired_se

FALL_BACK = "log_loss"


@dataclass(frozen=True)
class Criterion:
    """What choices are made by.

    Attributes:
        metric: Id of the metric.
        warnings: Why it is not the one that was asked for, if it is not.
    """

    metric: str
    warnings: tuple[str, ...] = ()

    @property
    def sign(self) -> int:
        """1 if the greater value is better, -1 if the smaller one is."""
        return metrics.get(self.metric).sign


@dataclass(frozen=True)
class Choice:
    """The winner of a selection.

    Attributes:
        winner: Index of the best candidate.
        runner_up: Index of the second best, or None if there is one candidate.
        gap: Difference of their mean validation metrics; 0 or more if the winner is better.
        error: Standard error of the gap, or None.
        warnings: What a reader must know about the choice.
    """

    winner: int
    runner_up: int | None
    gap: float
    error: float | None
    warnings: tuple[str, ...]


def finite(value: float | None) -> float | None:
    """Return a float for JSON: None replaces NaN and infinity, which JSON does not have."""
    return None if value is None or not np.isfinite(value) else float(value)


def criterion(metric: str, targets: NDArray[np.integer], classes: int) -> Criterion:
    """Return what choices on these validation images are made by: the metric, or log loss where it cannot tell.

    A metric cannot tell if it is undefined for right or for wrong predictions, or the same for both, as AUROC is where
    all images have one class.

    Args:
        metric: Id of the metric that is asked for.
        targets: Of the validation images, (m,) or (m, c).
        classes: Number of classes c.
    """
    multilabel = targets.ndim == 2
    right = (targets if multilabel else np.eye(classes)[targets]).astype(np.float64)
    wrong = 1 - right if multilabel else np.roll(right, 1, axis=1)
    best, worst = metrics.score_many(metric, np.stack([right, wrong]), targets)
    if metric == FALL_BACK or (np.isfinite([best, worst]).all() and best != worst):
        return Criterion(metric)
    seen = len(np.unique(targets, axis=0))
    held = f"{len(targets)} validation images have {seen} kind{'' if seen == 1 else 's'} of labels"
    return Criterion(
        FALL_BACK, (f"{metric} cannot be used to choose, because the {held}; log loss on validation was used instead",)
    )


def scores_on(targets: NDArray[np.integer], log_odds: NDArray[np.float64], by: Criterion) -> NDArray[np.float64]:
    """Return the criterion's metric of each candidate on validation, (l,); nan where there are no validation images.

    Args:
        targets: Validation targets, (m,) or (m, c).
        log_odds: Of the validation images, (l, m, c).
        by: The criterion.
    """
    if not len(targets):
        return np.full(len(log_odds), np.nan)
    return metrics.score_many(by.metric, metrics.scores_for(by.metric, log_odds), targets)


def best_of(values: NDArray[np.float64], by: Criterion, what: str) -> NDArray[np.intp]:
    """Return the indices of candidates from the best on, equal ones in their order, undefined ones last.

    Args:
        values: (l,) of the criterion's metric; nan or infinite where undefined.
        by: The criterion.
        what: Name of the candidates.

    Raises:
        MedbenchError: All are undefined.
    """
    if not np.isfinite(values).any():
        raise MedbenchError(
            f"no {what} can be chosen: {by.metric} on validation is undefined for all of them",
            "check whether validation has images and whether the features are finite: medbench data check",
        )
    return np.argsort(-np.where(np.isfinite(values), by.sign * values, -np.inf), kind="stable")


def choose(
    best: NDArray[np.float64],
    log_odds: NDArray[np.float64],
    targets: NDArray[np.integer],
    by: Criterion,
    grid: Mapping[str, Sequence[float]],
    groups: NDArray[np.generic] | None = None,
) -> Choice:
    """Choose the candidate with the best mean validation metric over the seeds; of equal ones, the first.

    The best is the highest, or the lowest of a metric such as log_loss, of which less is better.

    Warns if any hyper-parameter of the winner is at the edge of the grid, and if its lead over the runner-up is within
    one standard error. The error is from a paired bootstrap over validation images or patients; both candidates and all
    seeds use the same draws.

    Args:
        best: Validation metric at the best epoch of each training, (s, l).
        log_odds: Of the validation images there, (s, l, m, c).
        targets: Validation targets, (m,) or (m, c).
        by: What is chosen by.
        grid: The l values of each hyper-parameter, by its name for people.
        groups: Patient of each validation image, (m,): the bootstrap draws patients; None: it draws images.

    Raises:
        MedbenchError: The metric is undefined for all candidates.
    """
    if best.shape[1] == 1:
        return Choice(0, None, 0.0, None, by.warnings)
    mean = best.mean(axis=0)
    axes = {name: values for name, values in grid.items() if len(set(values)) > 1} or dict(grid)
    what = " and ".join(axes)
    ranked = best_of(mean, by, what)
    winner, second = int(ranked[0]), int(ranked[1])
    gap = float(by.sign * (mean[winner] - mean[second])) if np.isfinite(mean[second]) else float("nan")
    one, two = (metrics.scores_for(by.metric, log_odds[:, place]) for place in (winner, second))
    error = paired_se(by.metric, one, two, targets, groups)
    images = f"{len(targets)} validation images"
    warnings = [] if by.warnings else [text for name in axes for text in _edge(axes[name], winner, name)]
    first = ", ".join(f"{name} {values[winner]:g}" for name, values in axes.items())
    other = ", ".join(f"{values[second]:g}" for values in axes.values())
    if gap == 0:
        ties = int((mean == mean[winner]).sum()) - 1
        warnings.append(
            f"{first} ties with {ties} other{'s' * (ties > 1)} on {images}: another validation sample may give "
            f"another choice"
        )
    elif np.isfinite(gap) and gap <= error:
        warnings.append(
            f"{first} leads {other} by {gap:.4f} on {images}, within the standard error of the choice, {error:.4f}: "
            f"another validation sample may give another choice"
        )
    return Choice(winner, second, gap, error, (*by.warnings, *warnings))


def _edge(candidates: Sequence[float], winner: int, what: str) -> list[str]:
    if len(set(candidates)) < 3 or candidates[winner] not in (min(candidates), max(candidates)):
        return []
    edge = "smallest" if candidates[winner] == min(candidates) else "largest"
    return [
        f"the best {what}, {candidates[winner]:g}, is the {edge} of the grid: a wider grid may give a better result"
    ]
