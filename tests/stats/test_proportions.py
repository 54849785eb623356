"""Intervals of shares: Wilson's for independent images, and their coverage for patients of several images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from medbench.stats.proportions import shares


def ends(p: float, n: float) -> list[float]:
    """The shares q at which (p - q)² is z² q (1 - q) / n: Wilson's definition, for any n."""
    z = norm.ppf(0.975)
    return sorted(np.roots([1 + z * z / n, -2 * p - z * z / n, p * p]).tolist())


@pytest.mark.parametrize(("hits", "n"), [(0, 7), (3, 10), (10, 10), (57, 60), (1, 1)])
def test_independent_images_have_wilsons_interval(hits, n):
    share, low, high = shares(np.r_[np.ones(hits), np.zeros(n - hits)][None], np.ones((1, n)))
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert (share[0], low[0], high[0]) == pytest.approx((hits / n, expected.low, expected.high), abs=1e-12)


def test_images_of_a_patient_that_agree_count_once():
    one = np.r_[np.ones(6), np.zeros(14)][None]
    share, low, high = shares(one, np.ones((1, 20)))
    assert (share[0], low[0], high[0]) == pytest.approx((0.3, *ends(0.3, 20)))
    share, low, high = shares(4 * one, np.full((1, 20), 4.0))
    n = 80 * 19 / 79  # the variance between 20 patients is 79 / 19 times that of 80 independent images
    assert (share[0], low[0], high[0]) == pytest.approx((0.3, *ends(0.3, n)))


def test_where_all_agree_patients_count():
    _, low, high = shares(np.full((1, 5), 3.0), np.full((1, 5), 3.0))
    expected = binomtest(5, 5).proportion_ci(method="wilson")
    assert (low[0], high[0]) == pytest.approx((expected.low, 1), abs=1e-12)


def test_without_trials_there_is_no_number():
    assert np.isnan(shares(np.zeros((1, 3)), np.zeros((1, 3)))).all()


@pytest.mark.parametrize("alike", [0.0, 0.5])
def test_coverage(alike):
    """2,000 test splits of 40 patients with 1 to 4 images, each its patient's with probability `alike`."""
    source, splits, true = np.random.default_rng(0), 2000, 0.8
    n = source.integers(1, 5, (splits, 40))
    own = source.random((splits, 40)) < true
    same = source.random((splits, 40, 4)) < alike
    images = np.where(same, own[..., None], source.random((splits, 40, 4)) < true) & (np.arange(4) < n[..., None])
    _, low, high = shares(images.sum(axis=2).astype(float), n.astype(float))
    assert 0.93 <= np.mean((low <= true) & (true <= high)) <= 0.97
