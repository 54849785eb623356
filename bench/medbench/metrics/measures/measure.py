"""Metrics that are computed on demand from stored predictions: at a threshold, of calibration, of part of a curve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medbench.metrics.formulas import equal_width, ratio
from medbench.metrics.log_odds import probabilities
from medbench.metrics.measures import class_sums as sums
from medbench.metrics.measures import temperature
from medbench.metrics.measures.calibration_line import CalibrationLine
from medbench.metrics.measures.class_sums import ByClass
from medbench.metrics.measures.thresholds import Rule, thresholds
from medbench.metrics.registry import NOMINAL
from medbench.metrics.registry import RANKED as SEVERAL
from medbench.metrics.scores import Array, Floats
from medbench.metrics.weighted_ranking import Weights, ap, auroc, partial_auroc

Kind = Literal["threshold", "bins", "probability", "ranking", "whole"]
Labels = NDArray[np.generic]
BINS, RATE = 15, 0.1
"""Bins, and highest false positive rate of a partial area, if the id does not say."""


@dataclass(frozen=True)
class Predictions:
    """Log-odds and targets of one part of the data.

    Attributes:
        log_odds: (n, c).
        targets: (n,) class numbers, or (n, c) zeros and ones for multilabel tasks.
    """

    log_odds: Floats
    targets: Labels

    @property
    def multilabel(self) -> bool:
        """Whether an image may have several labels."""
        return self.targets.ndim == 2

    @property
    def has(self) -> NDArray[np.bool_]:
        """(n, c) which images have each class."""
        if self.multilabel:
            return np.asarray(self.targets != 0)
        return np.equal.outer(self.targets.astype(np.int64), np.arange(self.log_odds.shape[1]))


@dataclass(frozen=True)
class Base:
    """A name that ids begin with.

    Attributes:
        kind: `threshold`: of images called positive. `bins` and `probability`: of probabilities, which may be scaled by
            a temperature. `ranking`: of the order of images. `whole`: of all classes at once.
        higher_is_better: Its direction; None: neither.
        plain: Tasks of the id without `_macro`.
        macro: Tasks of the id with `_macro`, the mean over classes.
        each: Whether it is defined for each class alone.
    """

    kind: Kind
    higher_is_better: bool | None = True
    plain: tuple[str, ...] = ("binary",)
    macro: tuple[str, ...] = SEVERAL
    each: bool = True


def _of_probabilities(kind: Kind, higher: bool | None) -> Base:
    return Base(kind, higher, plain=NOMINAL, macro=(*NOMINAL, "multilabel"))


MEASURES: dict[str, Base] = {
    **dict.fromkeys(("sensitivity", "specificity", "ppv", "npv"), Base("threshold")),
    **dict.fromkeys(("youden", "balanced_accuracy", "net_benefit"), Base("threshold")),
    "auroc": Base("ranking"),
    "auroc_partial": Base("ranking"),
    "ap": Base("ranking"),
    "ece": _of_probabilities("bins", False),
    "brier": _of_probabilities("probability", False),
    "brier_reliability": _of_probabilities("bins", False),
    "brier_resolution": _of_probabilities("bins", True),
    "brier_uncertainty": _of_probabilities("bins", None),
    "calibration_slope": Base("probability", None),
    "calibration_intercept": Base("probability", None),
    "log_loss": Base("probability", False, plain=(*NOMINAL, "multilabel"), macro=(), each=False),
    "mae": Base("whole", False, plain=("ordinal",), macro=(), each=False),
    "adjacent_accuracy": Base("whole", True, plain=("ordinal",), macro=(), each=False),
}
"""All names."""


@dataclass(frozen=True)
class Measure:
    """One metric, as its id says.

    Attributes:
        name: A name in `MEASURES`.
        macro: Whether it is the mean over classes, each one against the rest.
        rule: How thresholds are chosen; None for what has none.
        size: Number of bins.
        mass: Whether the bins are of equal mass; else of equal width.
        rate: The highest false positive rate of a partial area.
        scaled: Whether the predictions are first scaled by temperatures that are fitted on validation.
    """

    name: str
    macro: bool = False
    rule: Rule | None = None
    size: int = BINS
    mass: bool = False
    rate: float = RATE
    scaled: bool = False

    @property
    def base(self) -> Base:
        """The entry of its name in `MEASURES`."""
        return MEASURES[self.name]

    @property
    def id(self) -> str:
        """Its id, the same for all spellings."""
        detail = ":mass" * self.mass + f":{self.size}" * (self.size != BINS) + f":{self.rate!r}" * (self.rate != RATE)
        choice = "@temperature" if self.scaled else "" if self.rule is None else f"@{self.rule}"
        return f"{self.name}{'_macro' * self.macro}{detail}{choice}"

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks for which it is defined."""
        return self.base.macro if self.macro else self.base.plain

    @property
    def on_validation(self) -> bool:
        """Whether something is chosen on validation images first."""
        return self.scaled or (self.rule is not None and self.rule.on_validation)

    def values(self, test: Predictions, validation: Predictions | None = None, each: bool = False) -> ByClass:
        """Return the metric as a function of weights of the test images.

        What is chosen on validation is fixed: it is the same for all weights. So are the edges of bins of equal mass.

        Args:
            test: The test predictions.
            validation: The validation predictions of the same training seed.
            each: One value for each class against the rest; False: one value.

        Returns:
            (n, b) weights -> (c, b) values with `each`, else (1, b); nan where undefined, for example if all or none
            of the validation images have a class.

        Raises:
            ValueError: It needs validation predictions, or is not defined for each class.
        """
        if self.name == "ece" and (gaps := self.gaps(test, validation, each)) is not None:
            return lambda weights: np.abs(gaps(weights)).sum(axis=1)
        test = self._scaled(test, validation, each)
        if not np.isfinite(test.log_odds).all() or not len(test.targets):
            return lambda weights: np.full((test.log_odds.shape[1] if each else 1, weights.shape[1]), np.nan)
        if not (each or self.macro) and (whole := self._whole(test)) is not None:
            return whole
        columns = slice(None) if each or self.macro else slice(1, 2)
        by_class = self._by_class(test, validation, columns)
        return by_class if each or not self.macro else lambda weights: _mean_of_defined(by_class(weights))

    @property
    def power(self) -> int:
        """The power of `gaps` that adds up to the metric: 1, or 2 for a sum of squares."""
        return 2 if self.name == "brier_reliability" else 1

    def gaps(self, test: Predictions, validation: Predictions | None = None, each: bool = False) -> ByClass | None:
        """Return the signed numbers whose absolute values (to the `power`) add up to the metric; None: there are none.

        A calibration error and the reliability of the Brier score are. Arguments and errors are those of `values`.

        Returns:
            (n, b) weights -> (k, r, b) of r bins, or of the bins of all classes where the metric is their mean or sum.
        """
        if self.name not in ("ece", "brier_reliability"):
            return None
        scaled = self._scaled(test, validation, each)
        p, alone = probabilities(scaled.log_odds), not (each or self.macro)
        if self.name == "ece" and alone:
            top = p.argmax(axis=1)
            sure, right = p[np.arange(len(p)), top][:, None], (top == test.targets)[:, None]
            return sums.calibration_gaps(sure, right, self._bins(sure), self.size)
        binary = alone and p.shape[1] == 2 and not test.multilabel  # of class 1, as in `_whole`
        p, has = (p[:, 1:], test.has[:, 1:]) if binary else (p, test.has)
        make = sums.calibration_gaps if self.name == "ece" else sums.reliability_gaps
        found, k = make(p, has, self._bins(p), self.size), p.shape[1]
        share = k ** (-1 / self.power) if self.macro else 1.0
        return found if each else lambda weights: found(weights).reshape(1, k * self.size, -1) * share

    def _scaled(self, test: Predictions, validation: Predictions | None, each: bool) -> Predictions:
        """Return the test predictions, scaled where the metric says so; check the arguments of `values`."""
        if self.on_validation and validation is None:
            raise ValueError(f"{self.id} needs validation predictions")
        if each and not self.base.each:
            raise ValueError(f"{self.id} is not defined for each class")
        if self.scaled and validation is not None:
            fitted = temperature.fit(validation.log_odds, validation.targets)
            return Predictions(temperature.scaled(test.log_odds, fitted, multilabel=test.multilabel), test.targets)
        return test

    def _whole(self, test: Predictions) -> ByClass | None:
        """Return a metric that is not a mean over classes; None if it is the metric of class 1."""
        p, y = probabilities(test.log_odds), test.targets
        binary = p.shape[1] == 2 and not test.multilabel
        if self.base.kind == "whole":
            apart = np.abs(p.argmax(axis=1) - y.astype(np.int64))[:, None].astype(np.float64)
            return sums.mean(apart if self.name == "mae" else (apart <= 1).astype(np.float64))
        if self.name == "log_loss":
            tiny = np.finfo(np.float64).eps
            p = np.clip(p, tiny, 1 - tiny)
            own = np.where(test.has, p, 1 - p) if test.multilabel else p[np.arange(len(p)), y.astype(np.int64)][:, None]
            return sums.mean(-np.log(own).mean(axis=1, keepdims=True))
        if self.name.startswith("brier") and not binary:  # over all classes, as Brier defined it
            by_class = self._by_class(test, None, slice(None))
            return lambda weights: by_class(weights).sum(axis=0, keepdims=True)
        return None

    def _by_class(self, test: Predictions, validation: Predictions | None, columns: slice) -> ByClass:
        """Return the metric of some classes, each against the rest."""
        x, has = np.asarray(test.log_odds)[:, columns], test.has[:, columns]
        if self.base.kind == "threshold":
            assert self.rule is not None
            source = test if validation is None else validation
            return self._at(thresholds(self.rule, source.log_odds[:, columns], source.has[:, columns]), x, has)
        if self.base.kind == "ranking":
            return _stacked([self._ranking()(x[:, k], has[:, k]) for k in range(x.shape[1])])
        if self.name.startswith("calibration_"):
            slope = self.name == "calibration_slope"
            return _stacked([CalibrationLine(x[:, k], has[:, k], slope=slope) for k in range(x.shape[1])])
        p = probabilities(x)
        if self.name == "brier":
            return sums.brier(p, has)
        return sums.brier_part(self.name, p, has, self._bins(p), self.size)

    def _at(self, limits: Array, x: Floats, has: NDArray[np.bool_]) -> ByClass:
        """Return the metric at a threshold for each class; nan where validation gave none."""
        odds = self.rule.at / (1 - self.rule.at) if self.rule is not None and not self.rule.on_validation else 1.0
        found = sums.at_threshold(self.name, x >= limits, has, odds)
        known = ~np.isnan(limits)[:, None]
        return lambda weights: np.where(known, found(weights), np.nan)

    def _ranking(self) -> Callable[[Floats, NDArray[np.bool_]], Callable[[Weights], Array]]:
        if self.name == "auroc_partial":
            return lambda x, has: partial_auroc(x, has, self.rate)
        return auroc if self.name == "auroc" else ap

    def _bins(self, p: Floats) -> NDArray[np.int64]:
        return sums.equal_mass(p, self.size) if self.mass else equal_width(p, self.size)


def _stacked(curves: Sequence[Callable[[Weights], Array]]) -> ByClass:
    return lambda weights: np.stack([curve(weights) for curve in curves])


def _mean_of_defined(values: Array) -> Array:
    """Return the (1, b) mean over classes of (c, b) values, without undefined ones."""
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0).sum(axis=0), known.sum(axis=0))[None]
