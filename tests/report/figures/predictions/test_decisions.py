"""Decision curves against the definition of net benefit, image by image."""

from __future__ import annotations

import numpy as np
import pytest

from medbench.errors import MedbenchError
from medbench.metrics import probabilities
from medbench.report.figures.draw import draw
from medbench.report.figures.lines import CURVE
from medbench.report.figures.predictions.decisions import ALL, NONE, THRESHOLDS, collect
from medbench.report.measured import measured

from .conftest import of, predicted


def benefit(truth: np.ndarray, called: np.ndarray, p: float) -> float:
    return float(np.mean(called & (truth == 1)) - np.mean(called & (truth == 0)) * p / (1 - p))


def test_net_benefit_of_models_of_all_and_of_none(show):
    found = show(models="good")
    data = collect(found)
    seeds = [predicted("binary", 2.0, seed, "test") for seed in (0, 1)]
    expected = [np.mean([benefit(t, probabilities(x[:, 1]) >= p, p) for t, x in seeds]) for p in THRESHOLDS]
    curve = of(data, "good", CURVE)
    assert [point.mean for point in curve] == pytest.approx(expected)
    assert [point.x for point in curve] == pytest.approx(THRESHOLDS.tolist())
    everyone = [benefit(seeds[0][0], np.ones(150, bool), p) for p in THRESHOLDS]
    assert [point.mean for point in of(data, ALL, CURVE)] == pytest.approx(everyone)
    assert {point.mean for point in of(data, NONE, CURVE)} == {0.0}
    assert draw(data, dpi=40).startswith(b"\x89PNG")


def test_intervals_are_those_of_the_table(show):
    found = show(models="good")
    one = measured(found.runs[0].group, ["net_benefit@0.2"], intervals=True)["net_benefit@0.2"]
    point = of(collect(found), "good", CURVE)[19]
    assert (point.mean, point.low, point.high) == pytest.approx((one.value, one.low, one.high))


def test_of_several_classes_one_is_named(show):
    with pytest.raises(MedbenchError, match="shows one class, and multiclass has 3") as error:
        collect(show("multiclass"))
    assert error.value.hint == "name the class: --class CLASS, one of none, mild, severe"
    assert "severe against the rest" in collect(show("multiclass"), "severe").title
