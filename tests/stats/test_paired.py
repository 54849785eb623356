"""Paired comparisons against closed forms, scipy's permutation test and the set of all permutations."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats as sp

from medbench.metrics import METRICS, score
from medbench.stats import detectable, paired, paired_se, permutation


def hits(right: np.ndarray) -> np.ndarray:
    """(..., n, 2) scores that are correct where `right` is, if all targets are 1."""
    return np.stack([1 - right, right], -1).astype(float)


def test_a_difference_of_accuracies_is_a_mean_of_paired_differences():
    rng = np.random.default_rng(1)
    a, b = rng.random(400) < 0.78, rng.random(400) < 0.8
    found = paired("accuracy", hits(a), hits(b), np.ones(400, int), draws=4000)
    gaps = a.astype(float) - b
    assert found.value == pytest.approx(gaps.mean())
    assert found.se == pytest.approx(gaps.std(ddof=1) / 20, rel=0.04)
    assert found.p() == pytest.approx(sp.ttest_1samp(gaps, 0).pvalue, rel=0.2)
    ends, t = found.interval(), sp.ttest_1samp(gaps, 0).confidence_interval()
    assert [ends.low, ends.high] == pytest.approx([t.low, t.high], abs=0.1 * (t.high - t.low))


def test_pairing_cancels_what_both_share():
    rng = np.random.default_rng(1)
    a = rng.random(400) < 0.7
    b = a.copy()
    b[:4] = ~b[:4]
    y = np.ones(400, int)
    assert paired("accuracy", hits(a), hits(b), y).se < 0.2 * paired("accuracy", hits(a), hits(b[::-1]), y).se
    same = paired("accuracy", hits(a), hits(a), y)
    assert (same.value, same.se, same.p(), same.interval().low) == (0, 0, 1, 0)


def test_groups_are_drawn():
    rng = np.random.default_rng(2)
    a, b = (np.repeat(rng.random(60) < share, 5) for share in (0.8, 0.6))
    y, patient = np.ones(300, int), np.repeat(np.arange(60), 5)
    by_image, by_patient = (paired("accuracy", hits(a), hits(b), y, groups=g, draws=4000) for g in (None, patient))
    assert by_patient.se / by_image.se == pytest.approx(5**0.5, rel=0.08)
    assert by_patient.p() > by_image.p()
    swapped = [permutation("accuracy", hits(a), hits(b), y, groups=g) for g in (None, patient)]
    assert swapped[1] > swapped[0]


def test_seeds_drawn_together_or_separately():
    """Seeds that both models share cancel if they are drawn together, and only then."""
    rng = np.random.default_rng(3)
    luck = np.linspace(0.6, 0.9, 5)
    right = rng.random((1, 300)) < luck[:, None]
    worse = right & (rng.random((5, 300)) < 0.95)
    y = np.ones(300, int)
    together = paired("accuracy", hits(right), hits(worse), y)
    apart = paired("accuracy", hits(right), hits(worse), y, same_seeds=False)
    assert together.value == pytest.approx(apart.value)
    assert together.se < 0.01
    per_seed = [side.mean(axis=1).var(ddof=1) / 5 for side in (right, worse)]
    assert apart.se == pytest.approx(sum(per_seed) ** 0.5, rel=0.15)
    assert apart.shape.freedom < 12  # two times five seeds
    with pytest.raises(ValueError, match="5 and 3 training seeds"):
        paired("accuracy", hits(right), hits(worse[:3]), y)
    assert paired("accuracy", hits(right), hits(worse[0]), y, same_seeds=False).se > 0


def test_true_nulls_are_rejected_as_often_as_they_should():
    """Two equal models on 100 images, 400 times: 5 % ± 1.1 % of p below 0.05, for both tests."""
    rng = np.random.default_rng(4)
    y = np.repeat([0, 1], [70, 30])
    found = []
    for repeat in range(400):
        shared = rng.normal(size=100)
        z = 0.8 * shared + 0.6 * rng.normal(size=(2, 100)) + 1.5 * (y - 0.5)
        a, b = (np.stack([1 - p, p], -1) for p in 1 / (1 + np.exp(-z)))
        by_swaps = permutation("auroc", a, b, y, permutations=200, seed=repeat)
        found.append((paired("auroc", a, b, y, draws=400, seed=repeat).p(), by_swaps))
    rejected = (np.array(found) < 0.05).mean(axis=0)
    assert (rejected > 0.02).all()
    assert (rejected < 0.085).all()


def test_fifty_rows_can_be_told_apart():
    """A row that is far worse than the best is found among 50, whatever the number of draws; an equal one is not."""
    rng = np.random.default_rng(8)
    y = np.arange(400) % 2
    shared, better = rng.normal(size=400) + 2 * y, 1.5 * rng.normal(size=(2, 400))
    best, equal, worse = (
        np.stack([-z, z], -1) for z in (shared + 0.1 * better[0], shared + 0.1 * better[1], better[0])
    )
    few, many = (paired("auroc", best, worse, y, draws=draws).p() for draws in (200, 4000))
    assert 0 < many < 1e-20
    assert 0 < few < 1e-20
    assert 50 * few < 0.05 < paired("auroc", best, equal, y, draws=200).p()
    small = [paired("auroc", best[:k], worse[:k], y[:k], draws=1000).p() for k in (60, 100)]
    assert small[1] < small[0] < 0.05 / 26, "58 patients could not be told apart by 1,000 draws in a column of 26 rows"


def test_power_is_that_of_the_permutation_test():
    """A difference that permutations find in about 70 % of 300 splits of 60 patients, two images each."""
    rng = np.random.default_rng(9)
    y, patient = np.repeat(np.arange(60) % 2, 2), np.repeat(np.arange(60), 2)
    found = []
    for repeat in range(300):
        common = np.repeat(rng.normal(size=60), 2) + 1.2 * y
        z = common + rng.normal(size=(2, 120)) * np.array([[0.6], [1.9]])
        a, b = np.stack([-z, z], -1)
        by_swaps = permutation("auroc", a, b, y, patient, permutations=300, seed=repeat)
        found.append((paired("auroc", a, b, y, patient, draws=300, seed=repeat).p(), by_swaps))
    power = (np.array(found) <= 0.05).mean(axis=0)
    assert 0.5 < power[1] < 0.9
    assert power[0] == pytest.approx(power[1], abs=0.05)


def test_detectable_difference():
    assert detectable(1.0) == pytest.approx(sp.norm.ppf(0.975) + sp.norm.ppf(0.8))
    assert detectable(1.0, freedom=4) == pytest.approx(sp.t.ppf(0.975, 4) + sp.t.ppf(0.8, 4))
    assert detectable(0.01) == pytest.approx(0.0280, abs=5e-5)
    assert detectable(1.0, level=0.01, power=0.9) == pytest.approx(sp.norm.ppf(0.995) + sp.norm.ppf(0.9))


def test_a_difference_of_that_size_is_found_four_times_in_five():
    rng = np.random.default_rng(5)
    n = 300
    y, found = np.ones(n, int), []
    for repeat in range(200):
        a = rng.random(n) < 0.75
        b = np.where(rng.random(n) < 0.5, a, rng.random(n) < 0.6)
        draws = paired("accuracy", hits(a), hits(b), y, draws=300, seed=repeat)
        found.append((detectable(draws.se), draws.p() < 0.05, draws.value))
    size, power, gap = np.mean(found, axis=0)
    assert gap == pytest.approx(size, rel=0.08), "the simulated difference is to be the detectable one"
    assert power == pytest.approx(0.8, abs=0.09)


@pytest.mark.parametrize("name", ["accuracy", "kappa_quadratic", "log_loss", "ece_15"])
def test_swaps_reach_the_p_of_all_swaps(name):
    """Seven images: 128 equally likely ways to swap."""
    rng = np.random.default_rng(6)
    y = np.array([0, 1, 2, 0, 1, 2, 2])
    a, b = rng.dirichlet(np.ones(3), (2, 7)), rng.dirichlet(np.ones(3), (2, 7))
    a[:, np.arange(7), y] += 0.6
    a /= a.sum(-1, keepdims=True)

    def gap(swap: np.ndarray) -> float:
        one, two = (np.where(swap[:, None], *pair) for pair in ((b, a), (a, b)))
        return float(np.mean([score(name, s, y) for s in one]) - np.mean([score(name, s, y) for s in two]))

    every = [gap(np.array(swap)) for swap in itertools.product([False, True], repeat=7)]
    exact = np.mean(np.abs(every) >= abs(every[0]) - 1e-12)
    assert permutation(name, a, b, y, permutations=8000) == pytest.approx(exact, abs=0.02)


def test_swaps_of_accuracy_are_scipys():
    rng = np.random.default_rng(7)
    a, b = rng.random(40) < 0.9, rng.random(40) < 0.65
    theirs = sp.permutation_test(
        (a.astype(float), b.astype(float)), lambda x, y, axis: x.mean(axis) - y.mean(axis), vectorized=True,
        permutation_type="samples", n_resamples=8000, rng=rng,
    ).pvalue  # fmt: skip
    ours = permutation("accuracy", hits(a), hits(b), np.ones(40, int), permutations=8000)
    assert ours == pytest.approx(theirs, abs=0.01)
    assert 0.001 < ours < 0.2


@pytest.mark.parametrize("name", [name for name in METRICS if name.startswith(("auroc", "ap"))])
def test_the_scale_does_not_change_p_of_ranking_metrics(name):
    """Scores of one model squeezed towards 0: the same order, the same metric, the same p."""
    rng = np.random.default_rng(8)
    y = rng.integers(0, 2, 40)
    z = rng.random((2, 40)) * 0.8 + 0.2 * y
    a, b, squeezed = (np.stack([1 - p, p], -1) for p in (z[0], z[1], z[1] ** 4))
    if name in ("auroc", "ap"):
        assert permutation(name, a, b, y) == permutation(name, a, squeezed, y)
    both = permutation(name, a, a[..., ::-1] * 0 + a, y)
    assert both == 1


def test_one_set_is_compared_with_each_seed():
    rng = np.random.default_rng(9)
    y = rng.integers(0, 3, 60)
    a, b = rng.dirichlet(np.ones(3), (4, 60)), rng.dirichlet(np.ones(3), 60)
    assert permutation("kappa", a, b, y) == permutation("kappa", a, np.repeat(b[None], 4, axis=0), y)


def test_what_has_no_p():
    y = np.ones(5, int)
    assert math.isnan(permutation("auroc", hits(y), hits(1 - y), y))
    assert math.isnan(paired("auroc", hits(y), hits(1 - y), y).p())
    with pytest.raises(ValueError):
        permutation("accuracy", np.ones((2, 5, 2)), np.ones((3, 5, 2)), y)


def test_paired_se_of_accuracy_is_the_standard_error_of_a_mean():
    """The gap of two accuracies, averaged over seeds, is a mean over images: its standard error is sd / sqrt(n)."""
    rng = np.random.default_rng(1)
    a, b = rng.random((3, 60)) < 0.8, rng.random((3, 60)) < 0.7
    differences = a.mean(0) - b.mean(0)
    found = paired_se("accuracy", hits(a), hits(b), np.ones(60, int), draws=20_000)
    assert found == pytest.approx(differences.std(ddof=1) / 60**0.5, rel=0.02)


def test_paired_se_draws_patients():
    rng = np.random.default_rng(3)
    patient = np.repeat(np.arange(50), 8)
    by_patient = rng.random(50) < 0.7  # all images of a patient are right, or none
    a, b, targets = hits(np.repeat(by_patient, 8)), hits(np.ones(400)), np.ones(400, int)
    found = paired_se("accuracy", a, b, targets, patient, draws=5000)
    assert found == pytest.approx(by_patient.std(ddof=1) / 50**0.5, rel=0.05)
    by_image = paired_se("accuracy", a, b, targets, draws=5000)
    assert found / by_image == pytest.approx(8**0.5, rel=0.05)


def test_paired_se_without_a_difference_is_0_and_the_same_arguments_give_the_same():
    rng = np.random.default_rng(1)
    a, targets = hits(rng.random(400) < 0.8), np.ones(400, int)
    b = a.copy()
    b[0] = b[0, ::-1]
    assert paired_se("accuracy", a, a, targets) == 0
    assert 0 < paired_se("accuracy", a, b, targets) < 0.004, "what both share cancels"
    assert paired_se("accuracy", a, b, targets) == paired_se("accuracy", a, b, targets)


def test_paired_se_of_an_undefined_metric_is_nan():
    scores = np.array([[0.2, 0.8], [0.6, 0.4]])
    assert np.isnan(paired_se("auroc", scores, scores, np.array([1, 1])))
