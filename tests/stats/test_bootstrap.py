"""Intervals against scipy's bootstrap and closed forms, and their coverage of the true value in simulated splits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats as sp

from medbench.metrics import score
from medbench.stats import Draws, bootstrap
from medbench.stats.bootstrap import combine, evaluate
from medbench.stats.jackknife import Shape, Term
from medbench.stats.resampling import design


def binary(rng: np.random.Generator, y: np.ndarray, apart: float) -> np.ndarray:
    """Scores (n, 2) of a model whose classes are `apart` standard deviations from each other."""
    p = 1 / (1 + np.exp(-rng.normal(size=len(y)) - apart * (y - 0.5)))
    return np.stack([1 - p, p], 1)


def hits(right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores that are correct where `right` is, and targets of 1: accuracy is the mean of `right`."""
    return np.stack([1 - right, right], -1).astype(float), np.ones(right.shape[-1], int)


def test_accuracy_is_a_mean_and_has_its_standard_error():
    right = np.random.default_rng(1).random(300) < 0.8
    found = bootstrap("accuracy", *hits(right), draws=4000).interval()
    assert found.se == pytest.approx(right.std(ddof=1) / 300**0.5, rel=0.04)
    assert (found.draws, found.undefined, found.level) == (4000, 0, 0.95)
    assert found.low < right.mean() < found.high


def test_strata_remove_the_variance_of_the_make_up():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [240, 60])
    right = np.where(y == 0, rng.random(300) < 0.95, rng.random(300) < 0.4)
    scores = np.eye(2)[np.where(right, y, 1 - y)]
    within = sum((n / 300) ** 2 * right[y == k].var(ddof=1) / n for k, n in ((0, 240), (1, 60)))
    assert bootstrap("accuracy", scores, y, draws=4000).se == pytest.approx(within**0.5, rel=0.04)
    free = bootstrap("accuracy", scores, y, draws=4000, stratified=False).se
    assert free == pytest.approx(right.std(ddof=1) / 300**0.5, rel=0.04)


def test_draws_are_those_of_groups():
    """All eight images of a patient are right, or none: the spread is that of 50 patients, not of 400 images."""
    rng = np.random.default_rng(3)
    by_patient = rng.random(50) < 0.7
    scores, y = hits(np.repeat(by_patient, 8))
    found = bootstrap("accuracy", scores, y, groups=np.repeat(rng.permutation(50), 8), draws=4000)
    assert found.se == pytest.approx(by_patient.std(ddof=1) / 50**0.5, rel=0.04)


@pytest.mark.parametrize("seed", range(3))
def test_bca_of_a_mean_is_scipys(seed):
    """Without the small-sample correction, which scipy does not have. The draws differ: 3 % of the width is chance."""
    rng = np.random.default_rng(seed)
    right = rng.random(60) < 0.85
    draws = bootstrap("accuracy", *hits(right), draws=20_000)
    ours = Draws(draws.value, draws.values, Shape(draws.shape.acceleration)).interval()
    theirs = sp.bootstrap((right,), np.mean, n_resamples=20_000, method="BCa", rng=rng).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)
    assert abs(draws.shape.acceleration) > 0.01


def test_bca_of_an_auroc_of_two_strata_is_scipys():
    rng = np.random.default_rng(5)
    y = np.repeat([0, 1], [60, 20])
    scores = binary(rng, y, 2.2)

    def area(negative, positive, axis):
        gaps = np.moveaxis(positive, axis, -1)[..., :, None] - np.moveaxis(negative, axis, -1)[..., None, :]
        return ((gaps > 0) + 0.5 * (gaps == 0)).mean(axis=(-1, -2))

    draws = bootstrap("auroc", scores, y, draws=10_000)
    ours = Draws(draws.value, draws.values, Shape(draws.shape.acceleration)).interval()
    sides = (scores[y == 0, 1], scores[y == 1, 1])
    theirs = sp.bootstrap(
        sides, area, n_resamples=10_000, method="BCa", vectorized=True, batch=500, rng=rng
    ).confidence_interval
    width = theirs.high - theirs.low
    assert [ours.low, ours.high] == pytest.approx([theirs.low, theirs.high], abs=0.05 * width)
    plain = np.quantile(draws.values, [0.025, 0.975])
    assert np.abs(plain - [theirs.low, theirs.high]).max() > 0.1 * width  # percentiles would fail


def test_equal_seeds_add_nothing_and_one_seed_is_not_drawn():
    rng = np.random.default_rng(4)
    y = np.repeat([0, 1], 40)
    scores = binary(rng, y, 1.5)
    one, flat = bootstrap("auroc", scores[None], y), bootstrap("auroc", scores, y)
    five = bootstrap("auroc", np.repeat(scores[None], 5, axis=0), y)
    assert np.array_equal(one.values, flat.values)
    assert five.values == pytest.approx(one.values, abs=1e-12)
    assert five.interval().low == pytest.approx(one.interval().low, abs=1e-12)


def test_draws_average_the_drawn_seeds():
    """Three seeds with an accuracy of 0, 1 and 1/2 in each group: the draws are means of three of those."""
    right = np.stack([np.zeros(8), np.ones(8), np.tile([0, 1], 4)])
    scores, y = hits(right)
    found = bootstrap("accuracy", scores, y, groups=np.repeat(range(4), 2), draws=3000)
    possible = {round(sum(three) / 3, 9) for three in itertools.product([0, 1, 0.5], repeat=3)}
    assert set(np.round(found.values, 9)) == possible
    assert found.values.var() == pytest.approx(np.var([0, 1, 0.5]) / 3, rel=0.1)
    assert found.value == pytest.approx(0.5)


def test_draws_without_a_class_are_left_out_and_counted():
    scores, y = np.array([[0.3, 0.7], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]]), np.array([1, 0, 1, 0])
    found = bootstrap("auroc", scores, y, draws=4000, stratified=False).interval()
    assert found.undefined / 4000 == pytest.approx(2 / 16, abs=0.03)
    assert (found.low, found.high) == (1, 1)
    assert bootstrap("auroc", scores, y).interval().undefined == 0  # strata hold both classes
    lost = bootstrap("auroc", scores[[0, 2]], y[[0, 2]]).interval()
    assert (lost.undefined, math.isnan(lost.low), math.isnan(lost.se)) == (2000, True, True)


@pytest.mark.parametrize("skewed", [True, False])
@pytest.mark.parametrize("metric", ["auroc", "accuracy"])  # of few distinct values: many draws are equal
def test_p_agrees_with_the_interval(metric, skewed):
    """p < 1 - level exactly when the interval of that level excludes the point."""
    rng = np.random.default_rng(6)
    y = np.repeat([0, 1], [50, 20])
    found = bootstrap(metric, binary(rng, y, 1.0), y, draws=1000)
    draws = Draws(found.value, found.values, found.shape, skewed)
    for level in (0.5, 0.9, 0.95, 0.97):
        ends = draws.interval(level)
        for point, outside in ((ends.low, -1e-9), (ends.high, 1e-9)):
            assert draws.p(point + outside) < 1 - level + 1e-6
            assert draws.p(point) > 1 - level - 1e-6


@pytest.mark.parametrize("b", [2, 30, 1000])
def test_p_falls_without_a_floor(b):
    """Beyond the draws p goes on falling with the distance, without a step where they end."""
    values = np.random.default_rng(0).normal(0.5, 0.1, b)
    draws = Draws(0.5, values, skewed=False, units=100)
    p = [draws.p(null) for null in np.linspace(np.median(values), -1, 3001)]
    assert np.all(np.diff(p) <= 0)
    assert 0 < p[-1] < 1e-10
    if b == 1000:
        assert np.diff(np.log(p)).min() > -0.2, "no step"
        for z in (3, 4, 6):  # ten draws tell where the tail begins to 0.12 standard deviations
            exact = 2 * sp.norm.sf([z - 0.3, z + 0.3])
            assert exact[1] < draws.p(0.5 - 0.1 * z) < exact[0]


def test_draws_without_spread_have_the_p_of_a_sign_test():
    equal = Draws(1.0, np.ones(100), skewed=False, units=7)
    assert [equal.p(0.0), equal.p(1.0)] == [2 / 2**7, 1.0]


def test_without_variance_the_interval_is_a_point():
    scores, y = hits(np.ones(20))
    found = bootstrap("accuracy", scores, y)
    assert (found.interval().low, found.interval().high, found.se, found.p(1.0)) == (1, 1, 0, 1)


def test_same_arguments_same_draws():
    rng = np.random.default_rng(8)
    y = rng.integers(0, 3, 50)
    scores = rng.random((2, 50, 3))
    one, two, other = (bootstrap("kappa", scores, y, draws=50, seed=seed).values for seed in (0, 0, 1))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def ordinal(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    guess = np.clip(np.round(y + 0.7 * rng.normal(size=len(y))), 0, 4).astype(int)
    return np.eye(5)[guess]


COVERAGE = [
    ("accuracy", lambda rng, y: binary(rng, y, 1.7), [50, 50], 0.92),
    ("auroc", lambda rng, y: binary(rng, y, 3.0), [80, 20], 0.90),
    ("kappa_quadratic", ordinal, [34, 5, 32, 19, 13], 0.92),
]


@pytest.mark.parametrize(("metric", "model", "counts", "least"), COVERAGE, ids=[case[0] for case in COVERAGE])
def test_intervals_cover_the_truth(metric, model, counts, least):
    """300 test splits of 100 images; a share of 0.95 has a standard error of 0.013.

    Plain percentiles miss an AUROC near 1 too often: they would fail the bound.
    """
    rng = np.random.default_rng(11)
    many = np.repeat(np.arange(len(counts)), np.array(counts) * 2000)
    truth = score(metric, model(rng, many), many)
    y = np.repeat(np.arange(len(counts)), counts)
    covered = np.zeros(2)
    for repeat in range(300):
        draws = bootstrap(metric, model(rng, y), y, draws=500, seed=repeat)
        ends = draws.interval()
        low, high = np.quantile(draws.values, [0.025, 0.975])
        covered += [ends.low <= truth <= ends.high, low <= truth <= high]
    assert least <= covered[0] / 300 <= 0.98
    assert metric != "auroc" or covered[1] / 300 < 0.88


def test_intervals_without_the_level_of_seeds_do_not_cover():
    """The true value is over training seeds, too, and these differ as much as the images do."""
    rng = np.random.default_rng(12)
    y = np.repeat([0, 1], 60)
    apart = 1.7
    truth = float(np.mean([sp.norm.cdf((apart + 0.4 * e) / 2**0.5) for e in rng.normal(size=20_000)]))
    covered = np.zeros(2)
    for repeat in range(200):
        base = rng.normal(size=120)
        seeds = [0.9**0.5 * base + 0.1**0.5 * rng.normal(size=120) + (apart + 0.4 * rng.normal()) * y for _ in range(5)]
        p = 1 / (1 + np.exp(apart / 2 - np.stack(seeds)))
        scores = np.stack([1 - p, p], -1)
        term = evaluate("auroc", scores, y, plan := design(y), 300, repeat)
        whole = combine([term], plan, repeat).interval()
        fixed = Term(*(np.mean(part, axis=-1, keepdims=True) for part in (term.split, term.drawn)),
                     tuple(part.mean(axis=1, keepdims=True) for part in term.lacking))  # fmt: skip
        images = combine([fixed], plan, repeat).interval()
        covered += [ends.low <= truth <= ends.high for ends in (whole, images)]
    assert 0.91 <= covered[0] / 200 <= 0.99
    assert covered[1] / 200 < 0.88
