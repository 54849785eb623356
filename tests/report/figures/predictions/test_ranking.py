"""ROC and precision-recall figures: their points against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score, roc_curve

from medbench.errors import CardError
from medbench.report.figures.draw import draw
from medbench.report.figures.lines import AREA, CURVE
from medbench.report.figures.predictions.averages import FALSE_RATES
from medbench.report.figures.predictions.ranking import PRECISION, ROC, collect

from .conftest import NAMES, of, predicted

GOOD = "good · linear-frozen"


def test_two_classes_show_class_1_with_its_area(show):
    data = collect(show(), ROC)
    seeds = [predicted("binary", 2.0, seed, "test") for seed in (0, 1)]
    (area,) = of(data, GOOD, AREA)
    assert area.mean == pytest.approx(np.mean([roc_auc_score(truth, x[:, 1]) for truth, x in seeds]))
    assert area.low < area.mean < area.high
    curve = of(data, GOOD, CURVE)[1:]
    assert [point.x for point in curve] == pytest.approx(FALSE_RATES.tolist())
    both = np.stack([np.interp(FALSE_RATES, *roc_curve(truth, x[:, 1])[:2]) for truth, x in seeds])
    assert [point.mean for point in curve] == pytest.approx(both.mean(axis=0).tolist())
    assert [point.low for point in curve] == pytest.approx(both.min(axis=0).tolist())
    assert [point.high for point in curve] == pytest.approx(both.max(axis=0).tolist())
    assert data.series["chance"] == -1
    assert "ill against the rest" in data.title


def test_the_marked_points_apply_thresholds_of_validation(show):
    places = []
    for seed in (0, 1):
        (truth, x), (own, test) = (predicted("binary", 2.0, seed, split) for split in ("val", "test"))
        false, true, limits = roc_curve(truth, x[:, 1], drop_intermediate=False)
        (a, b), (c, d) = confusion_matrix(own, test[:, 1] >= limits[np.argmax(np.round(true - false, 9))])
        places.append((b / (a + b), d / (c + d), d / (b + d)))
    false, recall, precision = np.mean(places, axis=0)
    (point,) = of(collect(show(), ROC), GOOD, "youden")
    assert (point.x, point.mean) == pytest.approx((false, recall))
    (point,) = of(collect(show(), PRECISION), GOOD, "youden")
    assert (point.x, point.mean) == pytest.approx((recall, precision))
    data = collect(show(models="poor/linear-frozen"), ROC)
    assert {point.y for point in data.points} == {AREA, CURVE}, "no validation, no threshold"
    assert not any("thresholds" in note for note in data.notes)


def test_several_classes_show_the_mean_or_one(show):
    seeds = [predicted("multiclass", 2.0, seed, "test") for seed in (0, 1)]
    each = [[average_precision_score(truth == k, x[:, k]) for k in range(3)] for truth, x in seeds]
    data = collect(show("multiclass"), PRECISION)
    assert of(data, "good", AREA)[0].mean == pytest.approx(np.mean(each))
    assert "mean over classes" in data.title
    assert {point.y for point in data.points} == {AREA, CURVE}
    one = collect(show("multiclass"), PRECISION, "severe")
    assert of(one, "good", AREA)[0].mean == pytest.approx(np.mean(each, axis=0)[2])
    assert of(one, "good", "youden")
    share = np.mean(seeds[0][0] == 2)
    assert [point.mean for point in of(one, "prevalence", CURVE)] == pytest.approx([share] * 2)
    with pytest.raises(CardError, match="unknown class"):
        collect(show("multiclass"), ROC, "moderate")


def test_several_labels(show):
    data = collect(show("multilabel"), ROC)
    seeds = [predicted("multilabel", 1.5, seed, "test") for seed in (0, 1)]
    each = [[roc_auc_score(truth[:, k], x[:, k]) for k in range(3)] for truth, x in seeds]
    assert of(data, "good", AREA)[0].mean == pytest.approx(np.mean(each))
    assert of(collect(show("multilabel"), ROC, NAMES["multilabel"][1]), "good", AREA)[0].mean == pytest.approx(
        np.mean(each, axis=0)[1]
    )


def test_the_same_data_draw_the_same_picture(show):
    data = collect(show(), ROC)
    assert draw(data, dpi=40) == draw(data, dpi=40)
