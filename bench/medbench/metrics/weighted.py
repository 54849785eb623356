"""Metrics of weighted samples: all draws of a bootstrap at once, without resampling rows.

The weight of an image is how often it is in a draw. A metric needs sums of the weights only: over a cell of the
confusion matrix, or over the images between two scores. The sums are integers, so each value equals that of
`medbench.metrics.score` on the resampled rows, up to the rounding of the last division.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from medbench.metrics import get, score, score_many
from medbench.metrics.formulas import ratio
from medbench.metrics.scores import Array, Floats, Ints
from medbench.metrics.weighted_ranking import AT_ONCE, Weights, ap, auroc, sums

Weighted = Callable[[Weights], Array]
"""(n, b) weights -> (s, b) values, nan where undefined."""

MEANS = ("accuracy_exact", "accuracy_label", "log_loss")
"""Means over images of a value per image."""


def weighted(metric_id: str, scores: Floats, targets: NDArray[np.generic]) -> Weighted:
    """Return the function that computes a metric of `s` sets of scores from weights of the images.

    Args:
        metric_id: The metric.
        scores: (s, n, c) probabilities.
        targets: (n,) class numbers, or (n, c) zeros and ones.

    Returns:
        A function of (n, b) weights. Its value (i, j) is the metric of set i on draw j: nan where it is undefined, and
        for all draws of a set with a score that is not a number.

    Raises:
        CardError: The metric is unknown, or not for this form of targets.
        ValueError: The shapes do not fit, a class number is out of range, or there is no image.
    """
    if not len(targets):
        raise ValueError("no image")
    score_many(metric_id, scores, targets)  # raises an error if something does not fit
    inner = _plan(metric_id, scores, targets)
    finite = np.array([np.isfinite(one).all() for one in scores])
    return lambda weights: np.where(finite[:, None], inner(weights), np.nan)


def _plan(metric_id: str, scores: Floats, targets: NDArray[np.generic]) -> Weighted:
    multilabel = targets.ndim == 2
    if (counts := get(metric_id).counts) is not None and not multilabel:
        return _of_confusions(counts, scores, targets)
    if metric_id in ("auroc", "ap"):
        return _of_class_one(metric_id, scores, targets)
    if metric_id in ("auroc_macro", "auroc_weighted", "ap_macro"):
        return _of_classes(metric_id, scores, targets)
    if metric_id in ("f1_macro", "f1_micro"):
        return _of_findings(metric_id, scores, targets)
    if metric_id in MEANS:
        return _of_images(metric_id, scores, targets)
    return partial(_of_rows, metric_id, scores, targets)


def _of_confusions(counts: Callable[[Ints], Array], scores: Floats, targets: NDArray[np.generic]) -> Weighted:
    c = scores.shape[2]
    cells = targets.astype(np.int64) * c + scores.argmax(axis=2)
    matrices = [sums(row, c * c) for row in cells]
    at_once = max(1, AT_ONCE // (c * c))

    def values(weights: Weights) -> Array:
        found = np.empty((len(matrices), weights.shape[1]))
        for row, matrix in zip(found, matrices, strict=True):
            for start in range(0, len(row), at_once):
                part = matrix @ weights[:, start : start + at_once]
                row[start : start + at_once] = counts(part.T.reshape(-1, c, c).astype(np.int64))
        return found

    return values


def _of_classes(metric_id: str, scores: Floats, targets: NDArray[np.generic]) -> Weighted:
    c = scores.shape[2]
    has = np.asarray(targets != 0) if targets.ndim == 2 else np.equal.outer(targets, np.arange(c))
    curve = ap if metric_id == "ap_macro" else auroc
    curves = [[curve(one[:, k], has[:, k]) for k in range(c)] for one in scores]

    def values(weights: Weights) -> Array:
        found = np.stack([[one(weights) for one in row] for row in curves])  # (s, c, b)
        share = has.T.astype(np.float64) @ weights if metric_id == "auroc_weighted" else np.ones(found.shape[1:])
        known = ~np.isnan(found)
        total = np.where(known, share, 0).sum(axis=1)
        return ratio(np.where(known, found * share, 0).sum(axis=1), total)

    return values


def _of_class_one(metric_id: str, scores: Floats, targets: NDArray[np.generic]) -> Weighted:
    curve = ap if metric_id == "ap" else auroc
    curves = [curve(one[:, 1], targets == 1) for one in scores]
    return lambda weights: np.stack([one(weights) for one in curves])


def _of_findings(metric_id: str, scores: Floats, targets: NDArray[np.generic]) -> Weighted:
    has, called = np.asarray(targets != 0), scores >= 0.5
    one, many = has.T.astype(np.float32), called.transpose(0, 2, 1).astype(np.float32)

    def values(weights: Weights) -> Array:
        true, either = (many * one) @ weights, many @ weights + one @ weights  # (s, c, b)
        held = (one @ weights) > 0
        if metric_id == "f1_micro":
            return ratio(2 * true.sum(axis=1), np.where(held.any(axis=0), either.sum(axis=1), 0))
        return ratio(np.where(held, ratio(2 * true, either), 0).sum(axis=1), held.sum(axis=0))

    return values


def _of_images(metric_id: str, scores: Floats, targets: NDArray[np.generic]) -> Weighted:
    rows = range(len(targets))
    alone = np.array([[score(metric_id, one[i : i + 1], targets[i : i + 1]) for i in rows] for one in scores])
    return lambda weights: np.asarray(alone @ weights / weights.sum(axis=0))


def _of_rows(metric_id: str, scores: Floats, targets: NDArray[np.generic], weights: Weights) -> Array:
    """Return any other metric, from the resampled rows."""
    found = np.empty((len(scores), weights.shape[1]))
    for j, times in enumerate(weights.T.astype(np.int64)):
        rows = np.repeat(np.arange(len(times)), times)
        found[:, j] = score_many(metric_id, scores[:, rows], targets[rows])
    return found
