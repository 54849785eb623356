"""Metrics from weights against scikit-learn on rows resampled one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn import metrics as sk

from medbench.errors import MedbenchError
from medbench.metrics import METRICS, score
from medbench.metrics.weighted import weighted

SINGLE = [name for name, metric in METRICS.items() if set(metric.tasks) & {"multiclass", "ordinal"}]
LABELS = [name for name, metric in METRICS.items() if "multilabel" in metric.tasks]
BINARY = [name for name, metric in METRICS.items() if "binary" in metric.tasks]


def probabilities(rng, shape, ties):
    x = rng.random(shape) + 0.02
    x /= x.sum(-1, keepdims=True)
    return np.round(x, 1) if ties else x


def sample(task: str, ties: bool, seed: int = 0, n: int = 40):
    """(2, n, c) scores, and targets with a rare class and an absent one."""
    rng = np.random.default_rng(seed)
    c = 2 if task == "binary" else 5
    scores = probabilities(rng, (2, n, c), ties)
    if task == "multilabel":
        targets = (rng.random((n, c)) < [0.5, 0.3, 0.04, 0.0, 1.0]).astype(np.uint8)
    else:
        targets = rng.choice(c, n, p=[0.7, 0.3] if c == 2 else [0.5, 0.3, 0.17, 0.03, 0.0])
    return scores, targets


def draws(n: int, b: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), b).T.astype(np.float32)


def rows_of(weights: np.ndarray, j: int) -> np.ndarray:
    return np.repeat(np.arange(len(weights)), weights[:, j].astype(int))


def by_sklearn(name: str, scores: np.ndarray, y: np.ndarray) -> float:
    """The metric by scikit-learn, over the classes in the targets."""
    c = scores.shape[1]
    if y.ndim == 2:
        return labels_by_sklearn(name, scores, y)
    p, held = scores.argmax(1), np.unique(y)
    both = [k for k in held if (y == k).sum() < len(y)]
    macro = {"labels": held, "average": "macro", "zero_division": 0}
    kappa = {"labels": range(c)}
    aurocs = [sk.roc_auc_score(y == k, scores[:, k]) for k in both]
    ways = {
        "accuracy": lambda: sk.accuracy_score(y, p),
        "recall_macro": lambda: sk.recall_score(y, p, **macro),
        "precision_macro": lambda: sk.precision_score(y, p, **macro),
        "f1_macro": lambda: sk.f1_score(y, p, **macro),
        "f1_weighted": lambda: sk.f1_score(y, p, average="weighted", zero_division=0),
        "kappa": lambda: sk.cohen_kappa_score(y, p, **kappa),
        "kappa_linear": lambda: sk.cohen_kappa_score(y, p, weights="linear", **kappa),
        "kappa_quadratic": lambda: sk.cohen_kappa_score(y, p, weights="quadratic", **kappa),
        "mcc": lambda: sk.matthews_corrcoef(y, p),
        "auroc": lambda: sk.roc_auc_score(y, scores[:, 1]),
        "ap": lambda: sk.average_precision_score(y, scores[:, 1]),
        "auroc_macro": lambda: np.mean(aurocs),
        "auroc_weighted": lambda: np.average(aurocs, weights=[(y == k).sum() for k in both]),
        "ap_macro": lambda: np.mean([sk.average_precision_score(y == k, scores[:, k]) for k in held]),
        "log_loss": lambda: -np.mean(np.log(np.clip(scores[np.arange(len(y)), y], EPSILON, 1 - EPSILON))),
        "ece_15": lambda: calibration_error(scores, y),
    }
    return float(ways[name]())


EPSILON = np.finfo(np.float64).eps


def calibration_error(scores: np.ndarray, y: np.ndarray) -> float:
    sure, right = scores.max(1), scores.argmax(1) == y
    bins = [(sure > b / 15) & (sure <= (b + 1) / 15) for b in range(15)]
    return sum(abs(right[inside].mean() - sure[inside].mean()) * inside.mean() for inside in bins if inside.any())


def labels_by_sklearn(name: str, scores: np.ndarray, y: np.ndarray) -> float:
    p = (scores >= 0.5).astype(int)
    held = [k for k in range(y.shape[1]) if y[:, k].any()]
    both = [k for k in held if not y[:, k].all()]
    likely = np.clip(np.where(y == 1, scores, 1 - scores), EPSILON, 1 - EPSILON)
    ways = {
        "f1_macro": lambda: np.mean([sk.f1_score(y[:, k], p[:, k], zero_division=0) for k in held]),
        "f1_micro": lambda: sk.f1_score(y.ravel(), p.ravel()),
        "auroc_macro": lambda: sk.roc_auc_score(y[:, both], scores[:, both], average="macro"),
        "auroc_weighted": lambda: sk.roc_auc_score(y[:, both], scores[:, both], average="weighted"),
        "ap_macro": lambda: np.mean([sk.average_precision_score(y[:, k], scores[:, k]) for k in held]),
        "accuracy_exact": lambda: sk.accuracy_score(y, p),
        "accuracy_label": lambda: 1 - sk.hamming_loss(y, p),
        "log_loss": lambda: -np.log(likely).mean(),
    }
    return float(ways[name]())


CASES = [("multiclass", name) for name in SINGLE] + [("binary", name) for name in BINARY]
CASES += [("multilabel", name) for name in LABELS]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("task", "name"), CASES)
def test_every_metric_on_every_draw_agrees_with_sklearn(task, name, ties):
    scores, y = sample(task, ties)
    weights = draws(len(y), 5)
    found = weighted(name, scores, y)(weights)
    assert found.shape == (2, 5)
    for s, j in itertools.product(range(2), range(5)):
        rows = rows_of(weights, j)
        assert found[s, j] == pytest.approx(by_sklearn(name, scores[s, rows], y[rows]), abs=1e-12)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("task", "name"), CASES)
def test_absent_classes_follow_the_rule_of_the_metric(task, name, seed):
    """Ten images, so that many draws lack a class, or have only one."""
    scores, y = sample(task, ties=True, seed=seed + 10, n=10)
    weights = draws(10, 25, seed)
    found = weighted(name, scores[:1], y)(weights)[0]
    expected = [score(name, scores[0][rows], y[rows]) for rows in (rows_of(weights, j) for j in range(25))]
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_undefined_draws_are_nan():
    scores, y = np.array([[[0.3, 0.7], [0.6, 0.4], [0.2, 0.8]]]), np.array([1, 0, 1])
    weights = np.array([[1, 3, 0, 2], [1, 0, 3, 1], [1, 0, 0, 0]], np.float32)
    assert weighted("auroc", scores, y)(weights)[0] == pytest.approx([1, np.nan, np.nan, 1], nan_ok=True)
    assert weighted("ap", scores, y)(weights)[0] == pytest.approx([1, 1, np.nan, 1], nan_ok=True)


@pytest.mark.parametrize("at_once", [1, 7, 10**9])
def test_parts_do_not_matter(monkeypatch, at_once):
    from medbench.metrics import weighted as module

    scores, y = sample("multiclass", ties=False)
    weights = draws(len(y), 30)
    whole = weighted("kappa_quadratic", scores, y)(weights)
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    assert np.array_equal(weighted("kappa_quadratic", scores, y)(weights), whole)


def test_a_score_that_is_not_a_number_makes_only_its_set_undefined():
    scores, y = sample("multiclass", ties=False)
    scores[1, 3, 2] = np.nan
    found = weighted("auroc_macro", scores, y)(draws(len(y), 5))
    assert np.isnan(found).all(axis=1).tolist() == [False, True]


def test_what_does_not_fit_is_refused():
    scores, y = sample("multiclass", ties=False)
    with pytest.raises(MedbenchError, match="unknown metric"):
        weighted("acuracy", scores, y)
    with pytest.raises(MedbenchError, match="not for multilabel"):
        weighted("kappa", scores, np.ones((40, 5)))
    with pytest.raises(ValueError, match="do not fit"):
        weighted("accuracy", scores, y[:-1])
    with pytest.raises(ValueError, match="no image"):
        weighted("accuracy", scores[:, :0], y[:0])
