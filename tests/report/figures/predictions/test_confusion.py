"""Confusion matrices against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_score, recall_score, roc_curve

from medbench.errors import MedbenchError
from medbench.records import SplitCount
from medbench.report.figures.draw import draw
from medbench.report.figures.predictions.confusion import COUNT, OF_LABELS, SHARE, collect

from .conftest import NAMES, predicted


def matrix(data, kind: str, names, columns, value="mean") -> np.ndarray:
    held = {(p.series, p.x): getattr(p, value) for p in data.points if p.y == kind and p.panel == data.panels[0].name}
    return np.array([[held[row, column] for column in columns] for row in names])


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_counts_are_means_over_seeds_and_shares_of_the_truth(show, task):
    names = NAMES[task]
    data = collect(show(task, models="good"))
    seeds = [predicted(task, 2.0, seed, "test") for seed in (0, 1)]
    counts = np.mean([confusion_matrix(truth, x.argmax(axis=1)) for truth, x in seeds], axis=0)
    np.testing.assert_allclose(matrix(data, COUNT, names, names), counts)
    shares = counts / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(matrix(data, SHARE, names, names), shares)
    low, high = (matrix(data, SHARE, names, names, end) for end in ("low", "high"))
    assert ((low <= shares) & (shares <= high)).all()
    assert (high > low).all()
    assert draw(data, dpi=40).startswith(b"\x89PNG")


def test_several_labels_have_metrics_at_thresholds_of_validation(show):
    names = NAMES["multilabel"]
    data = collect(show("multilabel"))
    values = np.zeros((3, 2))
    for k in range(3):
        for seed in (0, 1):
            (truth, x), (own, test) = (predicted("multilabel", 1.5, seed, split) for split in ("val", "test"))
            false, true, limits = roc_curve(truth[:, k], x[:, k], drop_intermediate=False)
            called = test[:, k] >= limits[np.argmax(np.round(true - false, 9))]
            values[k] += np.array([recall_score(own[:, k], called, pos_label=side) for side in (1, 0)]) / 2
    np.testing.assert_allclose(matrix(data, SHARE, names, OF_LABELS[:2]), values)
    assert "threshold with the highest" in data.notes[0]
    assert draw(data, dpi=40).startswith(b"\x89PNG")


def test_the_share_of_right_calls_is_of_all_seeds_together(show):
    truth, called = [], []
    for seed in (0, 1):
        (own, x), (target, test) = (predicted("multilabel", 1.5, seed, split) for split in ("val", "test"))
        false, true, limits = roc_curve(own[:, 0], x[:, 0], drop_intermediate=False)
        called.append(test[:, 0] >= limits[np.argmax(np.round(true - false, 9))])
        truth.append(target[:, 0])
    both = np.concatenate(truth), np.concatenate(called)
    expected = [precision_score(*both), precision_score(1 - both[0], ~both[1])]
    shown = matrix(collect(show("multilabel")), SHARE, NAMES["multilabel"], OF_LABELS[2:])
    np.testing.assert_allclose(shown[0], expected)


def test_too_many_classes(show):
    found = show()
    many = SplitCount(images=150, classes={f"c{i}": 1 for i in range(21)})
    found.runs[0].group.first.n["test"] = many
    with pytest.raises(MedbenchError, match="of 21 classes is not readable") as error:
        collect(found)
    assert "per-class" in error.value.hint
