"""Logistic regression as a linear head: scikit-learn's optimum, in the form of all other heads."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

NEVER = 30.0
"""The bias of a class or label without a training image is minus this; of a label that all images have, plus this."""

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
    C: float,
    balanced: bool = False,
    scale: bool = False,
    max_iter: int = 1000,
) -> Logistic:
    """Fit logistic regression with an L2 penalty on the weights but not on the bias, by L-BFGS in double precision.

    With one class per sample, it is a softmax over the classes that occur in training. With several labels, each has
    its own regression.

    A class without a training sample gets weight 0 and bias -30. The other logits sum to 0 (of two, one is 0), so the
    largest is at least 0 and the class's probability at most e^-30, about 1e-13. A label that no sample has, or that
    every sample has, gets weight 0 and bias -30 or 30. The record of every run names such classes.

    Args:
        features: (n, d).
        targets: (n,) class numbers below `classes`, or (n, c) zeros and ones.
        classes: Number of classes c.
        C: Inverse strength of the penalty: the fit minimises C times the summed loss, plus half the squared weights.
        balanced: Weigh the samples of class k by n / (c n_k), where c counts the classes that occur in training.
        scale: Standardise the features first; weight and bias still apply to the features as given.
        max_iter: Largest number of iterations; no convergence by then is a warning.
    """
    x = np.asarray(features, np.float64)
    scaler = StandardScaler().fit(x) if scale else None
    x = x if scaler is None else scaler.transform(x)
    weights = "balanced" if balanced else None
    regression = LogisticRegression(C=C, class_weight=weights, max_iter=max_iter, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        weight, bias = (_labels if targets.ndim == 2 else _softmax)(regression, x, targets, classes)
    if scaler is not None:
        weight = weight / scaler.scale_
        bias = bias - weight @ scaler.mean_
    messages = dict.fromkeys(" ".join(str(one.message).split("\n\n")[0].split()) for one in caught)
    return Logistic(weight, bias, tuple(messages))


Rows = tuple[Floats, Floats]


def _softmax(regression: LogisticRegression, x: Floats, targets: NDArray[np.integer], classes: int) -> Rows:
    """Fit a softmax. With two classes scikit-learn fits one logit w; the rows [0; w] have its sigmoid as softmax."""
    weight, bias = np.zeros((classes, x.shape[1])), np.full(classes, -NEVER)
    present = np.unique(targets)
    bias[present] = 0.0
    if len(present) > 1:
        regression.fit(x, targets)
        rows = present[1:] if len(present) == 2 else present
        weight[rows], bias[rows] = regression.coef_, regression.intercept_
    return weight, bias


def _labels(regression: LogisticRegression, x: Floats, targets: NDArray[np.integer], classes: int) -> Rows:
    weight, bias = np.zeros((classes, x.shape[1])), np.zeros(classes)
    share = targets.mean(axis=0)
    for k in range(classes):
        if 0 < share[k] < 1:
            regression.fit(x, targets[:, k])
            weight[k], bias[k] = regression.coef_[0], regression.intercept_[0]
        else:
            bias[k] = NEVER if share[k] else -NEVER
    return weight, bias
