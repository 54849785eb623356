"""Thresholds and temperatures of a record: chosen on validation, then applied to test."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medbench.cards import DatasetCard
from medbench.metrics.measures import Predictions, measure
from medbench.metrics.measures.temperature import fit
from medbench.metrics.measures.thresholds import RECORDED, thresholds
from medbench.records.schema import Calibration


def chosen_on_validation(
    card: DatasetCard,
    test: NDArray[np.float64],
    test_targets: NDArray[np.integer],
    validation: NDArray[np.float64],
    validation_targets: NDArray[np.integer],
) -> dict[str, Any]:
    """Return a record's `calibration` and `thresholds`; nothing without validation images.

    Args:
        card: The data set's.
        test: (n, c) log-odds.
        test_targets: (n,) class numbers, or (n, c) zeros and ones.
        validation: (m, c) log-odds.
        validation_targets: Of these.
    """
    if not len(validation_targets) or not len(test_targets):
        return {}
    one, other = Predictions(test, test_targets), Predictions(validation, validation_targets)

    def value(metric: str) -> float | None:
        weights = np.ones((len(test_targets), 1), np.float32)
        return _known(float(measure(metric, card.task).values(one, other)(weights)[0, 0]))

    return {
        "calibration": Calibration(
            temperature=[_known(t) for t in fit(validation, validation_targets).tolist()],
            ece=value("ece"),
            ece_scaled=value("ece@temperature"),
            log_loss=value("log_loss"),
            log_loss_scaled=value("log_loss@temperature"),
        ),
        "thresholds": {
            str(rule): dict(zip(card.class_names, map(_known, found), strict=True))
            for rule in RECORDED
            for found in [thresholds(rule, validation, other.has).tolist()]
        },
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
