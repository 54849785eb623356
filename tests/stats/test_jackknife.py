"""The shape that the jackknife gives, against closed forms for means of units, of seeds and of both."""

from __future__ import annotations

import numpy as np
import pytest

from medbench.stats.bootstrap import combine
from medbench.stats.jackknife import Shape, Term, mean_of, shape
from medbench.stats.resampling import design


def term_of(x: np.ndarray) -> Term:
    """The means of (s, u) numbers, one stratum of u units, with no draws."""
    s, u = x.shape
    lacking = (x.sum(axis=1, keepdims=True) - x) / (u - 1)
    return Term(x.mean(axis=1), np.zeros((0, s)), (lacking.T,))


@pytest.mark.parametrize("seed", range(5))
def test_a_mean_of_units_has_the_shape_of_its_values(seed: int) -> None:
    x = np.random.default_rng(seed).gamma(1.5, size=(1, 37))
    found = shape([term_of(x)], design(np.zeros(37, int)))
    gaps = x[0] - x[0].mean()
    assert found.acceleration == pytest.approx((gaps**3).sum() / (6 * (gaps**2).sum() ** 1.5))
    assert found.spread == pytest.approx((37 / 36) ** 0.5)
    assert found.freedom == pytest.approx(36)


def test_two_strata_have_the_freedom_of_welch() -> None:
    """The sum of two strata's means has the variance s1²/n1 + s2²/n2 and the degrees of freedom of Welch's test."""
    rng = np.random.default_rng(1)
    sides = rng.normal(size=9), 3 * rng.normal(size=23)
    plan = design(np.repeat([0, 1], [9, 23]))
    blocks = tuple((sum(s.mean() for s in sides) + (side.mean() - side)[:, None] / (len(side) - 1)) for side in sides)
    found = shape([Term(np.zeros(1), np.zeros((0, 1)), blocks)], plan)
    parts = [side.var(ddof=1) / len(side) for side in sides]
    assert found.freedom == pytest.approx(sum(parts) ** 2 / (parts[0] ** 2 / 8 + parts[1] ** 2 / 22))
    drawn = parts[0] * 8 / 9 + parts[1] * 22 / 23
    assert found.spread == pytest.approx((sum(parts) / drawn) ** 0.5)


def test_seeds_alone_have_the_variance_of_their_mean() -> None:
    """Units that are all alike add nothing: s seeds remain, with s - 1 degrees of freedom."""
    x = np.repeat(np.array([[0.2], [0.5], [0.6], [0.9]]), 30, axis=1)
    found = shape([term_of(x)], design(np.zeros(30, int)))
    assert found.spread == pytest.approx((4 / 3) ** 0.5)
    assert found.freedom == pytest.approx(3)


def test_terms_are_values_with_signs() -> None:
    rng = np.random.default_rng(2)
    one, two = (Term(rng.random(3), rng.random((5, 3)), (rng.random((4, 3)),)) for _ in range(2))
    both, back = one.minus(two), one.negative()
    for mine, theirs, gap, negative in (
        (one.split, two.split, both.split, back.split),
        (one.drawn, two.drawn, both.drawn, back.drawn),
        (one.lacking[0], two.lacking[0], both.lacking[0], back.lacking[0]),
    ):
        np.testing.assert_array_equal(gap, mine - theirs)
        np.testing.assert_array_equal(negative, -mine)
    mean = one.averaged()
    assert mean.split == pytest.approx(one.split.mean())
    np.testing.assert_allclose(mean.drawn[:, 0], one.drawn.mean(axis=1))
    np.testing.assert_allclose(mean.lacking[0][:, 0], one.lacking[0].mean(axis=1))


def mixed(rng, u=40, s=5, units=1.0, seeds=0.5, both=1.0) -> np.ndarray:
    """(s, u) numbers with effects of units, of seeds and of both together."""
    return units * rng.normal(size=u) + seeds * rng.normal(size=(s, 1)) + both * rng.normal(size=(s, u))


def test_units_and_seeds_together_have_the_variance_of_crossed_effects():
    """Means of crossed normal effects: the mean squared standard error is the variance, which plain draws exceed."""
    rng = np.random.default_rng(0)
    u, s = 40, 5
    plan = design(np.zeros(u, int))
    squares, plain = [], []
    for repeat in range(250):
        x = mixed(rng, u, s)
        term = Term(
            x.mean(axis=1),
            np.concatenate([w.T @ x.T / u for w in plan.weights(400, repeat)]),
            (np.concatenate([w.T @ x.T / (u - 1) for w in plan.lacking(repeat)]),),
        )
        draws = combine([term], plan, repeat)
        squares.append(draws.se**2)
        plain.append(draws.values.var(ddof=1))
    truth = 1 / u + 0.25 / s + 1 / (u * s)
    assert np.mean(squares) == pytest.approx(truth, rel=0.1)
    assert np.mean(plain) == pytest.approx(1 / u * 39 / 40 + (0.25 / s + 1 / (u * s)) * 0.8 + 2 / (u * s), rel=0.1)


def test_a_shape_without_variance():
    term = Term(np.zeros(1), np.zeros((3, 1)), (np.zeros((1, 1)),))
    assert shape([term], design(np.zeros(1, int))) == Shape()


def test_the_mean_of_terms_is_that_of_their_values() -> None:
    rng = np.random.default_rng(3)
    one, two = (Term(rng.random(3), rng.random((5, 3)), (rng.random((4, 3)), rng.random((2, 3)))) for _ in range(2))
    both = mean_of([one, two])
    pairs = [(one.split, two.split, both.split), (one.drawn, two.drawn, both.drawn)]
    for mine, theirs, mean in [*pairs, *zip(one.lacking, two.lacking, both.lacking, strict=True)]:
        np.testing.assert_allclose(mean, (mine + theirs) / 2)
