"""Temperature scaling: log-odds divided by one number that is fitted on validation images.

Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017). The logits of an image are divided by a temperature
T > 0 before the softmax. It changes how sure the predictions are, not which class is first. A multilabel task has one
temperature for each label.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medbench.metrics.log_odds import log_odds
from medbench.metrics.scores import Array, Floats

LEAST, MOST = 0.01, 100.0
"""Range of temperatures. If the likelihood rises up to an end (as when all predictions are right), it is the result."""
SURE = float(np.log(np.finfo(np.float64).eps))
"""Log of the smallest probability that is used, as in the metric `log_loss`; k-NN has probabilities of 0."""


def fit(values: Floats, targets: NDArray[np.generic]) -> Array:
    """Return the temperatures with the least log loss.

    Args:
        values: (n, c) log-odds of the validation images.
        targets: (n,) class numbers, or (n, c) zeros and ones for multilabel tasks.

    Returns:
        (1,) temperature, or (c,) of each label, from 0.01 to 100. nan where there are no images, or a score is not a
        number.
    """
    if targets.ndim == 1:
        return np.array([_fitted(_log_probabilities(values), targets.astype(np.int64))])
    pairs = (np.stack([_log_probabilities(-x), _log_probabilities(x)], axis=1) for x in np.asarray(values).T)
    return np.array([_fitted(pair, targets[:, k].astype(np.int64)) for k, pair in enumerate(pairs)])


def scaled(values: Floats, temperatures: Array, *, multilabel: bool) -> Array:
    """Return the (n, c) log-odds after scaling, from (n, c) log-odds; the classes of an image keep their order."""
    if multilabel:
        return np.asarray(values, np.float64) / temperatures
    return log_odds(_log_probabilities(values) / temperatures, multilabel=False)


def _log_probabilities(values: Floats) -> Array:
    """Return the logarithms of probabilities, which are logits of the softmax, from log-odds of the same shape."""
    return np.maximum(-np.logaddexp(0.0, -np.asarray(values, np.float64)), SURE)


def _fitted(logits: Array, targets: NDArray[np.int64]) -> float:
    """Return the temperature of (n, c) logits. The log loss is convex in 1 / T, so its slope has one root at most."""
    from scipy.optimize import brentq

    if not len(targets) or not np.isfinite(logits).all():
        return float("nan")
    own = logits[np.arange(len(targets)), targets]

    def slope(beta: float) -> float:
        z = beta * logits
        p = np.exp(z - z.max(axis=1, keepdims=True))
        return float(np.mean((p * logits).sum(axis=1) / p.sum(axis=1) - own))

    low, high = 1 / MOST, 1 / LEAST
    if slope(low) >= 0:  # also where all logits are equal: any temperature is as good
        return MOST if slope(low) > 0 else 1.0
    if slope(high) <= 0:
        return LEAST
    return 1 / float(brentq(slope, low, high, xtol=1e-13, rtol=1e-13))
