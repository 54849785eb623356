"""Metrics by id: their tasks and directions, values that are not defined, and what is refused."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest

from medbench.errors import MedbenchError
from medbench.metrics import METRICS, compute, get, ids_for, score, score_many

SINGLE = [name for name, metric in METRICS.items() if set(metric.tasks) & {"multiclass", "ordinal"}]


def test_a_perfect_classifier_has_1_even_if_a_class_is_absent():
    scores, y = np.eye(3)[[0, 1, 0, 1]], np.array([0, 1, 0, 1])
    values, absent = compute("multiclass", scores, y)
    for name in ("recall_macro", "precision_macro", "f1_macro", "auroc_macro", "auroc_weighted", "ap_macro"):
        assert values[name] == 1
    assert absent == {
        name: [2]
        for name in ("recall_macro", "precision_macro", "f1_macro", "auroc_macro", "auroc_weighted", "ap_macro")
    }


def test_labels_that_no_image_or_every_image_has():
    y = np.array([[0, 1, 1], [0, 1, 0]], np.uint8)  # no image, all images, one image
    values, absent = compute("multilabel", y.astype(float), y)
    assert absent == {"f1_macro": [0], "auroc_macro": [0, 1], "auroc_weighted": [0, 1], "ap_macro": [0]}
    assert values["auroc_macro"] == 1


@pytest.mark.parametrize("task", ["binary", "multiclass", "ordinal", "multilabel"])
def test_undefined_is_none_and_never_a_warning(task):
    one = np.array([[0.3, 0.7]])
    for scores, y in ((one, [1]), (one[:0], []), (one * np.nan, [1])):
        targets = np.array(y, np.int64)
        targets = np.eye(2, dtype=np.uint8)[targets] if task == "multilabel" else targets
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            values, _ = compute(task, scores, targets)
        assert list(values) == ids_for(task)
        assert not any(v is not None and not np.isfinite(v) for v in values.values())
        if len(targets) == 0 or np.isnan(scores).any():
            assert set(values.values()) == {None}
    assert compute("binary", one, np.array([1]))[0]["auroc"] is None


@pytest.mark.parametrize("name", SINGLE)
def test_many_equal_one_by_one(name):
    rng = np.random.default_rng(3)
    scores, y = rng.random((7, 40, 5)).astype(np.float32), rng.integers(0, 4, 40)
    scores[2, 5, 1] = np.nan
    many = score_many(name, scores, y)
    assert many.shape == (7,)
    assert np.array_equal(many, [score(name, one, y) for one in scores], equal_nan=True)
    assert np.isnan(many).tolist() == [False, False, True, False, False, False, False]
    assert np.isnan(score_many(name, scores[:, :0], y[:0])).all()


def test_many_multilabel():
    rng = np.random.default_rng(3)
    scores, y = rng.random((3, 40, 4)), (rng.random((40, 4)) < 0.3).astype(np.uint8)
    for name in ids_for("multilabel"):
        assert score_many(name, scores, y).tolist() == [score(name, one, y) for one in scores]


@pytest.mark.parametrize("name", METRICS)
def test_direction(name):
    metric = METRICS[name]
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 50)
    truth = np.eye(2)[y]
    best, worst = truth * 0.98 + 0.01, (1 - truth) * 0.98 + 0.01
    targets = truth.astype(np.uint8) if metric.tasks == ("multilabel",) else y
    good, bad = score(name, best, targets), score(name, worst, targets)
    assert (good > bad) == metric.higher_is_better


def test_what_is_refused():
    with pytest.raises(MedbenchError, match="unknown metric 'kappa_quadratc'") as caught:
        get("kappa_quadratc")
    assert "kappa_quadratic" in caught.value.hint
    with pytest.raises(MedbenchError, match="not for multilabel"):
        score("kappa", np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(MedbenchError, match="not for multiclass"):
        score("f1_micro", np.ones((3, 2)), np.ones(3, int))
    with pytest.raises(MedbenchError, match="not for binary"):
        get("auroc_macro", "binary")
    with pytest.raises(ValueError, match="do not fit"):
        score("accuracy", np.ones((3, 2)), np.ones(4, int))
    with pytest.raises(ValueError, match="from 0 to 1"):
        score_many("accuracy", np.ones((1, 3, 2)), np.array([0, 1, 2]))
    with pytest.raises(ValueError, match="2 classes"):
        score("auroc", np.ones((3, 3)), np.zeros(3, int))


def test_import_is_light():
    heavy = "{'torch', 'sklearn', 'scipy', 'pandas'}"
    code = f"import sys, medbench.metrics, medbench.stats, medbench.report; print({heavy} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "set()"
