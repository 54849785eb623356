"""Curves at fixed places against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from medbench.report.figures.predictions.averages import FALSE_RATES, RECALLS, averaged, precision_at, roc_at


@pytest.fixture(params=range(3))
def made(request) -> tuple[np.ndarray, np.ndarray]:
    source = np.random.default_rng(request.param)
    has = source.random(400) < 0.3
    return np.round(has + source.normal(size=400), 1), has  # with ties


def test_roc_is_that_of_scikit_learn(made):
    values = roc_at(*made)
    false, true, _ = roc_curve(made[1], made[0], drop_intermediate=False)
    np.testing.assert_allclose(values, np.interp(FALSE_RATES, false, true), atol=1e-12)
    area = float(np.sum((values[1:] + values[:-1]) / 2 * np.diff(FALSE_RATES)))
    assert area == pytest.approx(roc_auc_score(made[1], made[0]), abs=2e-3)


def test_precision_is_that_of_the_highest_threshold_with_the_recall(made):
    scores, has = made
    precision, recall, _ = precision_recall_curve(has, scores)
    by_hand = [precision[np.flatnonzero(recall >= r - 1e-12)[-1]] for r in RECALLS]  # thresholds ascend
    np.testing.assert_allclose(precision_at(scores, has), by_hand)
    assert np.mean(precision_at(scores, has)) == pytest.approx(average_precision_score(has, scores), abs=0.01)


def test_one_kind_of_images_alone_has_no_curve():
    scores, ones = np.arange(5.0), np.ones(5, bool)
    assert roc_at(scores, ones) is None
    assert roc_at(scores, ~ones) is None
    assert precision_at(scores, ~ones) is None
    np.testing.assert_array_equal(precision_at(scores, ones), 1)


def test_the_mean_over_classes_leaves_out_those_without_a_curve(made):
    scores, has = made
    both = np.stack([scores, -scores, scores], 1), np.stack([has, has, np.zeros_like(has)], 1)
    found = averaged(roc_at, [both, both], [0, 1, 2])
    assert found.shape == (2, len(FALSE_RATES))
    np.testing.assert_allclose(found[0], (roc_at(scores, has) + roc_at(-scores, has)) / 2)
    assert averaged(roc_at, [both], [2]) is None
