"""Ranking metrics of weighted samples: scores are sorted once, then each draw is sums of weights.

The scores of one side (positives or negatives) are steps; a score of the other side only counts by the steps it is
between. So a draw costs sums of weights, and the running sums are as long as the smaller side.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medbench.metrics.formulas import ratio
from medbench.metrics.scores import Array, Floats, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Weights = NDArray[np.float32]
"""(n, b) integers: how often image i is in draw j. Their sums are exact below 2**24 images."""
AT_ONCE = 4_000_000
"""Images times draws held at once: 16 MB of weights, less than 256 MB with what is computed from them."""
PIECES = 64
"""Pieces of a ROC curve that are computed at once; those to the right of the highest rate are not computed."""
Curve = Callable[[Weights], Array]
"""(n, b) weights -> (b,) values of one class; nan where undefined."""


def auroc(scores: Floats, has: NDArray[np.bool_]) -> Curve:
    """Return the area under the ROC curve of one class as a function of weights.

    It is the share, by weight, of (positive, negative) pairs in the right order, with ties as one half.

    Args:
        scores: (n,) scores of the class.
        has: (n,) which images have it.
    """
    few, many = (has, ~has) if 2 * has.sum() <= len(has) else (~has, has)
    steps, at = np.unique(scores[few], return_inverse=True)
    own = sums(_placed(few, at), len(steps))
    # Bin 2k: between the steps k - 1 and k; bin 2k + 1: at the step k itself.
    bins = np.searchsorted(steps, scores[many], "left") + np.searchsorted(steps, scores[many], "right")
    between = sums(_placed(many, bins), 2 * len(steps) + 1)

    def values(weights: Weights) -> Array:
        held, below = own @ weights, _running(between @ weights)
        twice = below[:-1:2] + below[1::2]  # twice the weight below each step plus the weight that ties with it
        right = np.einsum("kb,kb->b", held, twice, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            share = right / (2 * held.sum(axis=0, dtype=np.float64) * below[-1])
        return np.asarray(share if few is has else 1 - share)

    return values


def ap(scores: Floats, has: NDArray[np.bool_]) -> Curve:
    """Return the average precision of one class as a function of weights.

    It is the mean over the positives of the precision among all images with the same or a higher score.

    Args:
        scores: (n,) scores of the class.
        has: (n,) which images have it.
    """
    steps, at = np.unique(-scores[has], return_inverse=True)  # from the highest score down
    own = sums(_placed(has, at), len(steps))
    other = sums(_placed(~has, np.searchsorted(steps, -scores[~has], "left")), len(steps) + 1)

    def values(weights: Weights) -> Array:
        held = own @ weights
        true, false = _running(held.copy()), _running((other @ weights)[:-1])
        precision = true.astype(np.float64) / np.maximum(true + false, 1)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.einsum("kb,kb->b", held, precision) / held.sum(axis=0, dtype=np.float64))

    return values


def partial_auroc(scores: Floats, has: NDArray[np.bool_], most: float) -> Curve:
    """Return the partial area under the ROC curve of one class as a function of weights.

    It is the area at false positive rates up to `most`, standardized as in McClish, "Analyzing a portion of the ROC
    curve" (Medical Decision Making 1989): 0.5 for scores without information, 1 for a perfect order.

    Args:
        scores: (n,) scores of the class.
        has: (n,) which images have it.
        most: The highest false positive rate, above 0 and at most 1.
    """
    steps, at = np.unique(-np.asarray(scores), return_inverse=True)  # from the highest score down
    # Neighbouring steps with only positives, or with only negatives, are one straight piece of the curve.
    own, other = (np.bincount(at[side], minlength=len(steps)) > 0 for side in (has, ~has))
    kind = own + 2 * other
    piece = np.cumsum(np.append(0, (kind[1:] != kind[:-1]) | (kind[1:] == 3)))[at]
    size = int(piece.max()) + 1 if len(piece) else 0
    true, false = (sums(_placed(side, piece[side]), size) for side in (has, ~has))
    rises, moves = (np.bincount(piece[side], minlength=size) > 0 for side in (has, ~has))
    sides = np.stack([has, ~has]).astype(np.float32)

    def values(weights: Weights) -> Array:
        positives, negatives = (sides @ weights).astype(np.float64)
        limit, area = most * negatives, np.zeros(weights.shape[1])
        height, left = np.zeros_like(area), limit.copy()  # what is left of the limit
        for start in range(0, size, PIECES):
            ups, rights = (side[start : start + PIECES] @ weights for side in (true, false))
            for k, (up, right) in enumerate(zip(ups, rights, strict=True), start):
                if moves[k]:
                    width = np.minimum(right, left)
                    area += width * height
                    if rises[k]:
                        share = np.divide(width, right, out=np.zeros_like(area), where=right > 0)
                        area += width * share * up / 2
                    left -= width
                if rises[k]:
                    height += up
            if not left.any():
                break
        least = most * most / 2
        return 0.5 * (1 + (ratio(area, positives * negatives) - least) / (most - least))

    return values


def _placed(side: NDArray[np.bool_], bins: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return (n,) bins: `bins` for the images of one side, -1 for the others."""
    placed = np.full(len(side), -1, np.int64)
    placed[side] = bins
    return placed


def _running(rows: Weights) -> Weights:
    """Turn rows into their running sums, in place. numpy's cumsum goes down one column at a time, which is slower."""
    for before, row in itertools.pairwise(rows):
        row += before
    return rows


def sums(bins: Ints, size: int) -> csr_array:
    """Return the (size, n) matrix that sums the weights of the images in each bin; negative bins do not count."""
    from scipy.sparse import csr_array

    rows = np.flatnonzero(bins >= 0)
    return csr_array((np.ones(len(rows), np.float32), (bins[rows], rows)), shape=(size, len(bins)))
