"""Log-odds against scipy's, and the order that they keep where probabilities round to 0 or 1."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit, logsumexp, softmax
from sklearn.metrics import average_precision_score, roc_auc_score

from medbench import metrics
from medbench.metrics.log_odds import MOST, log_odds, log_odds_of, probabilities, scores_for


@pytest.mark.parametrize("c", [2, 3, 8])
@pytest.mark.parametrize("spread", [0.1, 5.0, 300.0])
def test_one_class_against_the_others(c: int, spread: float) -> None:
    z = np.random.default_rng(0).normal(size=(5, 40, c)) * spread
    found = log_odds(z, multilabel=False)
    expected = np.stack([z[..., k] - logsumexp(np.delete(z, k, axis=-1), axis=-1) for k in range(c)], axis=-1)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(probabilities(found), softmax(z, axis=-1), atol=1e-15)
    np.testing.assert_allclose(log_odds(z.astype(np.float32), multilabel=True), z.astype(np.float32))


def test_equal_logits_stay_equal_and_what_is_no_number_stays_so() -> None:
    z = np.array([[0.0, 0.0, 0.0], [1.5, 1.5, -2.0], [-1.0, 3.0, -1.0], [700.0, 700.0, 0.0]])
    found = log_odds(z, multilabel=False)
    for row, (i, j) in enumerate([(0, 2), (0, 1), (0, 2), (0, 1)]):
        assert found[row, i] == found[row, j]
    assert log_odds(np.array([[1e4, 0.0], [0.0, 2e4]]), multilabel=False).tolist() == [[1e4, -1e4], [-2e4, 2e4]]
    assert np.isnan(log_odds(np.array([[np.nan, 0.0]]), multilabel=False)).all()
    assert log_odds(np.zeros((0, 3)), multilabel=False).shape == (0, 3)


def test_probabilities_and_log_odds_are_inverse() -> None:
    p = np.array([0.0, 1e-300, 0.2, 0.5, 0.8, 1.0])
    np.testing.assert_allclose(log_odds_of(p)[1:-1], logit(p[1:-1]), rtol=1e-14, atol=1e-15)
    assert log_odds_of(p)[[0, -1]].tolist() == [-MOST, MOST]
    assert probabilities(log_odds_of(p))[[0, 3, 5]].tolist() == [0, 0.5, 1]
    x = np.linspace(-700, 700, 101)
    np.testing.assert_allclose(probabilities(x), expit(x), rtol=1e-14)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_ranks_are_those_of_the_logits_where_single_precision_has_ties(kind: str) -> None:
    source = np.random.default_rng(3)
    c = 2 if kind == "binary" else 3
    y = source.integers(0, c, 400)
    z = (np.eye(c)[y] * 20 + source.normal(size=(400, c)) * 15).astype(np.float32)
    targets = np.eye(c, dtype=int)[y] if kind == "multilabel" else y
    values = log_odds(z, multilabel=kind == "multilabel")
    found, _ = metrics.compute(kind, probabilities(values), targets, values)
    tied, _ = metrics.compute(kind, probabilities(values).astype(np.float32), targets)
    plain = z.astype(float)
    one = plain if kind == "multilabel" else values
    classes = [1] if kind == "binary" else range(c)
    names = ("auroc", "ap") if kind == "binary" else ("auroc_macro", "ap_macro")
    for name, oracle in zip(names, (roc_auc_score, average_precision_score), strict=True):
        expected = np.mean([oracle(y == k, one[:, k]) for k in classes])
        assert found[name] == pytest.approx(expected, abs=1e-12)
        assert abs(tied[name] - expected) > 1e-4, "the probabilities do have ties"
        assert metrics.score(name, scores_for(name, values), targets) == pytest.approx(expected, abs=1e-12)
    if kind == "binary":  # of two classes the log-odds are the difference of the logits
        assert found["ap"] == pytest.approx(average_precision_score(y, plain[:, 1] - plain[:, 0]), abs=1e-12)
    assert found["log_loss"] == metrics.score("log_loss", scores_for("log_loss", values), targets)


def test_some_classes_alone_are_the_softmax_over_them() -> None:
    logits = np.random.default_rng(5).normal(scale=4, size=(20, 5))
    kept = [0, 2, 3]
    exact = np.exp(logits[:, kept])
    exact /= exact.sum(axis=1, keepdims=True)
    found = metrics.among(log_odds(logits, multilabel=False), kept)
    np.testing.assert_allclose(probabilities(found), exact, rtol=1e-9)
    np.testing.assert_allclose(metrics.among(found, range(3)), found, atol=1e-9)


def test_classes_stay_in_order_where_another_one_is_certain() -> None:
    found = metrics.among(log_odds(np.array([[900.0, 3.0, 5.0]]), multilabel=False), [1, 2])
    np.testing.assert_allclose(probabilities(found), [[1 / (1 + np.exp(2.0)), 1 / (1 + np.exp(-2.0))]])
