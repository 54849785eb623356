"""Diagnostics from the test predictions of a group's seeds: confusions, ROC curves, calibration, worst images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medbench.metrics.scores import Array, Ints, Scores, confusions
from medbench.report.inference import Predicted

BINS = 15
"""Of the reliability diagram, as of the metric `ece_15`."""
GRID = np.linspace(0, 1, 101) ** 2
"""False positive rates at which ROC curves are read: close together where curves are steep."""
TINY = float(np.finfo(np.float64).eps)  # how far probabilities are kept from 0 and 1, as in the metric `log_loss`


@dataclass(frozen=True)
class Worst:
    """One test image that the seeds, on average, got wrong most.

    Attributes:
        id: Its id.
        loss: Negative log-likelihood in nats, mean over the seeds; for several labels, their sum.
        truth: Its class, or the findings it has.
        called: The class that most seeds named, or the findings with a mean score of 0.5 or more.
        label: Its class; for several labels, the one that costs most.
        score: Mean score of that label.
    """

    id: str
    loss: float
    truth: tuple[str, ...]
    called: tuple[str, ...]
    label: str
    score: float


def confusion(found: Predicted) -> Array:
    """Return the (c, c) counts, truth by prediction, mean over the seeds; of tasks with one class an image."""
    return np.asarray(confusions(found.scores, found.targets).mean(axis=0), np.float64)


def aurocs(found: Predicted) -> Array:
    """Return the (s, c) areas under the ROC curves, each class against the rest; nan where undefined."""
    return np.array([Scores(scores, found.targets).aurocs for scores in found.of("auroc")])


def roc(found: Predicted, k: int) -> Array | None:
    """Return the ROC curve of class `k` against the rest, (m, 2) of false and true positive rates.

    It is the vertical average over the seeds (Fawcett, An introduction to ROC analysis, 2006, algorithm 3), read at
    `GRID`. None without positives or negatives.
    """
    from sklearn.metrics import roc_curve

    has = _has(found)[:, k]
    if has.all() or not has.any():
        return None
    curves = [np.interp(GRID, *roc_curve(has, scores[:, k])[:2]) for scores in found.of("auroc")]
    return np.concatenate([[[0.0, 0.0]], np.column_stack([GRID, np.mean(curves, axis=0)])])


def reliability(found: Predicted) -> tuple[Array, Array, Ints]:
    """Return (mean confidence, share right, count) of each of `BINS` bins of equal width, (low, high].

    One class: of the predicted class. Several labels: the score of each (image, label) and the share of those that
    have it. The seeds' images are put together; nan in empty bins.
    """
    if found.targets.ndim == 2:
        confidence, right = found.scores.reshape(-1), np.tile(found.targets.reshape(-1) != 0, len(found.scores))
    else:
        confidence = found.scores.max(axis=2).reshape(-1)
        right = (found.scores.argmax(axis=2) == found.targets).reshape(-1)
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        mean, share = (np.bincount(bins, weights=w, minlength=BINS) / count for w in (confidence, right))
    return mean, share, count


def worst(found: Predicted, classes: Sequence[str], n: int) -> list[Worst]:
    """Return the `n` images of the highest loss that at least one seed got wrong, the worst first."""
    has = _has(found)
    p = np.clip(found.scores.astype(np.float64), TINY, 1 - TINY)
    if found.targets.ndim == 2:
        losses = -np.log(np.where(has, p, 1 - p)).mean(axis=0)
        called = found.scores.mean(axis=0) >= 0.5
        wrong = ((found.scores >= 0.5) != has).any(axis=(0, 2))
    else:
        losses = np.where(has, -np.log(p), 0.0).mean(axis=0)
        top = found.scores.argmax(axis=2)
        votes = (top[..., None] == np.arange(len(classes))).sum(axis=0)
        called = np.arange(len(classes)) == votes.argmax(axis=1)[:, None]
        wrong = (top != found.targets).any(axis=0)
    order = [int(i) for i in np.argsort(-losses.sum(axis=1), kind="stable") if wrong[i]][:n]
    mean = found.scores.mean(axis=0)
    return [
        Worst(
            id=found.ids[i],
            loss=float(losses[i].sum()),
            truth=tuple(np.array(classes)[has[i]].tolist()),
            called=tuple(np.array(classes)[called[i]].tolist()),
            label=classes[losses[i].argmax()],
            score=float(mean[i, losses[i].argmax()]),
        )
        for i in order
    ]


def _has(found: Predicted) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return (n, c): which classes or findings each image has."""
    if found.targets.ndim == 2:
        return np.asarray(found.targets != 0)
    return np.asarray(found.targets[:, None] == np.arange(found.scores.shape[2]))
