"""Thresholds that are chosen on validation images, and applied unchanged to test images.

A threshold is a number on the scale of log-odds, log(p / (1 - p)): an image is called positive if its log-odds are at
least this. As in scikit-learn's `roc_curve`, thresholds are the scores that occur, and one above all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medbench.errors import CardError
from medbench.metrics.scores import Array, Floats, Ints

RULES = "youden, specificity=0.9, sensitivity=0.9, or a probability such as 0.5"


@dataclass(frozen=True)
class Rule:
    """How a threshold is chosen.

    Attributes:
        kind: `youden`: the highest sensitivity + specificity - 1. `specificity`: the highest sensitivity among
            thresholds with at least this specificity. `sensitivity`: the highest specificity among thresholds with at
            least this sensitivity. `probability`: the given one; no image is needed.
        at: The specificity, sensitivity or probability, between 0 and 1; nan for `youden`.
    """

    kind: Literal["youden", "specificity", "sensitivity", "probability"] = "youden"
    at: float = math.nan

    @property
    def on_validation(self) -> bool:
        """Whether the threshold is chosen on validation images."""
        return self.kind != "probability"

    def __str__(self) -> str:
        if self.kind == "youden":
            return self.kind
        return f"{self.at!r}" if self.kind == "probability" else f"{self.kind}={self.at!r}"


RECORDED = (Rule(), Rule("specificity", 0.9), Rule("sensitivity", 0.9))
"""Rules whose thresholds every record holds."""


def rule_of(text: str, metric_id: str) -> Rule:
    """Return the rule after the `@` of a metric's id.

    Raises:
        CardError: There is no such rule.
    """
    kind, equals, number = text.partition("=")
    if text == "youden":
        return Rule()
    try:
        at = float(number if equals else text)
    except ValueError:
        at = math.nan
    if 0 < at < 1 and not equals:
        return Rule("probability", at)
    if 0 < at < 1 and kind == "specificity":
        return Rule("specificity", at)
    if 0 < at < 1 and kind == "sensitivity":
        return Rule("sensitivity", at)
    raise CardError(f"'{metric_id}': '{text}' is not a rule for choosing a threshold", f"after the @: {RULES}")


def thresholds(rule: Rule, log_odds: Floats, has: NDArray[np.bool_]) -> Array:
    """Return the threshold of each class.

    Args:
        rule: How they are chosen.
        log_odds: (n, c) of the validation images.
        has: (n, c) which of them have the class.

    Returns:
        (c,) log-odds; nan for a class that all or none of the validation images have.
    """
    if rule.kind == "probability":
        return np.full(log_odds.shape[1], math.log(rule.at) - math.log1p(-rule.at))
    return np.array([_threshold(rule, log_odds[:, k], has[:, k]) for k in range(log_odds.shape[1])], np.float64)


def _threshold(rule: Rule, x: Floats, has: NDArray[np.bool_]) -> float:
    """Return the threshold of one class from (n,) log-odds; the highest if several are equally good."""
    positives, negatives = np.sort(x[has]), np.sort(x[~has])
    p, n = len(positives), len(negatives)
    if not p or not n or not np.isfinite(x).all():
        return math.nan
    steps = np.unique(np.asarray(x, np.float64))
    steps = np.append(steps, np.nextafter(steps[-1], np.inf))  # this one calls no image positive
    true: Ints = p - np.searchsorted(positives, steps, "left")
    false: Ints = n - np.searchsorted(negatives, steps, "left")
    slack = 1e-9  # of a count: 0.7 * 10 is a little more than 7
    if rule.kind == "youden":
        gain = true * n - false * p  # integers, so that equal ones are equal
        return float(steps[len(steps) - 1 - int(np.argmax(gain[::-1]))])
    if rule.kind == "specificity":
        return float(steps[np.flatnonzero(n - false >= rule.at * n - slack)[0]])
    return float(steps[np.flatnonzero(true >= rule.at * p - slack)[-1]])
