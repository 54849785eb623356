"""Intervals of sums of absolute values."""

from __future__ import annotations

import numpy as np
import pytest

from medbench.stats import bootstrap_many, gap_intervals


def gaps_of(rows):
    """One number of one seed: the absolute means of the columns of (n, r) rows, added up."""
    return lambda weights: ((rows.T @ weights) / weights.sum(axis=0))[None, None]


def test_far_from_0_it_is_the_usual_interval():
    rows = np.random.default_rng(0).normal([4.0, -3.0, 2.0], size=(400, 3))
    y = np.zeros(400, int)
    (found,) = gap_intervals(gaps_of(rows), y, draws=2000)
    usual = bootstrap_many(lambda w: np.abs(gaps_of(rows)(w)).sum(axis=2), y)[0]
    assert (found.low, found.high) == pytest.approx((usual.interval().low, usual.interval().high), abs=0.02)
    assert found.se == pytest.approx(usual.se, rel=0.02)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("shift", [0.0, 0.15])
def test_it_covers_the_truth_near_0(shift, power):
    held = []
    for split in range(120):
        rows = np.random.default_rng([5, split]).normal(size=(100, 8)) + shift * np.array([1, 0] * 4)
        (found,) = gap_intervals(gaps_of(rows), np.zeros(100, int), draws=200, seed=split, power=power)
        held.append(found.low <= 4 * shift**power <= found.high)
        assert 0 <= found.low <= found.high
    assert np.mean(held) > 0.88  # 95 % less three and a half standard errors


def test_squares_far_from_0_have_the_usual_interval():
    rows = np.random.default_rng(0).normal([4.0, -3.0, 2.0], size=(400, 3))
    y = np.zeros(400, int)
    (found,) = gap_intervals(gaps_of(rows), y, draws=2000, power=2)
    usual = bootstrap_many(lambda w: (gaps_of(rows)(w) ** 2).sum(axis=2), y)[0]
    assert (found.low, found.high) == pytest.approx((usual.interval().low, usual.interval().high), abs=0.1)
    assert found.se == pytest.approx(usual.se, rel=0.02)


def test_patients_and_seeds_widen_it():
    rng = np.random.default_rng(0)
    own = np.repeat(rng.normal(size=(30, 4)), 5, axis=0) + 0.1 * rng.normal(size=(150, 4)) + 1
    y, patients = np.zeros(150, int), np.repeat(np.arange(30), 5)
    images, grouped = (gap_intervals(gaps_of(own), y, groups, 500)[0] for groups in (None, patients))
    assert grouped.se > 1.8 * images.se
    two = gaps_of(own), gaps_of(own + 1)
    (seeds,) = gap_intervals(lambda w: np.concatenate([gaps(w) for gaps in two], axis=1), y, None, 500)
    assert seeds.high - seeds.low > 1.5 * (images.high - images.low)


def test_what_is_no_number_has_no_interval():
    (found,) = gap_intervals(lambda w: np.full((1, 1, 2, w.shape[1]), np.nan), np.zeros(9, int), draws=50)
    assert np.isnan([found.low, found.high]).all()
    (found,) = gap_intervals(lambda w: np.zeros((1, 1, 2, w.shape[1])), np.zeros(9, int), draws=50)
    assert (found.low, found.high) == (0.0, 0.0)
