"""Temperatures against scipy's minimum of the log loss."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax

from medbench.metrics import log_odds, log_odds_of
from medbench.metrics.measures.temperature import LEAST, MOST, fit, scaled


@pytest.mark.parametrize("c", [2, 5])
def test_one_temperature_is_scipys_optimum(c):
    rng = np.random.default_rng(c)
    y = rng.integers(0, c, 400)
    logits = 3 * (rng.normal(size=(400, c)) + np.eye(c)[y])
    best = minimize_scalar(
        lambda t: -log_softmax(logits / t, axis=1)[np.arange(400), y].mean(), bounds=(0.1, 50), method="bounded",
        options={"xatol": 1e-9},
    )  # fmt: skip
    found = fit(log_odds(logits, multilabel=False), y)
    assert found == pytest.approx([best.x], rel=1e-6)
    values = scaled(log_odds(logits, multilabel=False), found, multilabel=False)
    np.testing.assert_allclose(values, log_odds(logits / found, multilabel=False), rtol=1e-9)


def test_each_label_has_its_own():
    rng = np.random.default_rng(0)
    y = (rng.random((500, 3)) < [0.5, 0.3, 0.1]).astype(np.uint8)
    x = np.array([1.0, 3.0, 0.4]) * (rng.normal(size=(500, 3)) + 2 * y - 1)
    best = [
        minimize_scalar(
            lambda t, k=k: np.logaddexp(0, (1 - 2.0 * y[:, k]) * x[:, k] / t).mean(), bounds=(0.05, 50),
            method="bounded", options={"xatol": 1e-10},
        ).x
        for k in range(3)
    ]  # fmt: skip
    found = fit(x, y)
    assert found.tolist() == pytest.approx(best, rel=1e-6)
    np.testing.assert_allclose(expit(scaled(x, found, multilabel=True)), expit(x / found))


def test_ends_and_what_has_none():
    right, y = np.array([[2.0, -2.0], [-2.0, 2.0]]), np.array([0, 1])
    assert fit(right, y).tolist() == [LEAST]
    assert fit(-right, y).tolist() == [MOST]
    assert fit(np.zeros((2, 2)), y).tolist() == [1.0]
    assert np.isnan(fit(right[:0], y[:0])).all()


def test_a_probability_of_0_for_the_truth_counts_as_in_log_loss():
    values = log_odds_of(np.array([[1.0, 0.0], [0.3, 0.7], [0.7, 0.3]]))
    assert LEAST < fit(values, np.array([1, 1, 0]))[0] <= MOST
