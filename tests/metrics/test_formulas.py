"""Every metric against scikit-learn (or its definition), on random cases with ties and absent classes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from medbench.metrics import METRICS, score


def draw(seed: int, c: int | None = None, ties: bool = False):
    """Scores (n, c) and classes (n,), often with absent classes."""
    rng = np.random.default_rng(seed)
    c = c or int(rng.integers(2, 8))
    n = int(rng.integers(1, 60))
    logits = rng.normal(size=(n, c)) * 2
    targets = rng.choice(rng.choice(c, size=int(rng.integers(1, c + 1)), replace=False), size=n)
    logits[np.arange(n), targets] += 1
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    if ties:  # shares of ten, still summing to one: many equal scores
        scores = rng.multinomial(10, [1 / c] * c, size=n) / 10
    return scores, targets


def draw_labels(seed: int, ties: bool = False):
    rng = np.random.default_rng(seed)
    n, c = int(rng.integers(1, 50)), int(rng.integers(1, 7))
    targets = (rng.random((n, c)) < rng.choice([0, 0.1, 0.5, 1], size=c)).astype(np.uint8)
    scores = np.clip(rng.random((n, c)) * 0.7 + 0.3 * targets, 0, 1)
    return (np.round(scores, 1) if ties else scores), targets


def same(ours: float, reference: float) -> None:
    assert ours == pytest.approx(reference, abs=1e-12, nan_ok=True)


CASES = [(seed, ties) for seed in range(60) for ties in (False, True)]


@pytest.mark.parametrize(("seed", "ties"), CASES)
@pytest.mark.filterwarnings("ignore")
def test_predictions_agree_with_sklearn(seed, ties):
    scores, y = draw(seed, ties=ties)
    p, c = scores.argmax(1), scores.shape[1]
    held, every = np.unique(y), list(range(c))
    macro = {"labels": held, "average": "macro", "zero_division": 0}
    same(score("accuracy", scores, y), sk.accuracy_score(y, p))
    same(score("recall_macro", scores, y), sk.balanced_accuracy_score(y, p))
    same(score("recall_macro", scores, y), sk.recall_score(y, p, **macro))
    same(score("precision_macro", scores, y), sk.precision_score(y, p, **macro))
    same(score("f1_macro", scores, y), sk.f1_score(y, p, **macro))
    same(score("f1_weighted", scores, y), sk.f1_score(y, p, average="weighted", zero_division=0))
    for name, weights in (("kappa", None), ("kappa_linear", "linear"), ("kappa_quadratic", "quadratic")):
        same(score(name, scores, y), sk.cohen_kappa_score(y, p, labels=every, weights=weights))
    same(score("mcc", scores, y), sk.matthews_corrcoef(y, p) if len(held) > 1 else mcc_of_one_class(y, p))


def mcc_of_one_class(y, p) -> float:
    assert len(np.unique(y)) == 1
    return float("nan")  # 0 / 0, which scikit-learn calls 0


@pytest.mark.parametrize(("seed", "ties"), CASES)
def test_ranks_agree_with_sklearn(seed, ties):
    scores, y = draw(seed, ties=ties)
    n, c = scores.shape
    held = [k for k in range(c) if 0 < (y == k).sum() < n]
    aurocs = [sk.roc_auc_score(y == k, scores[:, k]) for k in held]
    sizes = [(y == k).sum() for k in held]
    same(score("auroc_macro", scores, y), np.mean(aurocs) if held else np.nan)
    same(score("auroc_weighted", scores, y), np.average(aurocs, weights=sizes) if held else np.nan)
    aps = [sk.average_precision_score(y == k, scores[:, k]) for k in np.unique(y)]
    same(score("ap_macro", scores, y), np.mean(aps))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("seed", range(20))
def test_binary_agrees_with_sklearn(seed, dtype):
    scores, y = draw(seed + 1000, c=2)
    scores = scores.astype(dtype)
    if len(np.unique(y)) == 2:
        same(score("auroc", scores, y), sk.roc_auc_score(y, scores[:, 1].astype(np.float64)))
        same(score("ap", scores, y), sk.average_precision_score(y, scores[:, 1].astype(np.float64)))
    else:
        assert np.isnan(score("auroc", scores, y))


@pytest.mark.parametrize(("seed", "ties"), CASES)
@pytest.mark.filterwarnings("ignore")
def test_multilabel_agrees_with_sklearn(seed, ties):
    scores, y = draw_labels(seed, ties)
    n, c = y.shape
    p = (scores >= 0.5).astype(np.uint8)
    both = [k for k in range(c) if 0 < y[:, k].sum() < n]
    held = [k for k in range(c) if y[:, k].any()]
    aurocs = [sk.roc_auc_score(y[:, k], scores[:, k]) for k in both]
    same(score("auroc_macro", scores, y), np.mean(aurocs) if both else np.nan)
    same(score("auroc_weighted", scores, y), np.average(aurocs, weights=y[:, both].sum(0)) if both else np.nan)
    aps = [sk.average_precision_score(y[:, k], scores[:, k]) for k in held]
    same(score("ap_macro", scores, y), np.mean(aps) if held else np.nan)
    f1s = [sk.f1_score(y[:, k], p[:, k], zero_division=0) for k in held]
    same(score("f1_macro", scores, y), np.mean(f1s) if held else np.nan)
    same(score("f1_micro", scores, y), sk.f1_score(y.ravel(), p.ravel()) if held else np.nan)
    same(score("accuracy_exact", scores, y), np.mean([(y[i] == p[i]).all() for i in range(n)]))
    same(score("accuracy_label", scores, y), 1 - sk.hamming_loss(y, p))
    losses = [sk.log_loss(y[:, k], np.stack([1 - scores[:, k], scores[:, k]], 1), labels=[0, 1]) for k in range(c)]
    same(score("log_loss", scores, y), np.mean(losses))


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.filterwarnings("ignore")
def test_log_loss_and_calibration(seed):
    scores, y = draw(seed)
    n, c = scores.shape
    same(score("log_loss", scores, y), sk.log_loss(y, scores, labels=range(c)))
    confidence, right = scores.max(1), scores.argmax(1) == y
    total = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            total += inside.sum() / n * abs(right[inside].mean() - confidence[inside].mean())
    same(score("ece_15", scores, y), total)


def test_log_loss_of_a_certain_error_is_finite():
    assert score("log_loss", np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(-np.log(np.finfo(float).eps))
    assert score("ece_15", np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1, 1])) == pytest.approx(0.5)


def test_calibration_bins_contain_their_upper_edge():
    scores = np.array([[0.6, 0.4], [0.55, 0.45]])  # 0.6 = 9 / 15: both in (8/15, 9/15]
    assert score("ece_15", scores, np.array([0, 1])) == pytest.approx(abs((1 - 0.6) + (0 - 0.55)) / 2)


def test_gaps_between_class_numbers_count_in_weighted_kappa():
    """Grades 0, 3 and 4 keep their distances, although grades 1 and 2 do not occur."""
    y, p = np.array([0, 3, 4, 4, 0]), np.array([0, 4, 4, 0, 3])
    ours = score("kappa_quadratic", np.eye(5)[p], y)
    same(ours, sk.cohen_kappa_score(y, p, labels=range(5), weights="quadratic"))
    assert ours != pytest.approx(sk.cohen_kappa_score(y, p, weights="quadratic"))


def test_a_constant_prediction_has_the_values_of_chance():
    scores, y = np.tile([0.1, 0.2, 0.7], (6, 1)), np.array([0, 0, 1, 1, 2, 2])
    assert score("mcc", scores, y) == 0
    assert score("kappa_quadratic", scores, y) == 0
    assert score("recall_macro", scores, y) == pytest.approx(1 / 3)
    assert score("auroc_macro", scores, y) == 0.5


@pytest.mark.parametrize("name", METRICS)
def test_range(name):
    task = METRICS[name].tasks[0]
    low, high = -1 if name.startswith(("kappa", "mcc")) else 0, np.inf if name == "log_loss" else 1
    for seed in range(30):
        scores, y = draw_labels(seed) if task == "multilabel" else draw(seed, c=2 if task == "binary" else None)
        value = score(name, scores, y)
        assert np.isnan(value) or low <= value <= high
