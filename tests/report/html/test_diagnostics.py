"""Confusions, ROC curves, calibration and the worst images, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, log_loss, roc_auc_score, roc_curve

from medbench.metrics.formulas import ece_15
from medbench.metrics.scores import Scores
from medbench.report.html import diagnostics
from medbench.report.inference import Predicted

N, C = 200, 4


def made(seeds: int = 3, multilabel: bool = False) -> Predicted:
    source = np.random.default_rng(1)
    raw = source.random((seeds, N, C))
    targets = source.integers(0, 2, (N, C)) if multilabel else source.integers(0, C, N)
    values = raw if multilabel else raw / raw.sum(axis=2, keepdims=True)
    return Predicted(tuple(f"i{i}" for i in range(N)), values, targets, None)


def test_the_confusion_matrix_is_the_mean_of_scikit_learns():
    found = made()
    each = [confusion_matrix(found.targets, s.argmax(axis=1), labels=range(C)) for s in found.scores]
    np.testing.assert_allclose(diagnostics.confusion(found), np.mean(each, axis=0))


@pytest.mark.parametrize("multilabel", [False, True])
def test_areas_are_scikit_learns(multilabel):
    found = made(multilabel=multilabel)
    has = found.targets if multilabel else found.targets[:, None] == np.arange(C)
    expected = [[roc_auc_score(has[:, k], s[:, k]) for k in range(C)] for s in found.scores]
    np.testing.assert_allclose(diagnostics.aurocs(found), expected)


def test_the_curve_of_one_seed_is_its_roc_curve():
    found = made(seeds=1)
    curve = diagnostics.curve(found, 2, diagnostics.ROC)
    false, true = roc_curve(found.targets == 2, found.scores[0, :, 2])[:2]
    np.testing.assert_allclose(curve[1:, 1], np.interp(curve[1:, 0], false, true))
    assert curve[0].tolist() == [0, 0]
    assert curve[-1].tolist() == [1, 1]
    area = np.trapezoid(curve[:, 1], curve[:, 0]) if hasattr(np, "trapezoid") else np.trapz(curve[:, 1], curve[:, 0])
    assert area == pytest.approx(roc_auc_score(found.targets == 2, found.scores[0, :, 2]), abs=0.01)


def test_a_class_without_positives_has_no_curve():
    found = made()
    assert (
        diagnostics.curve(Predicted(found.ids, found.scores, np.zeros(N, np.int64), None), 2, diagnostics.ROC) is None
    )


def test_reliability_of_labels_is_scikit_learns_calibration_curve():
    found = made(seeds=1, multilabel=True)
    bins = diagnostics.reliability(found)
    right, confidence = calibration_curve(found.targets.ravel(), found.scores.ravel(), n_bins=diagnostics.BINS)
    known = bins.count > 0
    np.testing.assert_allclose(bins.mean[known], confidence)
    np.testing.assert_allclose(bins.share[known], right)
    assert bins.count.sum() == N * C


def test_reliability_of_classes_gives_the_calibration_error():
    found = made(seeds=1)
    bins = diagnostics.reliability(found)
    known = bins.count > 0
    gap = np.sum(bins.count[known] * np.abs(bins.mean - bins.share)[known]) / N
    assert gap == pytest.approx(ece_15(Scores(found.scores[0], found.targets)))


def test_the_worst_come_first_and_right_ones_never():
    found = made()
    listed = diagnostics.worst(found, ["a", "b", "c", "d"], N)
    one_hot = np.eye(C)[found.targets]
    for worst in listed[:5]:
        i = found.ids.index(worst.id)
        each = [log_loss([found.targets[i]], s[[i]], labels=range(C)) for s in found.scores]
        assert worst.loss == pytest.approx(np.mean(each))
        assert worst.truth == ("abcd"[found.targets[i]],)
        assert worst.label == worst.truth[0]
        assert worst.score == pytest.approx(float((found.scores[:, i] * one_hot[i]).sum(axis=1).mean()))
    assert [w.loss for w in listed] == sorted((w.loss for w in listed), reverse=True)
    right = (found.scores.argmax(axis=2) == found.targets).all(axis=0)
    assert {w.id for w in listed} == {i for i, fine in zip(found.ids, right, strict=True) if not fine}


def test_the_worst_of_several_labels_names_the_label_that_costs_most():
    targets = np.array([[1, 0], [0, 1]])
    values = np.array([[[0.9, 0.99], [0.1, 0.8]]])
    (worst,) = diagnostics.worst(Predicted(("x", "y"), values, targets, None), ["p", "q"], 5)
    assert (worst.id, worst.truth, worst.called, worst.label) == ("x", ("p",), ("p", "q"), "q")
    assert worst.loss == pytest.approx(-np.log(0.9) - np.log(0.01))
    assert worst.score == pytest.approx(0.99)
