"""Draws on a grid against the same draws from all images."""

from __future__ import annotations

import numpy as np
import pytest

from medbench.metrics.measures.calibration_line import FEW, CalibrationLine


@pytest.mark.parametrize("slope", [True, False])
@pytest.mark.parametrize("scale", [1.0, 6.0])
def test_many_draws_are_within_a_thousandth_of_a_standard_error(slope, scale):
    rng = np.random.default_rng(0)
    has = rng.random(600) < 0.3
    x = scale * (rng.normal(size=600) + 1.2 * has - 0.5)
    weights = rng.multinomial(600, np.full(600, 1 / 600), 4 * FEW).T.astype(np.float32)
    line = CalibrationLine(x, has, slope=slope)
    exact = np.concatenate([line(part) for part in np.split(weights, 4, axis=1)])
    assert np.abs(line(weights) - exact).max() < 1e-3 * exact.std()


def test_a_draw_without_one_side_has_none():
    line = CalibrationLine(np.array([-1.0, 0.5, -0.5, 1.0]), np.array([False, False, True, True]), slope=True)
    weights = np.array([[1, 2, 0], [1, 2, 0], [1, 0, 2], [1, 0, 2]], np.float32)
    assert np.isnan(line(weights)).tolist() == [False, True, True]


def test_a_draw_that_a_line_separates_has_none():
    rng = np.random.default_rng(2)
    has = np.arange(20) % 3 == 0
    line = CalibrationLine(40 * (rng.normal(size=20) + 1.5 * has), has, slope=True)
    found = line(rng.multinomial(20, np.full(20, 1 / 20), 40).T.astype(np.float32))
    assert np.isnan(found).any()
    assert not np.isinf(found).any()
