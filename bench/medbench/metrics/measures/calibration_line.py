"""Slope and intercept of calibration, for all draws of a bootstrap at once.

Cox, "Two further applications of a model for binary regression" (Biometrika 1958); Van Calster et al., "Calibration:
the Achilles heel of predictive analytics" (BMC Medicine 2019). The outcome is regressed on the log-odds x of the
prediction by logistic regression. Slope: b of logit P(y = 1) = a + b x; below 1 the predictions are too extreme.
Intercept: a of logit P(y = 1) = a + x; below 0 they are too high on average.

The likelihood is maximized by Newton's method. A few sets of weights are computed from all images. For many sets, the
draws of a bootstrap, the weights of the images are first moved to the points of a grid: the sum over images of a smooth
function of x is that over the four points around each x, with the factors of cubic interpolation. The error is below
a thousandth of the standard error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medbench.metrics.measures.class_sums import FEW
from medbench.metrics.measures.temperature import SURE
from medbench.metrics.scores import Array, Floats

if TYPE_CHECKING:
    from scipy.sparse import csc_array

STEPS, CLOSE = 50, 1e-7
"""Most steps, and the step length in standard errors at which the iteration stops. The error is about its square."""
LITTLE = 1e-3
"""Sum of p (1 - p) below which there is no maximum: the score separates the classes, and the slope has no bound."""
SPACING = 0.1
"""Distance between the points of the grid, in log-odds."""


class CalibrationLine:
    """The calibration of one class, as a function of weights.

    Args:
        x: (n,) log-odds of the class. They are clipped to ±36, as probabilities are for log loss.
        has: (n,) which images have it.
        slope: Return the slope; False: the intercept.
    """

    def __init__(self, x: Floats, has: NDArray[np.bool_], *, slope: bool) -> None:
        self.x = np.clip(np.asarray(x, np.float64), SURE, -SURE)
        self.has, self.slope = np.asarray(has, bool), slope
        self.start = self._solved(self.x, np.ones((len(x), 1)), np.ones((len(x), 1)), np.zeros((1 + slope, 1)))

    def __call__(self, weights: NDArray[np.floating]) -> Array:
        """Return (b,) values for (n, b) weights; nan where the likelihood has no maximum."""
        if np.isnan(self.start).any():
            return np.full(weights.shape[1], np.nan)
        start = np.repeat(self.start, weights.shape[1], axis=1)
        if weights.shape[1] <= FEW:
            return np.asarray(self._solved(self.x, weights.astype(np.float64), weights.astype(np.float64), start)[-1])
        points, to_points = self._grid
        weights = weights.astype(np.float32, copy=False)
        return np.asarray(self._solved(points, to_points @ weights, weights, start)[-1])

    @property
    def _grid(self) -> tuple[Array, csc_array]:
        """Return the (g,) points and the (g, n) matrix that moves weights of images to them."""
        from scipy.sparse import csr_array

        first = np.floor(self.x.min() / SPACING) - 1
        place = self.x / SPACING - first
        left = np.floor(place)
        t = place - left
        factors = [-t * (t - 1) * (t - 2) / 6, (t + 1) * (t - 1) * (t - 2) / 2, -(t + 1) * t * (t - 2) / 2,
                   (t + 1) * t * (t - 1) / 6]  # fmt: skip
        indices = (left.astype(np.int64)[:, None] + np.array([-1, 0, 1, 2])).ravel()
        size, n = int(indices.max()) + 1, len(self.x)
        entries = np.stack(factors, axis=1).astype(np.float32).ravel()
        to_points = csr_array((entries, indices, np.arange(0, 4 * n + 1, 4)), shape=(n, size)).T
        return (first + np.arange(size)) * SPACING, to_points

    def _solved(self, x: Array, moved: Floats, weights: Floats, theta: Array) -> Array:
        """Return (k, b) solutions, nan where there is none.

        Args:
            x: (g,) log-odds of images or points.
            moved: (g, b) their weights.
            weights: (n, b) of the images, for what is observed.
            theta: (k, b) where to start: intercept and slope, or the intercept alone.
        """
        seen = np.stack([~self.has, self.has, self.has * self.x]).astype(weights.dtype) @ weights
        mixed, observed = (seen[:2] > 0).all(axis=0), seen[1 : 1 + len(theta)]
        design = np.stack([np.ones_like(x), x])[: len(theta)]
        offset = 0.0 if self.slope else x[:, None]
        products = (design[:, None] * design).reshape(len(theta) ** 2, -1)
        mass = moved.astype(np.float64)
        for _ in range(STEPS):
            with np.errstate(over="ignore"):  # p is then 0
                p = 1 / (1 + np.exp(-(offset + design.T @ theta)))
            expected = mass * p
            curvature = products @ (expected * (1 - p))
            step, size = _newton(observed - design @ expected, curvature)
            found = theta + step
            theta = np.where(mixed & (curvature[0] > LITTLE) & np.isfinite(found).all(axis=0), found, np.nan)
            if not (size[np.isfinite(theta).all(axis=0)] > CLOSE).any():
                return theta
        return np.where(size > CLOSE, np.nan, theta)


def _newton(score: Array, curvature: Array) -> tuple[Array, Array]:
    """Return the (k, b) steps and their lengths in standard errors, for one or two parameters."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if len(score) == 1:
            step = score / curvature
        else:
            (s, t), (one, x, _, square) = score, curvature
            step = np.stack([square * s - x * t, one * t - x * s]) / (one * square - x * x)
        return step, np.sqrt(np.abs((step * score).sum(axis=0)))
