"""Means and deviations against the standard library."""

from __future__ import annotations

import statistics

import pytest

from medbench.stats import summary


def test_summary_is_the_textbook_s():
    values = [0.871, 0.88, 0.879, 0.9, 0.85]
    mean, std, n = summary(values)
    assert (mean, std, n) == (pytest.approx(statistics.mean(values)), pytest.approx(statistics.stdev(values)), 5)


def test_summary_of_few():
    assert summary([0.5]) == (0.5, None, 1)
    assert summary([]) == (None, None, 0)
    assert summary([None, 0.5, float("nan"), 0.7]) == (0.6, pytest.approx(0.2 / 2**0.5), 2)
