"""Bins of confidence against scikit-learn, and their intervals against statsmodels' Wilson interval."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from medbench.report.figures.predictions.bins import binned, confidence_of
from medbench.stats.proportions import shares


@pytest.fixture
def made() -> tuple[np.ndarray, np.ndarray]:
    source = np.random.default_rng(0)
    p = source.random(500)
    return np.stack([1 - p, p], 1), (source.random(500) < p**1.5).astype(np.int64)


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_bins_are_those_of_scikit_learn(made, strategy):
    p, targets = made
    found = binned([confidence_of(p, targets, 1)], None, 12, strategy == "quantile")
    right, confidence = calibration_curve(targets, p[:, 1], n_bins=12, strategy=strategy)
    np.testing.assert_allclose(found.mean[found.count > 0], confidence)
    np.testing.assert_allclose(found.share[found.count > 0], right)
    assert found.count.sum() == 500


def test_confidences(made):
    p, targets = made
    sure, right = confidence_of(p, targets)
    assert sure[:, 0].tolist() == p.max(axis=1).tolist()
    assert right[:, 0].tolist() == ((p[:, 1] > 0.5) == targets).tolist()
    several = np.stack([targets, 1 - targets], 1)
    assert confidence_of(p, several)[1].tolist() == (several == 1).tolist()
    assert confidence_of(p, several, 1)[0].tolist() == p[:, [1]].tolist()


def test_seeds_with_the_same_predictions_add_no_certainty(made):
    p, targets = made
    one, two = (binned([confidence_of(p, targets, 1)] * seeds, None, 5) for seeds in (1, 2))
    np.testing.assert_allclose([one.low, one.high], [two.low, two.high])
    assert (two.count == 2 * one.count).all()


def test_patients_are_the_units(made):
    p, targets = made
    twice = np.repeat(p, 2, axis=0), np.repeat(targets, 2)
    one = binned([confidence_of(p, targets, 1)], None, 5)
    two = binned([confidence_of(*twice, 1)], np.repeat(np.arange(500), 2), 5)
    np.testing.assert_allclose(one.share, two.share)
    np.testing.assert_allclose(one.high - one.low, two.high - two.low, rtol=0.02)
    plain = binned([confidence_of(*twice, 1)], None, 5)
    assert (plain.high - plain.low < 0.8 * (two.high - two.low)).all()


def test_empty_bins_have_no_number():
    found = binned([(np.array([[0.9], [0.95]]), np.array([[True], [True]]))], None, 4)
    assert np.isnan(found.share[:3]).all()
    assert np.isnan(found.low[:3]).all()
    assert (found.share[3], found.high[3]) == (1, 1)
    expected = shares(np.ones((1, 2)), np.ones((1, 2)))
    assert found.low[3] == pytest.approx(expected[1][0])
