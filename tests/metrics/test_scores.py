"""Counts and areas of one split against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from medbench.metrics.scores import Scores, confusions


def drawn(seed: int, n: int = 50, c: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Scores (n, c) with many ties, and classes (n,)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(6, [1 / c] * c, size=n) / 6, rng.integers(0, c, n)


@pytest.mark.parametrize("seed", range(10))
def test_areas_of_each_class(seed: int) -> None:
    scores, y = drawn(seed)
    sample = Scores(scores, y)
    assert sample.aurocs == pytest.approx([sk.roc_auc_score(y == k, scores[:, k]) for k in range(4)], abs=1e-14)
    assert sample.aps == pytest.approx([sk.average_precision_score(y == k, scores[:, k]) for k in range(4)], abs=1e-14)
    labels = np.eye(4, dtype=np.uint8)[y]
    np.testing.assert_array_equal(Scores(scores, labels).aurocs, sample.aurocs)


def test_areas_of_a_class_that_is_absent_or_everywhere() -> None:
    scores, y = np.array([[0.6, 0.4], [0.3, 0.7]]), np.zeros(2, int)
    sample = Scores(scores, y)
    assert np.isnan(sample.aurocs).all()
    assert sample.aps == pytest.approx([1, np.nan], nan_ok=True)


def test_counts() -> None:
    scores, y = drawn(0)
    sample = Scores(scores, y)
    expected = sk.confusion_matrix(y, scores.argmax(axis=1), labels=range(4))
    np.testing.assert_array_equal(sample.confusion, expected)
    np.testing.assert_array_equal(sample.positives, [(y == k).sum() for k in range(4)])
    other = drawn(1)[0]
    both = confusions(np.stack([scores, other]), y)
    np.testing.assert_array_equal(both[0], expected)
    np.testing.assert_array_equal(both[1], sk.confusion_matrix(y, other.argmax(axis=1), labels=range(4)))


def test_counts_of_findings() -> None:
    scores = np.array([[0.5, 0.2], [0.9, 0.6], [0.4, 0.7]])
    sample = Scores(scores, np.array([[1, 1], [0, 1], [1, 0]]))
    assert sample.multilabel
    assert sample.positives.tolist() == [2, 2]
    true, predicted = sample.hits
    assert (true.tolist(), predicted.tolist()) == ([1, 1], [2, 2]), "a score of 0.5 counts as positive"


def test_scores_that_are_not_numbers() -> None:
    scores, y = drawn(2)
    assert Scores(scores, y).finite
    for wrong in (np.nan, np.inf):
        assert not Scores(np.where(np.arange(4) == 1, wrong, scores), y).finite
    assert not Scores(scores[:0], y[:0]).finite


def test_what_does_not_fit_is_refused() -> None:
    scores, y = drawn(3)
    for bad in (y[:-1], np.eye(3)[y % 3]):
        with pytest.raises(ValueError, match="do not fit targets"):
            Scores(scores, bad)
    with pytest.raises(ValueError, match="do not fit"):
        Scores(scores[0], y)
    for bad in (y + 1, y - 1):
        with pytest.raises(ValueError, match="class numbers must be from 0 to 3"):
            Scores(scores, bad)
