"""Metrics on demand against scikit-learn, scipy, and sums written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from medbench.metrics import log_odds, probabilities, score
from medbench.metrics.measures import MEASURES, Predictions, measure
from medbench.metrics.weighted import weighted

CLOSE = {"rel": 1e-9, "abs": 1e-12}
TASKS = ("binary", "multiclass", "ordinal", "multilabel")


def part(task: str, n: int = 300, seed: int = 0, ties: bool = False) -> Predictions:
    """Predictions better than chance, but overconfident; `ties`: few values."""
    rng = np.random.default_rng(seed)
    if task == "multilabel":
        y = (rng.random((n, 3)) < [0.5, 0.2, 0.1]).astype(np.uint8)
        x = 1.6 * (rng.normal(size=(n, 3)) + 1.2 * y - 0.8)
    else:
        c = 2 if task == "binary" else 4
        y = rng.choice(c, n, p=[0.7, 0.3] if c == 2 else [0.4, 0.3, 0.2, 0.1])
        x = log_odds(1.5 * (rng.normal(size=(n, c)) + 1.2 * np.eye(c)[y]), multilabel=False)
    return Predictions(np.round(x) if ties else x, y)


def value(name: str, test: Predictions, validation: Predictions | None = None) -> float:
    found = measure(name).values(test, validation)(np.ones((len(test.targets), 1), np.float32))
    assert found.shape == (1, 1)
    return float(found[0, 0])


def each(name: str, test: Predictions, validation: Predictions | None = None) -> np.ndarray:
    return measure(name).values(test, validation, each=True)(np.ones((len(test.targets), 1), np.float32))[:, 0]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("rule", ["youden", "specificity=0.9", "sensitivity=0.8", "0.3"])
def test_what_is_called_positive_against_sklearn(rule, ties):
    test, validation = part("binary", seed=1, ties=ties), part("binary", seed=2, ties=ties)
    x, y = test.log_odds[:, 1], test.targets
    false, true, limits = sk.roc_curve(validation.targets, validation.log_odds[:, 1], drop_intermediate=False)
    limit = {
        "youden": lambda: limits[np.argmax(true - false)],
        "specificity=0.9": lambda: limits[np.flatnonzero(1 - false >= 0.9)[-1]],
        "sensitivity=0.8": lambda: limits[np.flatnonzero(true >= 0.8)[0]],
        "0.3": lambda: np.log(0.3 / 0.7),
    }[rule]()
    called = x >= limit
    sensitivity, specificity = sk.recall_score(y, called), sk.recall_score(y, called, pos_label=0)
    expected = {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": sk.precision_score(y, called),
        "npv": sk.precision_score(y, called, pos_label=0),
        "youden": sk.balanced_accuracy_score(y, called, adjusted=True),
        "balanced_accuracy": sk.balanced_accuracy_score(y, called),
    }
    assert {name: value(f"{name}@{rule}", test, validation) for name in expected} == pytest.approx(expected, **CLOSE)


def test_net_benefit_is_its_formula():
    test = part("binary")
    p, y = probabilities(test.log_odds[:, 1]), test.targets
    for limit in (0.1, 0.5):
        true, false = np.mean((p >= limit) & (y == 1)), np.mean((p >= limit) & (y == 0))
        assert value(f"net_benefit@{limit}", test) == pytest.approx(true - false * limit / (1 - limit), **CLOSE)
    assert value("net_benefit@0.0001", test) == pytest.approx(y.mean() - (1 - y.mean()) * 1e-4 / (1 - 1e-4), abs=1e-4)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_a_macro_mean_is_over_classes_with_their_own_thresholds(task):
    test, validation = part(task, seed=1), part(task, seed=2)
    own = [
        value("sensitivity@specificity=0.9", *(
            Predictions(np.stack([-one.log_odds[:, k], one.log_odds[:, k]], 1), one.has[:, k].astype(int))
            for one in (test, validation)
        ))
        for k in range(test.log_odds.shape[1])
    ]  # fmt: skip
    assert each("sensitivity@specificity=0.9", test, validation).tolist() == pytest.approx(own, **CLOSE)
    assert value("sensitivity_macro@specificity=0.9", test, validation) == pytest.approx(np.mean(own), **CLOSE)


def test_a_class_that_validation_lacks_has_no_threshold():
    test, validation = part("multilabel", seed=1), part("multilabel", seed=2)
    validation.targets[:, 1] = 0
    found = each("ppv", test, validation)
    assert np.isnan(found).tolist() == [False, True, False]
    assert value("ppv_macro", test, validation) == pytest.approx(found[[0, 2]].mean(), **CLOSE)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("rate", [0.03, 0.1, 0.5, 1.0])
def test_partial_area_against_sklearn(rate, ties):
    test = part("binary", ties=ties)
    expected = sk.roc_auc_score(test.targets, test.log_odds[:, 1], max_fpr=rate if rate < 1 else None)
    assert value(f"auroc_partial:{rate}", test) == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_brier_against_sklearn_and_its_parts_add_up(task):
    test = part(task)
    p = probabilities(test.log_odds)
    own = [sk.brier_score_loss(test.has[:, k], p[:, k]) for k in range(p.shape[1])]
    assert each("brier", test).tolist() == pytest.approx(own, **CLOSE)
    name = "_macro" if task == "multilabel" else ""
    whole, *parts = (value(f"brier{one}{name}", test) for one in ("", "_reliability", "_resolution", "_uncertainty"))
    assert whole == pytest.approx(np.mean(own) if name else own[1], **CLOSE)
    assert parts[0] - parts[1] + parts[2] == pytest.approx(whole, **CLOSE)
    share = test.has.mean(axis=0)
    uncertainty = np.mean(share * (1 - share)) if name else share[1] * (1 - share[1])
    assert parts[2] == pytest.approx(uncertainty, **CLOSE)


def test_brier_of_several_classes_is_their_sum_and_of_few_values_murphys():
    test = part("multiclass", ties=True)
    p, y = probabilities(test.log_odds), test.has
    assert value("brier", test) == pytest.approx(np.mean(((p - y) ** 2).sum(1)), **CLOSE)
    binary = part("binary", ties=True)
    p, y = probabilities(binary.log_odds[:, 1]), binary.targets
    shares = [(np.mean(p == one), y[p == one].mean(), one) for one in np.unique(p)]
    # With a bin for each value nothing varies inside, and the parts are Murphy's.
    fine = {name: value(f"brier_{name}:5000", binary) for name in ("reliability", "resolution")}
    assert fine["reliability"] == pytest.approx(sum(n * (mean - one) ** 2 for n, mean, one in shares), **CLOSE)
    assert fine["resolution"] == pytest.approx(sum(n * (mean - y.mean()) ** 2 for n, mean, _ in shares), **CLOSE)


@pytest.mark.parametrize(("detail", "strategy"), [("", "uniform"), (":mass", "quantile")])
@pytest.mark.parametrize("size", [7, 15])
def test_calibration_error_against_sklearns_bins(detail, strategy, size):
    test = part("binary", 500)
    p = probabilities(test.log_odds)
    name = f"ece{detail}:{size}"
    confidence, right = p.max(axis=1), p.argmax(axis=1) == test.targets
    assert value(name, test) == pytest.approx(by_curve(right, confidence, size, strategy), **CLOSE)
    assert each(name, test)[1] == pytest.approx(by_curve(test.targets, p[:, 1], size, strategy), **CLOSE)


def by_curve(y, p, size, strategy):
    share, mean = calibration_curve(y, p, n_bins=size, strategy=strategy)
    edges = np.linspace(0, 1, size + 1) if strategy == "uniform" else np.percentile(p, np.linspace(0, 100, size + 1))
    images = np.bincount(np.searchsorted(edges[1:-1], p), minlength=size)
    return float(np.sum(images[images > 0] * np.abs(share - mean)) / len(p))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["ece", "ece:mass:10", "brier_reliability", "brier_reliability_macro"])
def test_gaps_add_up_to_the_metric(name, task):
    """On draws, too: the absolute values of a calibration error, the squares of the reliability."""
    test = part(task, seed=5)
    weights = np.random.default_rng(0).integers(0, 4, (len(test.targets), 100)).astype(np.float32)
    one = measure(name, task)
    for split in (False, True):
        gaps = (np.abs(one.gaps(test, each=split)(weights)) ** one.power).sum(axis=1)
        np.testing.assert_allclose(gaps, one.values(test, each=split)(weights), rtol=1e-4, atol=1e-7)
        assert (one.gaps(test)(weights) < 0).any()
        assert (one.gaps(test)(weights) > 0).any()
    assert measure("brier").gaps(test) is None


def test_the_plain_error_is_that_of_records():
    test = part("multiclass")
    assert value("ece", test) == pytest.approx(score("ece_15", probabilities(test.log_odds), test.targets), **CLOSE)
    assert value("ece_macro", test) == pytest.approx(each("ece", test).mean(), **CLOSE)


def test_slope_and_intercept_against_sklearn_and_the_equation_of_the_likelihood():
    test = part("binary", 2000)
    x, y = test.log_odds[:, 1], test.targets
    fitted = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-14, max_iter=100).fit(x[:, None], y)
    assert value("calibration_slope", test) == pytest.approx(float(fitted.coef_[0, 0]), rel=1e-9)
    intercept = value("calibration_intercept", test)
    assert expit(x + intercept).mean() == pytest.approx(y.mean(), rel=1e-9)


def test_a_perfect_order_has_no_slope():
    test = Predictions(np.array([[1.0, -1.0], [2.0, -2.0], [-1.0, 1.0]]), np.array([0, 0, 1]))
    assert np.isnan(value("calibration_slope", test))


def test_grades_that_are_off():
    test = part("ordinal")
    called = probabilities(test.log_odds).argmax(1)
    assert value("mae", test) == pytest.approx(sk.mean_absolute_error(test.targets, called), **CLOSE)
    assert value("adjacent_accuracy", test) == pytest.approx(np.mean(np.abs(called - test.targets) <= 1), **CLOSE)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_log_loss_is_that_of_records(task):
    test = part(task)
    expected = score("log_loss", probabilities(test.log_odds), test.targets)
    assert value("log_loss", test) == pytest.approx(expected, **CLOSE)


def test_a_temperature_changes_calibration_and_no_order():
    test, validation = part("multiclass", seed=1), part("multiclass", seed=2)
    assert value("log_loss@temperature", test, validation) < value("log_loss", test)
    assert value("ece@temperature", test, validation) < value("ece", test)
    with pytest.raises(ValueError, match="needs validation"):
        measure("ece@temperature").values(test)


DEMANDED = [(measure(name, task).id, task) for task in TASKS for name in (
    *(name for name in MEASURES if name != "net_benefit" and task in MEASURES[name].plain + MEASURES[name].macro),
    "net_benefit@0.2",
)]  # fmt: skip


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("name", "task"), DEMANDED)
def test_weights_are_resampled_rows(name, task, ties):
    test, validation = part(task, 120, 1, ties), part(task, 120, 2, ties)
    weights = np.random.default_rng(3).multinomial(120, np.full(120, 1 / 120), 3).T.astype(np.float32)
    found = measure(name).values(test, validation)(weights)[0]
    for j, times in enumerate(weights.T.astype(int)):
        rows = np.repeat(np.arange(120), times)
        resampled = Predictions(test.log_odds[rows], test.targets[rows])
        assert found[j] == pytest.approx(value(name, resampled, validation), rel=1e-9, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", ["auroc", "ap"])
def test_rankings_are_those_of_records(name):
    test = part("multilabel")
    weights = np.random.default_rng(3).multinomial(300, np.full(300, 1 / 300), 4).T.astype(np.float32)
    expected = weighted(f"{name}_macro", test.log_odds[None], test.targets)(weights)
    np.testing.assert_allclose(measure(f"{name}_macro").values(test)(weights), expected, rtol=1e-12)
