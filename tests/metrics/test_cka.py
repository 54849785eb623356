"""CKA of stored features against its definition with Gram matrices and a centring matrix, and known identities."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from medbench.metrics.cka import cka_matrix


def cka(a: np.ndarray, b: np.ndarray, *, debiased: bool = True) -> float:
    return float(cka_matrix([a, b], debiased=debiased)[0, 1])


def pair(n: int, d1: int, d2: int, shared: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two views of the same hidden factors, far from the origin, with columns of different size."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n, 5)) * shared
    a, b = (
        hidden @ rng.normal(size=(5, d)) + rng.normal(size=(n, d)) * rng.uniform(0.2, 2, d) + 7 * rng.normal(size=d)
        for d in (d1, d2)
    )
    return a, b


def biased(a: np.ndarray, b: np.ndarray) -> float:
    """tr(K H L H) / sqrt(tr(K H K H) tr(L H L H)), Kornblith et al. 2019, equation 3 and HSIC's definition."""
    h = np.eye(len(a)) - 1 / len(a)
    k, other = a @ a.T, b @ b.T

    def hsic(p, q):
        return np.trace(p @ h @ q @ h)

    return hsic(k, other) / np.sqrt(hsic(k, k) * hsic(other, other))


def hsic_1(k: np.ndarray, other: np.ndarray) -> float:
    """Song et al. 2012, equation 5 (Nguyen et al. 2021, equation 3)."""
    n = len(k)
    k, other = k - np.diag(np.diag(k)), other - np.diag(np.diag(other))
    one = np.ones(n)
    last = 2 / (n - 2) * (one @ k @ other @ one)
    return (np.trace(k @ other) + (one @ k @ one) * (one @ other @ one) / ((n - 1) * (n - 2)) - last) / (n * (n - 3))


def debiased(a: np.ndarray, b: np.ndarray) -> float:
    k, other = a @ a.T, b @ b.T
    return hsic_1(k, other) / np.sqrt(hsic_1(k, k) * hsic_1(other, other))


@pytest.mark.parametrize(("n", "d1", "d2"), [(4, 3, 9), (7, 2, 1), (40, 6, 300), (100, 30, 20), (30, 400, 500)])
def test_both_estimates_are_their_definitions(n: int, d1: int, d2: int) -> None:
    a, b = pair(n, d1, d2)
    assert cka(a, b) == pytest.approx(debiased(a, b), abs=1e-10)
    assert cka(a, b, debiased=False) == pytest.approx(biased(a, b), abs=1e-10)


def test_hsic_1_is_the_mean_over_all_quadruples() -> None:
    # the definition behind the formula: a U-statistic, whose kernel is the mean over the orders of four images
    a, b = pair(6, 3, 2)
    k, other = a @ a.T, b @ b.T
    terms = [
        k[i, j] * (other[i, j] + other[q, r] - 2 * other[i, q]) for i, j, q, r in itertools.permutations(range(6), 4)
    ]
    assert hsic_1(k, other) == pytest.approx(np.mean(terms))


@pytest.mark.parametrize("unbiased", [True, False])
def test_identities(unbiased: bool) -> None:
    a, b = pair(60, 20, 30)
    value = cka(a, b, debiased=unbiased)
    assert 0.2 < value < 0.9
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(20, 20)))[0]
    order = np.random.default_rng(2).permutation(60)
    for changed in (a @ rotation, -3e4 * a, a * 1e-4, a + 100, np.hstack([a, np.ones((60, 4))])):
        assert cka(changed, b, debiased=unbiased) == pytest.approx(value, abs=1e-9)
        assert cka(changed, a, debiased=unbiased) == pytest.approx(1, abs=1e-9)
    assert cka(b, a, debiased=unbiased) == pytest.approx(value, abs=1e-14)
    assert cka(a[order], b[order], debiased=unbiased) == pytest.approx(value, abs=1e-12)
    assert abs(cka(a[order], b, debiased=unbiased) - value) > 0.05, "the order of the images matters"
    assert abs(cka(a * np.r_[10, np.ones(19)], b, debiased=unbiased) - value) > 0.05, "no general linear map is undone"


def test_only_the_debiased_estimate_finds_noise_unrelated() -> None:
    rng = np.random.default_rng(0)
    draws = [(rng.normal(size=(50, 500)), rng.normal(size=(50, 500))) for _ in range(30)]
    assert abs(np.mean([cka(a, b) for a, b in draws])) < 0.01
    assert np.mean([cka(a, b, debiased=False) for a, b in draws]) > 0.9


def test_a_matrix_of_models() -> None:
    a, b = pair(50, 8, 12)
    c = np.random.default_rng(3).normal(size=(50, 4))
    found = cka_matrix([x.astype(np.float32) for x in (a, b, c)])
    assert found.shape == (3, 3)
    assert np.array_equal(found, found.T)
    np.testing.assert_allclose(np.diag(found), 1, atol=1e-12)
    assert found[0, 1] == pytest.approx(cka(a, b), abs=1e-5)
    assert found[0, 2] == pytest.approx(debiased(a, c), abs=1e-5)
    assert cka_matrix([]).shape == (0, 0)


def test_what_is_not_defined_is_nan_and_touches_no_other() -> None:
    a, b = pair(10, 3, 4)
    dead = np.full((10, 6), 0.1)
    assert np.isnan(cka(a, dead))
    assert np.isnan(cka(a, dead, debiased=False))
    for n in (10, 33, 57, 500):  # one image differs from the rest: the Gram matrix is zero except on its diagonal
        one = np.tile(np.random.default_rng(n).normal(size=5), (n, 1))
        one[3] += 0.3
        assert np.isnan(cka(one, pair(n, 3, 4)[0]))
    found = cka_matrix([a, dead, b])
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[np.ix_([0, 2], [0, 2])]).all()
    assert np.isnan(cka(a[:3], b[:3]))
    assert np.isfinite(cka(a[:3], b[:3], debiased=False))
    assert np.isfinite(cka(a[:4], b[:4]))
    assert np.isnan(cka(a[:0], b[:0], debiased=False))


def test_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="not matrices of the same images"):
        cka(np.zeros((5, 2)), np.zeros((6, 2)))
    with pytest.raises(ValueError, match="not matrices of the same images"):
        cka(np.zeros((5, 2, 2)), np.zeros((5, 2)))


def test_two_thousand_images_are_quick_whichever_side_is_wide() -> None:
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    value = cka(rng.normal(size=(2000, 768)), rng.normal(size=(2000, 512)))
    assert abs(value) < 0.02
    assert time.perf_counter() - start < 3
