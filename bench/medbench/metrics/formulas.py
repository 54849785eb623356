"""The formulas of the metrics.

Metrics of predictions take stacks of confusion counts (..., c, c), target by prediction, so that a grid of candidates
is scored at once. Metrics of scores take `Scores`. `nan` means: not defined on this split.
"""

from __future__ import annotations

import numpy as np

from medbench.metrics.scores import Array, Floats, Ints, Scores


def ratio(a: Array | Ints, b: Array | Ints) -> Array:
    """Return a / b in double precision; nan where b is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(b == 0, np.nan, a / np.asarray(b, np.float64))


def _diagonal(counts: Ints) -> Ints:
    return np.diagonal(counts, axis1=-2, axis2=-1)


def accuracy(counts: Ints) -> Array:
    """Return the share of correct predictions."""
    return ratio(_diagonal(counts).sum(-1), counts.sum((-2, -1)))


def _mean_present(values: Array, truth: Ints) -> Array:
    """Return the mean over the classes in the targets."""
    present = truth > 0
    return ratio(np.where(present, values, 0).sum(-1), present.sum(-1))


def recall_macro(counts: Ints) -> Array:
    """Return the mean recall (sensitivity) over the classes in the targets: balanced accuracy."""
    truth = counts.sum(-1)
    return _mean_present(ratio(_diagonal(counts), truth), truth)


def precision_macro(counts: Ints) -> Array:
    """Return the mean precision over the classes in the targets; a class that is never predicted has 0."""
    return _mean_present(_diagonal(counts) / np.maximum(counts.sum(-2), 1), counts.sum(-1))


def _f1(counts: Ints) -> Array:
    f1: Array = 2 * _diagonal(counts) / np.maximum(counts.sum(-2) + counts.sum(-1), 1)
    return f1


def f1_macro(counts: Ints) -> Array:
    """Return the mean F1 over the classes in the targets."""
    return _mean_present(_f1(counts), counts.sum(-1))


def f1_weighted(counts: Ints) -> Array:
    """Return the mean F1, each class weighted by its number of samples."""
    truth = counts.sum(-1)
    return ratio((_f1(counts) * truth).sum(-1), truth.sum(-1))


def kappa(counts: Ints, power: int = 0) -> Array:
    """Return Cohen's κ with disagreement weights |i - j|^power; power 0 is the unweighted κ.

    Distances are between class numbers, even if a class in between occurs in neither targets nor predictions
    (scikit-learn closes such gaps unless it is given the labels). It is nan if all targets and predictions are one
    class.
    """
    steps = np.arange(counts.shape[-1])
    gap = np.abs(steps[:, None] - steps)
    weights = (gap > 0).astype(np.int64) if power == 0 else gap**power
    total = counts.sum((-2, -1))
    seen = (counts * weights).sum((-2, -1)) * total
    chance = ((counts.sum(-1) @ weights) * counts.sum(-2)).sum(-1)
    return 1 - ratio(seen, chance)


def kappa_linear(counts: Ints) -> Array:
    """Return κ with weights |i - j|."""
    return kappa(counts, 1)


def kappa_quadratic(counts: Ints) -> Array:
    """Return κ with weights (i - j)²."""
    return kappa(counts, 2)


def mcc(counts: Ints) -> Array:
    """Return Matthews' correlation coefficient for c classes (Gorodkin's R_K).

    It is 0 if all predictions are one class, and nan if all targets are.
    """
    total, truth, called = counts.sum((-2, -1)), counts.sum(-1), counts.sum(-2)
    shared = _diagonal(counts).sum(-1) * total - (truth * called).sum(-1)
    spread_truth, spread_called = total**2 - (truth**2).sum(-1), total**2 - (called**2).sum(-1)
    found = ratio(shared, np.sqrt(spread_truth) * np.sqrt(spread_called))
    return np.where((spread_called == 0) & (spread_truth > 0), 0.0, found)


def _two(sample: Scores) -> Scores:
    if sample.c != 2:
        raise ValueError(f"a metric of class 1 needs scores of 2 classes, not {sample.c}")
    return sample


def auroc(sample: Scores) -> float:
    """Return the area under the ROC curve of class 1."""
    return _two(sample).auroc(1)


def ap(sample: Scores) -> float:
    """Return the average precision of class 1."""
    return _two(sample).ap(1)


def _mean_known(values: Array, weights: Array | Ints) -> float:
    """Return the weighted mean of the values that are defined."""
    known = ~np.isnan(values)
    total = weights[known].sum()
    return float((values[known] * weights[known]).sum() / total) if total else float("nan")


def auroc_macro(sample: Scores) -> float:
    """Return the mean area under the ROC curve, one class against the rest, over classes with both sides."""
    return _mean_known(sample.aurocs, np.ones(sample.c))


def auroc_weighted(sample: Scores) -> float:
    """Return the same mean, with each class weighted by its number of positives."""
    return _mean_known(sample.aurocs, sample.positives)


def ap_macro(sample: Scores) -> float:
    """Return the mean average precision, one class against the rest, over classes with positives."""
    return _mean_known(sample.aps, np.ones(sample.c))


def log_loss(sample: Scores) -> float:
    """Return the mean negative log-likelihood in nats, over samples; for multilabel tasks over samples and labels.

    Probabilities are clipped to at least 2.2e-16 from 0 and 1.
    """
    tiny = np.finfo(np.float64).eps
    p = np.clip(sample.scores.astype(np.float64), tiny, 1 - tiny)
    if sample.multilabel:
        return float(-np.mean(np.log(np.where(sample.targets != 0, p, 1 - p))))
    return float(-np.mean(np.log(p[np.arange(sample.n), sample.targets.astype(np.int64)])))


def equal_width(probabilities: Floats, size: int) -> Ints:
    """Return the bin of each probability among `size` bins (low, high] of equal width; the first also holds 0."""
    found = np.ceil(np.asarray(probabilities, np.float64) * size).astype(np.int64) - 1
    return np.asarray(np.clip(found, 0, size - 1), np.int64)


def ece_15(sample: Scores) -> float:
    """Return the expected calibration error of the predicted class, with 15 bins (low, high] of equal width.

    It is the mean over bins of |share correct - mean confidence|, weighted by the samples in the bin.
    """
    top = sample.scores.argmax(axis=1)
    confidence = sample.scores[np.arange(sample.n), top].astype(np.float64)
    right = top == sample.targets
    gaps = np.bincount(equal_width(confidence, 15), weights=right - confidence, minlength=15)
    return float(np.abs(gaps).sum() / sample.n)


def f1_macro_labels(sample: Scores) -> float:
    """Return the mean F1 at a score of 0.5, over the findings in the targets."""
    true, called = sample.hits
    held = sample.positives > 0
    values = 2 * true[held] / (called + sample.positives)[held]
    return float(values.mean()) if held.any() else float("nan")


def f1_micro(sample: Scores) -> float:
    """Return the F1 of all (sample, finding) pairs at a score of 0.5; nan if the targets have no finding."""
    true, called = sample.hits
    held = int(sample.positives.sum())
    return 2 * int(true.sum()) / (int(called.sum()) + held) if held else float("nan")


def accuracy_exact(sample: Scores) -> float:
    """Return the share of samples whose findings are all correct at a score of 0.5."""
    return float(((sample.scores >= 0.5) == (sample.targets != 0)).all(axis=1).mean())


def accuracy_label(sample: Scores) -> float:
    """Return the share of (sample, finding) pairs that are correct at a score of 0.5."""
    return float(((sample.scores >= 0.5) == (sample.targets != 0)).mean())
