"""Logistic regression as a linear head: scikit-learn's problem and optimum, in the form of all other heads.

Own code: scikit-learn's L-BFGS sees the features as they are, and needs thousands of steps where their scales are far
apart. Here it works along the principal axes of the features, each divided by the square root of its curvature, which
changes its way but not the optimum, and each C starts from the optimum of the next smaller one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from medbench.progress import Advance, bar

NEVER = 30.0
"""The bias of a class or label without a training image is minus this; of a label that all images have, plus this."""
GRADIENT = 1e-7
"""The largest entry of the scaled gradient at which a fit ends: the objective is about 1e-11 above its least then."""
SMALL = 1 << 24
"""Numbers in the features up to which one thread is used: a step is so short that more would wait for each other."""

Floats = NDArray[np.float64]


class Logistic(NamedTuple):
    """A fitted head: logits are `features @ weight.T + bias`, followed by a softmax, or a sigmoid per label.

    Attributes:
        weight: (c, d).
        bias: (c,).
        warnings: What a reader must know: no convergence.
    """

    weight: Floats
    bias: Floats
    warnings: tuple[str, ...]


def fit_logistic(
    features: NDArray[np.floating],
    targets: NDArray[np.integer],
    classes: int,
    C: Sequence[float],
    balanced: bool = False,
    scale: bool = False,
    max_iter: int = 1000,
) -> list[Logistic]:
    """Fit logistic regression with an L2 penalty on the weights but not on the bias, once for each C.

    With one class per sample, it is a softmax over the classes that occur in training. With several labels, each has
    its own regression.

    A class without a training sample gets weight 0 and bias -30. The other logits sum to 0 (of two, one is 0), so the
    largest is at least 0 and the class's probability at most e^-30, about 1e-13. A label that no sample has, or that
    every sample has, gets weight 0 and bias -30 or 30. The record of every run names such classes.

    Args:
        features: (n, d).
        targets: (n,) class numbers below `classes`, or (n, c) zeros and ones.
        classes: Number of classes c.
        C: Inverse strengths of the penalty: a fit minimises C times the summed loss, plus half the squared weights.
        balanced: Weigh the samples of class k by n / (c n_k), where c counts the classes that occur in training.
        scale: Standardise the features first; weight and bias still apply to the features as given.
        max_iter: Largest number of iterations of a fit; no convergence by then is a warning.

    Returns:
        One head for each C, in their order.
    """
    x = np.asarray(features, np.float64)
    scaler = StandardScaler().fit(x) if scale else None
    x = x if scaler is None else scaler.transform(x)
    rows, bias = _fixed(targets, classes)
    found: dict[float, Logistic] = {}
    start: Floats | None = None
    few = 1 if x.size < SMALL else None
    with bar("logistic regression", len(set(C)), "values of C") as advance, threadpool_limits(few, "blas"):
        problem = _problem(x, targets, rows, balanced) if len(rows) else None
        for strength in sorted(set(C)):
            weight, own, told = np.zeros((classes, x.shape[1])), bias.copy(), []
            if problem is not None:
                start, steps = _minimise(problem, strength, max_iter, start, advance)
                weight[rows], own[rows] = problem.head(start)
                if steps is not None:
                    told.append(f"logistic regression failed to converge after {steps} iterations: raise max_iter")
            if scaler is not None:
                weight = weight / scaler.scale_
                own = own - weight @ scaler.mean_
            found[strength] = Logistic(weight, own, tuple(told))
            advance(1)
    return [found[strength] for strength in C]


def _fixed(targets: NDArray[np.integer], classes: int) -> tuple[NDArray[np.intp], Floats]:
    """Return the numbers of the rows that are fitted, and the biases of the others.

    Of two classes only the second has a row w: the rows [0; w] have its sigmoid as softmax.
    """
    share = targets.mean(axis=0) if targets.ndim == 2 else np.bincount(targets, minlength=classes) / len(targets)
    bias = np.where(share == 0, -NEVER, 0.0)
    if targets.ndim == 2:
        bias[share == 1] = NEVER
        return np.flatnonzero((share > 0) & (share < 1)), bias
    present = np.flatnonzero(share)
    return present[1:] if len(present) <= 2 else present, bias


@dataclass(frozen=True)
class _Problem:
    """The regressions of all rows k on features along their principal axes.

    Attributes:
        z: (n, r) centred features along the axes.
        axes: (d, r) orthonormal.
        mean: (d,) that was taken from the features.
        truth: (n, k) zeros and ones.
        each: (n, k) weights of the samples; those of a row sum to n.
        softmax: Whether the rows are the logits of one softmax; otherwise each has its own sigmoid.
    """

    z: Floats
    axes: Floats
    mean: Floats
    truth: Floats
    each: Floats
    softmax: bool

    def head(self, at: Floats) -> tuple[Floats, Floats]:
        """Return weight (k, d) and bias (k,) for the features as given; of a softmax, they sum to 0 over the rows."""
        at = at - at.mean(axis=0) if self.softmax else at
        weight = at[:, :-1] @ self.axes.T
        return weight, at[:, -1] - weight @ self.mean

    def predict(self, at: Floats) -> tuple[Floats, Floats]:
        """Return logits and probabilities (n, k) of the head `at` (k, r + 1), the bias last."""
        logits = self.z @ at[:, :-1].T + at[:, -1]
        if not self.softmax:
            return logits, 1 / (1 + np.exp(-np.clip(logits, -700, 700)))
        logits -= logits.max(axis=1, keepdims=True)
        exponents = np.exp(logits)
        return logits, exponents / exponents.sum(axis=1, keepdims=True)

    def value(self, at: Floats, penalty: float) -> tuple[float, Floats]:
        """Return the mean loss plus half of `penalty` times the squared weights, and its gradient (k, r + 1)."""
        logits, p = self.predict(at)
        if self.softmax:
            loss = np.log(np.exp(logits).sum(axis=1, keepdims=True)) * self.truth - logits * self.truth
        else:
            loss = np.logaddexp(0, logits) - logits * self.truth
        slope = self.each * (p - self.truth) / len(self.z)
        weight = at[:, :-1]
        gradient = np.column_stack([slope.T @ self.z + penalty * weight, slope.sum(axis=0)])
        return float((self.each * loss).sum() / len(self.z) + penalty / 2 * (weight**2).sum()), gradient

    def curvature(self, at: Floats, penalty: float) -> Floats:
        """Return the diagonal of the second derivative, (k, r + 1)."""
        _, p = self.predict(at)
        spread = self.each * p * (1 - p) / len(self.z)
        bend = np.stack([np.einsum("nr,n->r", self.z**2, column) for column in spread.T])
        return np.column_stack([bend + penalty, spread.sum(axis=0) + penalty])


def _problem(x: Floats, targets: NDArray[np.integer], rows: NDArray[np.intp], balanced: bool) -> _Problem:
    n, d = x.shape
    truth = (targets[:, rows] if targets.ndim == 2 else targets[:, None] == rows).astype(np.float64)
    softmax = targets.ndim == 1 and len(rows) > 1
    each = np.ones_like(truth)
    if balanced and softmax:
        each = each * (n / (len(rows) * truth.sum(axis=0)) @ truth.T)[:, None]
    elif balanced:
        share = truth.mean(axis=0)
        each = np.where(truth > 0, 0.5 / share, 0.5 / (1 - share))
    mean = x.mean(axis=0)
    centred = x - mean
    # The weights of a penalised fit are a sum of features, so with fewer samples than features n axes are enough.
    basis = np.linalg.qr(centred.T)[0] if n < d else np.eye(d)
    small = centred @ basis if n < d else centred
    axes = basis @ np.linalg.eigh(small.T @ small)[1]
    return _Problem(centred @ axes, axes, mean, truth, each, softmax)


def _minimise(
    problem: _Problem, C: float, max_iter: int, start: Floats | None, advance: Advance
) -> tuple[Floats, int | None]:
    """Return the best head (k, r + 1), and the number of iterations if they did not suffice."""
    penalty = 1 / (C * len(problem.z))
    at = np.zeros((problem.truth.shape[1], problem.z.shape[1] + 1)) if start is None else start
    size = 1 / np.sqrt(problem.curvature(at, penalty))

    def value(flat: Floats) -> tuple[float, Floats]:
        found, gradient = problem.value(flat.reshape(at.shape) * size, penalty)
        return found, (gradient * size).ravel()

    options = {"maxiter": max_iter, "maxls": 20, "gtol": GRADIENT, "ftol": 0.0, "maxfun": 50 * max_iter}
    done = 0

    def told(_: Floats) -> None:
        nonlocal done
        done += 1
        advance(0, f"C = {C:g}, step {done}")

    result = minimize(value, (at / size).ravel(), jac=True, method="L-BFGS-B", options=options, callback=told)
    return result.x.reshape(at.shape) * size, result.nit if result.nit >= max_iter else None
