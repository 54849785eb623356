"""Curves of one class against the rest, read at fixed places so that they can be averaged over classes and seeds.

The average is vertical (Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 2006, algorithm 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from medbench.metrics.scores import Array, Floats

FALSE_RATES = np.linspace(0, 1, 101) ** 2
"""False positive rates at which ROC curves are read: close together where curves are steep."""
RECALLS = np.linspace(0.01, 1, 100)
"""Recalls at which curves of precision are read."""
At = Callable[[Floats, NDArray[np.bool_]], "Array | None"]
"""(n,) scores, (n,) which images have the class -> values at fixed places; None: undefined."""


def roc_at(scores: Floats, has: NDArray[np.bool_]) -> Array | None:
    """Return the true positive rates at `FALSE_RATES`, linear between thresholds; None without both kinds of images."""
    from sklearn.metrics import roc_curve

    if has.all() or not has.any():
        return None
    return np.asarray(np.interp(FALSE_RATES, *roc_curve(has, scores)[:2]), np.float64)


def precision_at(scores: Floats, has: NDArray[np.bool_]) -> Array | None:
    """Return the precisions at `RECALLS`; None without images of the class.

    A recall has the precision of the highest threshold that reaches it. So the curve has steps, as the average
    precision assumes: a line between two thresholds would be too high (Davis and Goadrich, ICML 2006).
    """
    from sklearn.metrics import precision_recall_curve

    if not has.any():
        return None
    precision, recall, _ = precision_recall_curve(has, scores)
    reached = np.searchsorted(recall[::-1], RECALLS - 1e-12, "left")
    return np.asarray(precision[::-1][reached], np.float64)


def averaged(at: At, seeds: Sequence[tuple[Floats, NDArray[np.bool_]]], columns: Sequence[int]) -> Array | None:
    """Return the mean over classes of each seed's curves, (s, m).

    Args:
        at: Reads a curve.
        seeds: (n, c) scores and (n, c) classes of each training seed.
        columns: The classes; those without a curve are left out.
    """
    means = []
    for scores, has in seeds:
        curves = [curve for k in columns if (curve := at(scores[:, k], has[:, k])) is not None]
        if not curves:
            return None
        means.append(np.mean(curves, axis=0))
    return np.stack(means)
