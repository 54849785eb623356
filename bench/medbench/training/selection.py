"""Choosing among candidates on validation, with warnings where the choice is uncertain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medbench.metrics import get, scores_for
from medbench.stats import paired_se


@dataclass(frozen=True)
class Choice:
    """The winner of a selection.

    Attributes:
        winner: Index of the best candidate.
        runner_up: Index of the second best, or None if there is one candidate.
        gap: Difference of their mean validation metrics.
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


def choose(
    best: NDArray[np.float64],
    log_odds: NDArray[np.float64],
    targets: NDArray[np.integer],
    metric: str,
    candidates: list[float],
    what: str,
    groups: NDArray[np.generic] | None = None,
) -> Choice:
    """Choose the candidate with the best mean validation metric over the seeds; of equal ones, the first.

    The best is the highest, or the lowest of a metric such as log_loss, of which less is better.

    Warns if the winner is at the edge of the grid, and if its lead over the runner-up is within one standard error.
    The error is from a paired bootstrap over validation images or patients; both candidates and all seeds use the same
    draws.

    Args:
        best: Validation metric at the best epoch of each training, (s, l).
        log_odds: Of the validation images there, (s, l, m, c).
        targets: Validation targets, (m,) or (m, c).
        metric: Id of the metric.
        candidates: The l values.
        what: Their name, for the warnings.
        groups: Patient of each validation image, (m,): the bootstrap draws patients; None: it draws images.
    """
    gains = get(metric).sign * best  # higher is better
    mean = np.where(np.isnan(gains), -np.inf, gains).mean(axis=0)
    ranked = np.argsort(-mean, kind="stable")
    winner = int(ranked[0])
    if len(ranked) == 1:
        return Choice(winner, None, 0.0, None, ())
    second = int(ranked[1])
    with np.errstate(invalid="ignore"):  # where the metric is undefined for both, so is their gap
        gap = float(mean[winner] - mean[second])
    one, two = (scores_for(metric, log_odds[:, place]) for place in (winner, second))
    error = paired_se(metric, one, two, targets, groups)
    warnings = _warnings(candidates, winner, second, gap, error, f"{len(targets)} validation images", what)
    return Choice(winner, second, gap, error, tuple(warnings))


def _warnings(
    candidates: list[float], winner: int, second: int, gap: float, error: float, images: str, what: str
) -> list[str]:
    found, ends = [], sorted(candidates)
    if candidates[winner] in (ends[0], ends[-1]) and len(candidates) > 2:
        edge = "smallest" if candidates[winner] == ends[0] else "largest"
        found.append(f"the best {what} {candidates[winner]:g} is the {edge} of the grid: a wider grid may do better")
    if np.isfinite(gap) and gap <= error:
        found.append(
            f"{what} {candidates[winner]:g} leads {candidates[second]:g} by {gap:.4f} on {images}, within the "
            f"selection's standard error of {error:.4f}: another sample may choose otherwise"
        )
    return found
