"""Means and standard errors against closed forms."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from medbench.stats import paired_se, summary


def test_summary_is_the_textbook_s():
    values = [0.871, 0.88, 0.879, 0.9, 0.85]
    mean, std, n = summary(values)
    assert (mean, std, n) == (pytest.approx(statistics.mean(values)), pytest.approx(statistics.stdev(values)), 5)


def test_summary_of_few():
    assert summary([0.5]) == (0.5, None, 1)
    assert summary([]) == (None, None, 0)
    assert summary([None, 0.5, float("nan"), 0.7]) == (0.6, pytest.approx(0.2 / 2**0.5), 2)


def probabilities(right: np.ndarray) -> np.ndarray:
    """Binary scores that are right where told, for a truth of ones."""
    return np.stack([1 - right, right], 1).astype(float)


def test_paired_se_of_accuracy_is_the_paired_formula():
    """The gap of two accuracies is a mean of paired differences: its standard error is sd / sqrt(n)."""
    rng = np.random.default_rng(1)
    a, b = rng.random(400) < 0.8, rng.random(400) < 0.7
    expected = (a.astype(float) - b).std() / 20
    found = paired_se("accuracy", probabilities(a), probabilities(b), np.ones(400, int), draws=2000)
    assert found == pytest.approx(expected, rel=0.06)


def test_pairing_cancels_what_both_share():
    rng = np.random.default_rng(1)
    a, targets = probabilities(rng.random(400) < 0.8), np.ones(400, int)
    b = a.copy()
    b[0] = b[0, ::-1]
    assert paired_se("accuracy", a, a, targets) == 0
    assert 0 < paired_se("accuracy", a, b, targets) < 0.004


def test_seeds_are_averaged_on_the_same_draws():
    rng = np.random.default_rng(2)
    a, b, targets = rng.random((3, 80, 4)), rng.random((3, 80, 4)), rng.integers(0, 4, 80)
    by_hand = []
    draws = np.random.default_rng(7)
    for _ in range(50):
        rows = draws.integers(0, 80, 80)
        by_hand.append(np.mean([(x[rows].argmax(1) == targets[rows]).mean() for x in a])
                       - np.mean([(x[rows].argmax(1) == targets[rows]).mean() for x in b]))  # fmt: skip
    assert paired_se("accuracy", a, b, targets, draws=50, seed=7) == pytest.approx(np.std(by_hand, ddof=1))


def test_same_arguments_same_result_and_groups_widen():
    rng = np.random.default_rng(3)
    patient = np.repeat(np.arange(50), 8)
    a = probabilities(np.repeat(rng.random(50) < 0.7, 8))  # a patient's images stand or fall together
    b, targets = probabilities(np.ones(400)), np.ones(400, int)
    by_image = paired_se("accuracy", a, b, targets, draws=400)
    by_patient = paired_se("accuracy", a, b, targets, draws=400, groups=patient)
    assert by_image == paired_se("accuracy", a, b, targets, draws=400)
    assert by_patient / by_image == pytest.approx(8**0.5, rel=0.15)


def test_undefined_draws():
    scores, targets = np.array([[0.2, 0.8], [0.6, 0.4]]), np.array([1, 1])
    assert np.isnan(paired_se("auroc", scores, scores, targets))
