"""Class scores as log-odds, log(p / (1 - p)): they keep the order of images whose probability rounds to 0 or 1.

A probability is 1 in single precision from log-odds of about 17 on, and in double precision from 37 on, so metrics that
rank images would see ties that the model did not make.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medbench.metrics.scores import Array, Floats

RANKED = ("auroc", "auroc_macro", "auroc_weighted", "ap", "ap_macro")
"""Metrics that depend on the order of each class's scores only."""

MOST = 1e30
"""The log-odds of a probability of 1, and minus those of 0."""


def log_odds(logits: Floats, *, multilabel: bool) -> Array:
    """Return the log-odds (…, c) of logits (…, c): of one class against the others, or of each label.

    Equal logits of an image have equal log-odds.
    """
    z = np.asarray(logits, np.float64)
    if multilabel or not z.size:
        return np.clip(z, -MOST, MOST)
    first, second = (np.take(np.partition(z, -2, axis=-1), [place], axis=-1) for place in (-1, -2))
    # Where one class is far ahead, the others are summed without it: its own share would drown theirs.
    alone = (z == first) & (second < first)
    others = np.where(alone, 0.0, np.exp(z - first))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ahead = first - second - np.log(np.where(alone, 0.0, np.exp(z - second)).sum(-1, keepdims=True))
        total = others.sum(-1, keepdims=True) + alone.any(-1, keepdims=True)
        behind = z - first - np.log(total - others)
        found: Array = np.where(alone, ahead, behind)
    return np.clip(found, -MOST, MOST)


def among(values: Floats, columns: Sequence[int]) -> Array:
    """Return the log-odds of some classes, given that the image has one of them: the softmax over these alone.

    Args:
        values: Log-odds of all classes, (…, c), as `log_odds` gives them.
        columns: The classes that stay, k of them.

    Returns:
        (…, k).
    """
    # log p = -log(1 + exp(-x)): the logarithm of a softmax is a logit
    return log_odds(-np.logaddexp(0.0, -np.asarray(values, np.float64)[..., list(columns)]), multilabel=False)


def log_odds_of(probabilities: Floats) -> Array:
    """Return the log-odds of probabilities, of any shape."""
    p = np.asarray(probabilities, np.float64)
    with np.errstate(divide="ignore"):
        found: Array = np.log(p) - np.log1p(-p)
    return np.clip(found, -MOST, MOST)


def probabilities(values: Floats) -> Array:
    """Return the probabilities of log-odds, in double precision; log-odds of 0 give 0.5 exactly."""
    x = np.asarray(values, np.float64)
    small = np.exp(-np.abs(x))
    found: Array = np.where(x >= 0, 1.0, small) / (1 + small)
    return found


def scores_for(metric_id: str, values: Floats) -> Floats:
    """Return what a metric is computed from: the log-odds themselves where it ranks, else their probabilities."""
    return values if metric_id in RANKED else probabilities(values)
