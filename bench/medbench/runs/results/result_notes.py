"""What a reader of a record must know of its predictions: one class only, below chance, few images."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from medbench import metrics
from medbench.data.dataset import Dataset
from medbench.metrics.scores import confusions
from medbench.protocols.context import Outcome

FEW_VALIDATION, FEW_TEST = 30, 10
"""Below so many images in all, or of a class, a note is made."""
BELOW = -2.33
"""Standard errors below chance from which a note is made: random predictions are so poor once in 100 runs."""


def notes_of(dataset: Dataset, outcome: Outcome, targets: NDArray[np.integer]) -> list[str]:
    """Return the notes of one seed's predictions on test, whose targets are (n,) or (n, c); the gravest come first."""
    if outcome.log_odds_test is None:
        return []
    names, found = dataset.card.class_names, []
    if dataset.multilabel:
        if len(targets) and not (outcome.log_odds_test >= 0).any():
            found.append(f"predicts no finding: no score reaches 0.5 in any of the {len(targets)} test images")
    else:
        called = np.unique(outcome.log_odds_test.argmax(axis=1))
        if len(called) == 1 and len(np.unique(targets)) > 1:
            found.append(f"predicts one class only: {names[called[0]]}, for all {len(targets)} test images")
        found += _below_chance(outcome.log_odds_test, targets)
    validation = len(dataset.targets("val"))
    if _chose(outcome) and 0 < validation < FEW_VALIDATION:
        found.append(f"validation has only {validation} images: choices on it depend on a few of them")
    per_class = targets.sum(axis=0) if dataset.multilabel else np.bincount(targets, minlength=len(names))
    few = sorted((int(n), name) for n, name in zip(per_class, names, strict=True) if 0 < n < FEW_TEST)
    if few:
        listed = ", ".join(f"{name}: {n}" for n, name in few[:5]) + (" …" if len(few) > 5 else "")
        found.append(f"few test images of a class ({listed}): one image moves its recall by up to {1 / few[0][0]:.0%}")
    return found


def _chose(outcome: Outcome) -> bool:
    tried = max(len(outcome.selection.get("candidates", [])), outcome.selection.get("settings", 0))
    return tried > 1 or "epoch" in outcome.chosen


def _below_chance(log_odds: NDArray[np.float64], targets: NDArray[np.integer]) -> list[str]:
    """Compare AUROC (of two classes), or the number of right predictions, with random orders of the predictions."""
    n, c = log_odds.shape
    if n < 2 or not np.isfinite(log_odds).all():
        return []
    if c == 2:
        positive = int(np.sum(targets == 1))
        area, pairs = metrics.score("auroc", log_odds, targets), positive * (n - positive)
        spread = math.sqrt((n + 1) / (12 * pairs)) if pairs else math.inf
        if (area - 0.5) / spread < BELOW:
            return [f"below chance: AUROC {area:.3f}, whereas random scores give 0.500 ± {spread:.3f}"]
        return []
    counts = confusions(log_odds[None], targets)[0]
    right, (truth, called) = int(np.trace(counts)), (counts.sum(axis=1), counts.sum(axis=0))
    pairs = float(truth @ called)
    # The variance of the number of matches over all orders of the predictions.
    variance = (pairs - (truth @ called**2 + called @ truth**2) / n + (pairs / n) ** 2) / (n - 1)
    if variance > 0 and (right - pairs / n) / math.sqrt(variance) < BELOW:
        spread = math.sqrt(variance)
        return [f"below chance: {right} of {n} correct, whereas permuted predictions give {pairs / n:.1f} ± "
        f"{spread:.1f}"]  # fmt: skip
    return []
