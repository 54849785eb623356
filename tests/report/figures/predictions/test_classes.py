"""A metric of each class: the numbers of the table of classes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medbench.errors import CardError
from medbench.records import SplitCount, store
from medbench.report.figures.draw import draw
from medbench.report.figures.predictions.classes import ALIKE, collect
from medbench.report.figures.predictions.runs import Selection, shown

from .conftest import predicted, put


def test_auroc_of_each_class_with_its_images(show):
    data = collect(show("multiclass"))
    seeds = [predicted("multiclass", 2.0, seed, "test") for seed in (0, 1)]
    each = np.mean([[roc_auc_score(truth == k, x[:, k]) for k in range(3)] for truth, x in seeds], axis=0)
    assert [point.x for point in data.points] == ["none (50)", "mild (50)", "severe (50)"]
    assert [point.mean for point in data.points] == pytest.approx(each.tolist())
    assert all(point.low < point.mean < point.high for point in data.points)
    assert draw(data, dpi=40).startswith(b"\x89PNG")


def test_another_metric_and_runs_without_validation(show):
    data = collect(show(models="good,poor/linear-frozen"), "sensitivity")
    assert data.panels[0].x_title == "sensitivity@youden"
    assert [point.mean is None for point in data.points] == [False, False, True, True]
    assert "no number: poor" in data.notes
    assert draw(data, dpi=40).startswith(b"\x89PNG")


def test_draws_that_are_all_equal_are_no_certainty(tmp_path):
    put(tmp_path, "sure", 40.0, "multiclass", seeds=(0,))
    data = collect(shown("multiclass", store.read_all(tmp_path), False, Selection()))
    assert [(point.mean, point.low, point.high) for point in data.points] == [(1.0, None, None)] * 3
    assert ALIKE in data.notes


def test_what_has_no_number_for_each_class(show):
    with pytest.raises(CardError, match="not defined for each class"):
        collect(show(), "log_loss")
    found = show()
    found.runs[0].group.first.n["test"] = SplitCount(images=1, classes={f"c{i}": 1 for i in range(41)})
    with pytest.raises(CardError, match="would show 41 classes"):
        collect(found)
