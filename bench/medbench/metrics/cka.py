"""Linear CKA of stored feature matrices, in float64: how similar two representations of the same images are.

Kornblith et al., "Similarity of Neural Network Representations Revisited" (ICML 2019). With Gram matrices K and L,
CKA = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)). With few images and many dimensions the biased HSIC is large for any
features. The debiased one, HSIC_1 of Song et al., "Feature Selection via Dependence Maximization" (JMLR 2012), is not;
with it, CKA of unrelated features can be slightly negative.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FEWEST = 4
"""Images that the debiased estimate needs: its denominator is n (n - 3)."""
ROUNDING = 1e-13  # a smaller remainder of a cancellation is 0: if all images but one are the same, HSIC_1 is 0


def cka_matrix(features: Sequence[NDArray[np.floating]], *, debiased: bool = True) -> Array:
    """Return the linear CKA of every pair of m feature matrices (n, d_i) of the same n images in the same order.

    It does not change if a side is rotated, shifted or scaled. A pair takes n * min(d1 * d2, n * (d1 + d2)) steps.

    Returns:
        (m, m), symmetric: at most 1, from 0 with the biased HSIC. nan where it is not defined: fewer than 4 images
        (debiased), or features that are the same for all images (debiased: for all images but one).

    Raises:
        ValueError: The shapes do not fit.
    """
    if any(x.ndim != 2 or len(x) != len(features[0]) for x in features):
        raise ValueError(f"features {[x.shape for x in features]} are not matrices of the same images")
    m = len(features)
    if m and len(features[0]) < (FEWEST if debiased else 1):
        return np.full((m, m), np.nan)
    centred = [_centred(x) for x in features]
    dependence = np.empty((m, m))
    for i in range(m):
        for j in range(i, m):
            dependence[i, j] = dependence[j, i] = _hsic(centred[i], centred[j], debiased)
    own = np.diag(dependence)
    own = np.sqrt(np.where(own > 0, own, np.nan))
    return np.asarray(dependence / np.outer(own, own), np.float64)


def _centred(features: NDArray[np.floating]) -> Array:
    """Return features (n, d) less their mean; exact zeros where all images have the same value."""
    x = np.asarray(features, np.float64)
    x = x - x[:1]
    return np.asarray(x - x.mean(axis=0), np.float64)


def _hsic(x: Array, y: Array, debiased: bool) -> float:
    """Return HSIC of centred features, up to a factor that depends on n only.

    tr(K L) = ||X'Y||^2 needs no Gram matrix. HSIC_1 sets the diagonals of K and L to zero. The rows of K sum to 0, so a
    row without its diagonal element sums to -|x_i|^2. With u_i = |x_i|^2 and v_i = |y_i|^2

        n (n - 3) HSIC_1 = tr(K L) - n / (n - 2) u'v + sum(u) sum(v) / ((n - 1) (n - 2)).
    """
    n = len(x)
    narrow = x.shape[1] * y.shape[1] <= n * n
    product = float(np.square(x.T @ y).sum() if narrow else np.vdot(x @ x.T, y @ y.T))
    if not debiased:
        return product
    u, v = np.square(x).sum(axis=1), np.square(y).sum(axis=1)
    terms = np.array([product, -n / (n - 2) * (u @ v), u.sum() * v.sum() / ((n - 1) * (n - 2))])
    found = float(terms.sum())
    return found if abs(found) > ROUNDING * np.abs(terms).max() else 0.0
