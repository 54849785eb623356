"""Signed ranks against scipy and all sign patterns; Holm against a worked example and its definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats as sp

from medbench.errors import MedbenchError
from medbench.stats import holm, wilcoxon


def test_signed_ranks_by_hand():
    """Ranks of |d|: 1..8; negative are 1 and 3, so W = 4; 7 of the 256 sign patterns have a sum of 4 or less."""
    found = wilcoxon([-0.01, 0.02, -0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.0])
    assert (found.n, found.zeros, found.statistic) == (8, 1, 4)
    sums = [
        sum(r for r, up in zip(range(1, 9), signs, strict=True) if up) for signs in itertools.product([0, 1], repeat=8)
    ]
    assert sum(s <= 4 for s in sums) == 7
    assert found.p == pytest.approx(2 * 7 / 256)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [6, 20, 80])
def test_signed_ranks_are_scipys(seed, n):
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(0.01, 0.02, n), 3)
    values[: n // 10] = 0
    if (values != 0).sum() < 6:
        values = np.where(values == 0, 0.0005, values)
    found = wilcoxon(values)
    theirs = sp.wilcoxon(values[values != 0])
    assert (found.statistic, found.p) == (theirs.statistic, pytest.approx(theirs.pvalue))
    assert (found.n, found.zeros) == ((values != 0).sum(), (values == 0).sum())


def test_rounding_is_no_difference():
    found = wilcoxon([0.1 + 0.2 - 0.3, 0.3 - 0.1 - 0.2, *([0.1] * 3), *([0.3 - 0.2] * 3)])
    assert (found.n, found.zeros) == (6, 2)
    assert found.statistic == 0


def test_too_few_pairs_are_refused():
    with pytest.raises(MedbenchError, match="needs 6 pairs that differ, and there are 5") as caught:
        wilcoxon([0.1, 0.2, 0.3, 0.4, 0.5, 0.0, 0.0])
    assert "--seeds" in caught.value.hint
    assert wilcoxon([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).p == pytest.approx(2 / 64)


def test_holm_by_hand():
    # 0.005 * 4, 0.01 * 3, 0.03 * 2 and 0.04 * 1, which must not be below the 0.06 before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # not the correction for the false discovery rate
    assert not np.allclose(holm([0.01, 0.04, 0.03, 0.005]), sp.false_discovery_control([0.01, 0.04, 0.03, 0.005]))


@pytest.mark.parametrize("seed", range(20))
def test_holm_rejects_as_its_steps_do(seed):
    """Holm's definition: reject, from the smallest p, while p(k) <= level / (m - k + 1); then stop."""
    rng = np.random.default_rng(seed)
    p = np.round(rng.beta(0.3, 3, 12), 3)
    for level in (0.01, 0.05, 0.2):
        order, rejected = np.argsort(p, kind="stable"), np.zeros(12, bool)
        for step, i in enumerate(order):
            if p[i] > level / (12 - step):
                break
            rejected[i] = True
        assert (holm(p) <= level + 1e-12).tolist() == rejected.tolist()


def test_holm_of_few():
    assert holm([]).tolist() == []
    assert holm([0.7]).tolist() == [0.7]
    assert holm([0.7, 0.8]).tolist() == [1.0, 1.0]
    assert holm([0.01, float("nan"), 0.04]) == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)
