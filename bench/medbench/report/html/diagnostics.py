"""Diagnostics from the test predictions of a group's seeds: confusions, ROC curves, calibration, worst images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medbench.metrics.scores import Array, Scores, confusions
from medbench.report.figures.predictions.averages import FALSE_RATES, RECALLS, At, averaged, precision_at, roc_at
from medbench.report.figures.predictions.bins import Bins, binned, confidence_of
from medbench.report.inference import Predicted

BINS = 15
"""Of the reliability diagram, as of the metric `ece_15`."""
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


@dataclass(frozen=True)
class Curve:
    """A curve over thresholds.

    Attributes:
        at: Reads it at `places`.
        places: Its horizontal places.
        titles: Of the horizontal and the vertical axis.
        area: What the area below it is called.
        start: Points before the first place.
    """

    at: At
    places: Array
    titles: tuple[str, str]
    area: str
    start: tuple[tuple[float, float], ...] = ()


ROC = Curve(roc_at, FALSE_RATES, ("false positive rate", "true positive rate"), "AUC", ((0.0, 0.0),))
PRECISION = Curve(precision_at, RECALLS, ("recall", "precision"), "AP")


def areas(found: Predicted, kind: Curve) -> Array:
    """Return the (c,) areas below the curves of the classes, mean over the seeds; nan where undefined."""
    if kind is ROC:
        return np.asarray(aurocs(found).mean(axis=0))
    aps = np.array([Scores(scores, found.targets).aps for scores in found.of("ap")])
    return np.asarray(aps.mean(axis=0), np.float64)


def curve(found: Predicted, k: int, kind: Curve) -> Array | None:
    """Return the curve of class `k` against the rest, (m, 2).

    It is the vertical average over the seeds. None where it is undefined.
    """
    curves = averaged(kind.at, [(scores, _has(found)) for scores in found.of("auroc")], [k])
    if curves is None:
        return None
    return np.array([*kind.start, *zip(kind.places, curves.mean(axis=0), strict=True)])


def reliability(found: Predicted) -> Bins:
    """Return the predictions in `BINS` bins of equal width, the seeds' images put together.

    One class: the confidence in the predicted class. Several labels: the score of each (image, label).
    """
    return binned([confidence_of(scores, found.targets) for scores in found.scores], found.groups, BINS)


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
