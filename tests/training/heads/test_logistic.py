"""Logistic regression against scikit-learn's own probabilities and against its optimality conditions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medbench import progress
from medbench.training.heads import logistic
from medbench.training.heads.logistic import NEVER, Logistic


def fit_logistic(*given, C: float, **settings) -> Logistic:
    (found,) = logistic.fit_logistic(*given, C=[C], **settings)
    return found


def data(c: int = 4, n: int = 220, d: int = 7, seed: int = 0):
    source = np.random.default_rng(seed)
    share = 1 / np.arange(1, c + 1)
    targets = np.concatenate([np.arange(c), source.choice(c, n - c, p=share / share.sum())])
    spread, offset = np.logspace(-2, 2, d), source.normal(size=d) * 5
    features = (source.normal(size=(c, d))[targets] + source.normal(size=(n, d))) * spread + offset
    return features.astype(np.float32), targets


def labels(n: int = 220, d: int = 7, c: int = 3, seed: int = 0):
    source = np.random.default_rng(seed)
    features = source.normal(size=(n, d)).astype(np.float32)
    return features, (features @ source.normal(size=(d, c)) + source.normal(size=(n, c)) > 0.7).astype(np.uint8)


def theirs(C: float, balanced: bool, scale: bool):
    steps = [StandardScaler()] if scale else []
    weights = "balanced" if balanced else None
    model = LogisticRegression(C=C, class_weight=weights, solver="newton-cg", max_iter=500, tol=1e-9)
    return make_pipeline(*steps, model)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("c", [2, 4])
def test_softmax_equals_scikit_learn(c: int, balanced: bool, scale: bool) -> None:
    x, y = data(c)
    found = fit_logistic(x, y, c, C=0.316, balanced=balanced, scale=scale, max_iter=5000)
    assert (found.weight.shape, found.bias.shape, found.warnings) == ((c, 7), (c,), ())
    assert found.weight.dtype == found.bias.dtype == np.float64
    ours = softmax(x @ found.weight.T + found.bias, axis=1)
    expected = theirs(0.316, balanced, scale).fit(x.astype(np.float64), y).predict_proba(x.astype(np.float64))
    np.testing.assert_allclose(ours, expected, atol=2e-6)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("balanced", [False, True])
def test_each_label_equals_a_regression_of_its_own(balanced: bool, scale: bool) -> None:
    x, y = labels()
    found = fit_logistic(x, y, 3, C=2.0, balanced=balanced, scale=scale, max_iter=5000)
    ours = expit(x @ found.weight.T + found.bias)
    for k in range(3):
        one = theirs(2.0, balanced, scale).fit(x.astype(np.float64), y[:, k])
        np.testing.assert_allclose(ours[:, k], one.predict_proba(x.astype(np.float64))[:, 1], atol=2e-6)


@pytest.mark.parametrize("balanced", [False, True])
def test_the_optimum_has_no_gradient(balanced: bool) -> None:
    """Of the mean loss plus penalty, by hand; scikit-learn stops at 1e-4, and a C twice as large is no optimum."""
    x, y = data(3)
    x = (x - x.mean(0)) / x.std(0)
    weight, bias, _ = fit_logistic(x, y, 3, C=0.316, balanced=balanced)
    count = np.bincount(y)
    each = (len(y) / (3 * count))[y] if balanced else np.ones(len(y))
    residual = each[:, None] * (softmax(x @ weight.T + bias, axis=1) - np.eye(3)[y]) / each.sum()

    def slope(C: float) -> float:
        return max(np.abs(residual.T @ x + weight / (C * each.sum())).max(), np.abs(residual.sum(0)).max())

    assert slope(0.316) < 1.5e-4 < 5e-4 < slope(0.632)


def test_the_first_row_of_two_classes_is_nothing_and_logits_of_more_sum_to_nothing() -> None:
    two = fit_logistic(*data(2), 2, C=1.0, max_iter=5000)
    assert not two.weight[0].any()
    assert two.bias[0] == 0
    more = fit_logistic(*data(4), 4, C=1.0, balanced=True, scale=True)
    np.testing.assert_allclose(more.weight.sum(0), 0, atol=1e-8)
    assert more.bias.sum() == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("present", [[0, 2, 3], [1, 3], [4]])
def test_a_class_without_images_is_never_predicted_and_changes_nothing_else(present: list[int]) -> None:
    x, y = data(max(len(present), 2))
    y = np.array(present)[np.minimum(y, len(present) - 1)]
    found = fit_logistic(x, y, 5, C=0.5, balanced=True, scale=True, max_iter=5000)
    absent = sorted({*range(5)} - {*present})
    assert not found.weight[absent].any()
    assert (found.bias[absent] == -NEVER).all()
    scores = softmax(x @ found.weight.T + found.bias, axis=1)
    assert scores[:, absent].max() <= np.exp(-NEVER)
    expected = 1.0 if len(present) == 1 else theirs(0.5, True, True).fit(x.astype(np.float64), y).predict_proba(x)
    np.testing.assert_allclose(scores[:, present], expected, atol=2e-6)
    assert found.warnings == ()


def test_labels_of_one_value_are_constant() -> None:
    x, y = labels()
    y = np.column_stack([y, np.zeros(len(y), np.uint8), np.ones(len(y), np.uint8)])
    found = fit_logistic(x, y, 5, C=1.0, scale=True)
    assert not found.weight[3:].any()
    assert found.bias[3:].tolist() == [-NEVER, NEVER]
    np.testing.assert_allclose(found.weight[:3], fit_logistic(x, y[:, :3], 3, C=1.0, scale=True).weight, atol=1e-5)
    assert found.warnings == ()


def test_no_convergence_is_told_and_not_raised() -> None:
    x, y = data(4)
    found = fit_logistic(x, y, 4, C=100.0, max_iter=2)
    assert len(found.warnings) == 1
    assert "failed to converge after 2 iteration" in found.warnings[0]
    assert "\n" not in found.warnings[0]


def test_a_constant_feature_and_scales_far_apart_are_folded_right() -> None:
    x, y = data(3)
    x = np.column_stack([x, np.full(len(x), 1000.0)])
    found = fit_logistic(x, y, 3, C=1.0, scale=True)
    assert not found.weight[:, -1].any()
    expected = theirs(1.0, False, True).fit(x, y).predict_proba(x)
    np.testing.assert_allclose(softmax(x @ found.weight.T + found.bias, axis=1), expected, atol=2e-6)


@pytest.mark.parametrize("n", [400, 60])  # more and fewer samples than features
def test_each_strength_has_its_own_optimum_whatever_the_order(n: int) -> None:
    source = np.random.default_rng(0)
    y = source.integers(0, 3, n)
    x = (source.normal(size=(3, 90))[y] + source.normal(size=(n, 90)) * 3) * np.logspace(-2, 0, 90) + 5
    strengths = [1.0, 1e-4, 0.316]
    with progress.quiet():
        found = logistic.fit_logistic(x, y, 3, C=strengths, balanced=True)
    each = (n / (3 * np.bincount(y)))[y]

    def objective(C: float, weight: np.ndarray, bias: np.ndarray) -> float:
        loss = each * -log_softmax(x @ weight.T + bias, axis=1)[np.arange(n), y]
        return float(loss.mean() + (weight**2).sum() / (2 * C * n))

    for C, one in zip(strengths, found, strict=True):
        model = theirs(C, balanced=True, scale=False).fit(x, y)[-1]
        least = objective(C, model.coef_, model.intercept_)
        assert objective(C, one.weight, one.bias) == pytest.approx(least, abs=1e-8)
        assert objective(C, one.weight * 1.01, one.bias) > least + 1e-7


def test_progress_names_the_strength_and_the_step(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)
    logistic.fit_logistic(*data(3), 3, C=[0.1, 1.0])
    err = capsys.readouterr().err
    assert "logistic regression: 2/2 values of C" in err
    assert "C = 1, step" in err
