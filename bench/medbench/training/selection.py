"""Choosing among candidates on validation, and how far the choice can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medbench.stats import paired_se


@dataclass(frozen=True)
class Choice:
    """The winner of a selection.

    Attributes:
        winner: Its index.
        runner_up: The next best one's index, or None with a single candidate.
        gap: Difference of their mean validation metric.
        error: Standard error of the gap, or None.
        warnings: What a reader must know about the choice.
    """

    winner: int
    runner_up: int | None
    gap: float
    error: float | None
    warnings: tuple[str, ...]


def finite(value: float | None) -> float | None:
    """Return a float for JSON, which knows neither NaN nor infinity: None in their place."""
    return None if value is None or not np.isfinite(value) else float(value)


def choose(
    best: NDArray[np.float64],
    scores: NDArray[np.float32],
    targets: NDArray[np.integer],
    metric: str,
    candidates: list[float],
    what: str,
    groups: NDArray[np.generic] | None = None,
) -> Choice:
    """Choose the candidate with the best mean validation metric over the seeds; the first wins a tie.

    Warns when the winner stands at the edge of the grid, and when the runner-up is within one standard error of the
    gap: a paired bootstrap over the validation images or patients (all candidates and seeds on the same draws).

    Args:
        best: Validation metric at each head's best epoch, (s, l).
        scores: Validation scores there, (s, l, m, c).
        targets: Validation targets, (m,) or (m, c).
        metric: Id of the metric.
        candidates: The l values.
        what: Their name, for the warnings.
        groups: Patient of each validation image (m,), which the bootstrap draws whole; None: images.
    """
    mean = np.where(np.isnan(best), -np.inf, best).mean(axis=0)
    ranked = np.argsort(-mean, kind="stable")
    winner = int(ranked[0])
    if len(ranked) == 1:
        return Choice(winner, None, 0.0, None, ())
    second = int(ranked[1])
    gap = float(mean[winner] - mean[second])
    error = paired_se(metric, scores[:, winner], scores[:, second], targets, groups)
    warnings = []
    ends = sorted(candidates)
    if candidates[winner] in (ends[0], ends[-1]) and len(candidates) > 2:
        edge = "smallest" if candidates[winner] == ends[0] else "largest"
        warnings.append(f"the best {what} {candidates[winner]:g} is the {edge} of the grid: a wider grid may do better")
    if np.isfinite(gap) and gap <= error:
        warnings.append(
            f"{what} {candidates[winner]:g} leads {candidates[second]:g} by {gap:.4f} on {len(targets)} validation "
            f"images, within the selection's standard error of {error:.4f}: another sample may choose otherwise"
        )
    return Choice(winner, second, gap, error, tuple(warnings))
