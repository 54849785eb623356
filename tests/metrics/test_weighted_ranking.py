"""Weighted curves against scikit-learn's sample weights."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from medbench.metrics.weighted_ranking import ap, auroc, sums


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("seed", range(5))
def test_curves_are_those_of_sample_weights(share: float, seed: int) -> None:
    """Few and many positives, with ties within and between the sides, and weights of 0."""
    rng = np.random.default_rng(seed)
    has = rng.random(60) < share
    has[:2] = True, False
    scores = np.round(rng.random(60) * 0.7 + 0.3 * has, 1)
    weights = rng.integers(0, 4, (60, 7)).astype(np.float32)
    weights[:2] = 1
    for curve, reference in ((auroc, sk.roc_auc_score), (ap, sk.average_precision_score)):
        expected = [reference(has, scores, sample_weight=column) for column in weights.T]
        assert curve(scores, has)(weights) == pytest.approx(expected, abs=1e-12)


def test_a_draw_without_a_side_is_nan() -> None:
    scores, has = np.array([0.2, 0.4, 0.6]), np.array([False, True, True])
    weights = np.array([[2, 0, 1], [1, 3, 0], [0, 0, 0]], np.float32)  # both sides, positives, a negative
    assert auroc(scores, has)(weights) == pytest.approx([1, np.nan, np.nan], nan_ok=True)
    assert ap(scores, has)(weights) == pytest.approx([1, 1, np.nan], nan_ok=True)


def test_sums_of_bins() -> None:
    bins = np.array([2, -1, 0, 2])
    weights = np.array([[1, 5], [7, 7], [2, 0], [3, 1]], np.float32)
    np.testing.assert_array_equal(sums(bins, 4) @ weights, [[2, 0], [0, 0], [4, 6], [0, 0]])


def test_counts_are_exact_in_large_samples() -> None:
    """One side has 40,000 of 60,000 images: the number of pairs is far above what float32 counts exactly."""
    rng = np.random.default_rng(0)
    has = rng.random(60_000) < 2 / 3
    scores = np.round(np.clip(rng.normal(0.4 + 0.1 * has, 0.2), 0, 1), 3)
    weights = rng.multinomial(60_000, np.full(60_000, 1 / 60_000), 2).T.astype(np.float32)
    for found, column in zip(auroc(scores, has)(weights), weights.T, strict=True):
        rows = np.repeat(np.arange(60_000), column.astype(int))
        assert found == pytest.approx(sk.roc_auc_score(has[rows], scores[rows]), abs=1e-14)
