from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats as scipy_stats

from medbench.stats.ranks import Repeats, bars, critical_difference, friedman, ranks

DEMSAR = """0.763 0.768 0.771 0.798
0.599 0.591 0.590 0.569
0.954 0.971 0.968 0.967
0.628 0.661 0.654 0.657
0.882 0.888 0.886 0.898
0.936 0.931 0.916 0.931
0.661 0.668 0.609 0.685
0.583 0.583 0.563 0.625
0.775 0.838 0.866 0.875
1.000 1.000 1.000 1.000
0.940 0.962 0.965 0.962
0.619 0.666 0.614 0.669
0.972 0.981 0.9751 0.975
0.957 0.978 0.946 0.970"""
"""Demšar 2006, table 6: AUC of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on 14 data sets.

The two equal numbers of the last row but one have the ranks 2 and 3 in the paper: a fourth digit tells them apart.
"""
Q05 = (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164)
"""Demšar 2006, table 5a: critical values of the two-tailed Nemenyi test at 0.05 for 2 to 10 classifiers."""


def demsar() -> np.ndarray:
    return np.array([line.split() for line in DEMSAR.splitlines()], float)


def test_ranks_are_scipys() -> None:
    values = np.random.default_rng(0).integers(0, 4, (6, 50, 7)).astype(float)
    np.testing.assert_allclose(ranks(values), scipy_stats.rankdata(-values, axis=-1), rtol=1e-12)
    assert ranks(np.array([0.3, 0.1 + 0.2, 0.1])).tolist() == [1.5, 1.5, 3.0], "a rounding error parts no tie"


def test_demsars_example() -> None:
    """Section 3.2.4: mean ranks 3.143, 2.000, 2.893, 1.964; chi-square 9.28, F 3.69 with 3 and 39 degrees; CD 1.25."""
    found = ranks(demsar())
    np.testing.assert_allclose(found.mean(axis=0), [3.143, 2.000, 2.893, 1.964], atol=5e-4)
    result = friedman(found)
    # the paper's chi-square has no correction for its ties: 12 N / (k (k + 1)) (sum R^2 - k (k + 1)^2 / 4)
    plain = 12 * 14 / 20 * ((found.mean(axis=0) ** 2).sum() - 4 * 25 / 4)
    assert plain == pytest.approx(9.28, abs=5e-3)
    assert result.statistic == pytest.approx(scipy_stats.friedmanchisquare(*demsar().T).statistic, rel=1e-9)
    assert result.p == pytest.approx(scipy_stats.f.sf(13 * result.statistic / (42 - result.statistic), 3, 39), rel=1e-9)
    assert result.p < 0.05, "as in the paper, where F(3, 39) has the critical value 2.85"
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=5e-3)
    assert critical_difference(4, 14, 0.10) == pytest.approx(1.12, abs=5e-3)


@pytest.mark.parametrize("k", range(2, 11))
def test_critical_differences_are_those_of_the_published_table(k: int) -> None:
    assert critical_difference(k, 10) == pytest.approx(Q05[k - 2] * np.sqrt(k * (k + 1) / 60), rel=4e-4)
    independent = scipy_stats.studentized_range.isf(0.05, k, np.inf) / np.sqrt(2)
    assert critical_difference(k, 10) == pytest.approx(independent * np.sqrt(k * (k + 1) / 60), rel=1e-9)


def test_friedmans_statistic_is_scipys_with_ties_and_without() -> None:
    source = np.random.default_rng(1)
    for values in (source.normal(size=(7, 5)), source.integers(0, 3, (9, 4)).astype(float)):
        expected = scipy_stats.friedmanchisquare(*values.T)
        assert friedman(ranks(values)).statistic == pytest.approx(expected.statistic, rel=1e-9)


def test_p_is_no_smaller_than_the_same_order_everywhere_allows() -> None:
    """By counting: of all (3!)^3 orders on 3 data sets, 3! agree everywhere."""
    orders = list(itertools.permutations((1.0, 2.0, 3.0)))
    agree = sum(len(set(drawn)) == 1 for drawn in itertools.product(orders, repeat=3))
    found = friedman(np.array([[1.0, 2.0, 3.0]] * 3))
    assert found.statistic == pytest.approx(6.0)
    assert found.p == pytest.approx(agree / len(orders) ** 3)
    assert not found.hopeless
    assert friedman(np.array([[1.0, 2.0, 3.0]] * 2)).hopeless, "two data sets never tell three entrants apart"


def test_all_equal_has_no_test() -> None:
    found = friedman(np.full((4, 3), 2.0))
    assert np.isnan(found.statistic)
    assert np.isnan(found.p)


def test_bars_are_the_largest_groups() -> None:
    assert bars([3.143, 2.000, 2.893, 1.964], 1.25) == [(3, 1, 2, 0)]
    assert bars([3.143, 2.000, 2.893, 1.964], 1.12) == [(3, 1, 2), (2, 0)]
    assert bars([1.0, 2.0, 3.0], 0.5) == []
    assert bars([1.0, 1.2, 1.4, 4.0, 4.1], 0.5) == [(0, 1, 2), (3, 4)]
    assert bars([1.0, 1.0], 0.0) == [(0, 1)]


def study(seed: int, true: np.ndarray, draws: int = 200) -> Repeats:
    source = np.random.default_rng(seed)
    n, k = true.shape
    return Repeats(true + source.normal(size=(n, k)), source.normal(size=(n, draws, k)))


def test_clear_differences_have_no_spread() -> None:
    found = study(0, 40.0 * np.arange(3)[None].repeat(4, 0))
    assert found.intervals() == [(3.0, 3.0), (2.0, 2.0), (1.0, 1.0)]
    assert found.first.tolist() == [0.0, 0.0, 1.0]
    assert found.alike().tolist() == [False, False, True]
    np.testing.assert_allclose(found.factors, 1, atol=1e-3)


def test_without_noise_nothing_moves() -> None:
    found = Repeats(np.array([[0.1, 0.2, 0.2], [0.3, 0.1, 0.2]]), np.zeros((2, 20, 3)))
    assert found.mean_ranks.tolist() == [2.0, 2.25, 1.75]
    assert found.intervals() == [(2.0, 2.0), (2.25, 2.25), (1.75, 1.75)]
    assert found.first.tolist() == [0.0, 0.0, 1.0]
    assert found.alike().tolist() == [False, False, True]


def test_equal_entrants_share_the_first_place_and_are_alike() -> None:
    shares = np.mean([study(seed, np.zeros((4, 3))).first for seed in range(60)], axis=0)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.05)
    same = Repeats(np.ones((2, 2)), np.zeros((2, 10, 2)))
    assert same.first.tolist() == [0.5, 0.5]
    assert same.alike().all()


@pytest.mark.parametrize(
    "true",
    [np.zeros((6, 4)), np.linspace(0, 2, 4)[None].repeat(6, 0), np.repeat([0.0, 4.0], 3)[:, None] * [0, 1, -1, 2]],
    ids=["equal", "one order", "clear on half the data sets"],
)
def test_the_interval_contains_the_mean_rank_that_studies_have_on_average(true: np.ndarray) -> None:
    """SIMULATED studies; the truth is an average over many others. The benchmarks measure it to a percent."""
    others = true + np.random.default_rng(10**6).normal(size=(5_000, *true.shape))
    truth = ranks(others).mean(axis=(0, 1))
    ends = np.array([study(seed, true).intervals() for seed in range(200)])
    covered = (ends[..., 0] <= truth + 1e-9) & (truth - 1e-9 <= ends[..., 1])
    assert 0.91 <= covered.mean() <= 0.985  # the error of the mean over 200 studies is about 0.01


def test_worse_than_the_best_is_rarely_said_of_equals() -> None:
    told = [not study(seed, np.zeros((5, 4))).alike().all() for seed in range(200)]
    assert np.mean(told) <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5
    assert not study(1, np.array([[6.0, 0, 0, 0]] * 5)).alike()[1:].any(), "a clear gap is found"
