"""The linear probe: what is fitted on which images, the choice of C, and what is said about it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from medbench import cards, metrics
from medbench.cards.recipes import LinearProbe
from medbench.cards.resolve import resolve
from medbench.metrics import probabilities
from medbench.protocols import linear_probe
from medbench.protocols.context import Context

SIZES = {"train": 130, "val": 60, "test": 30}


class Features:
    def __init__(self, splits: dict[str, np.ndarray]) -> None:
        self.splits, self.asked = splits, []

    def clean(self, split: str) -> np.ndarray:
        self.asked.append(split)
        return self.splits[split]


def context(tmp_path, multilabel=False, classes=3, seed=0, metric=None, **settings) -> Context:
    source = np.random.default_rng(5)
    centres = source.normal(size=(classes, 6))
    targets = {split: source.integers(classes, size=n) for split, n in SIZES.items()}
    features = {s: (centres[y] + source.normal(size=(len(y), 6))).astype(np.float32) for s, y in targets.items()}
    if multilabel:
        targets = {s: (x[:, :classes] + source.normal(size=(len(x), classes)) > 0.3).astype(np.uint8)
                   for s, x in features.items()}  # fmt: skip
    return Context(
        settings=LinearProbe.model_validate(settings),
        seeds=[seed],
        classes=classes,
        multilabel=multilabel,
        metric=metric or ("auroc_macro" if multilabel else "recall_macro"),
        train_targets=targets["train"],
        val_targets=targets["val"],
        val_groups=None,
        inputs=Features(features),
        device=torch.device("cpu"),
        partial=tmp_path,
    )


def fitted(x, y, C=0.316):
    return LogisticRegression(C=C, class_weight="balanced", solver="newton-cg", tol=1e-12).fit(x.astype(np.float64), y)


@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
def test_test_is_scored_by_the_fit_that_is_asked_for_and_val_by_that_on_train(tmp_path, classes, refit) -> None:
    given = context(tmp_path, classes=classes, refit=refit)
    outcome = linear_probe.run(given)[0]
    x, y = given.inputs.splits, given.train_targets
    alone = fitted(x["train"], y)
    both = fitted(np.concatenate([x["train"], x["val"]]), np.concatenate([y, given.val_targets]))
    found_val, found_test = probabilities(outcome.log_odds_val), probabilities(outcome.log_odds_test)
    np.testing.assert_allclose(found_val, alone.predict_proba(x["val"].astype(float)), atol=1e-6)
    wanted, other = (both, alone) if refit else (alone, both)
    np.testing.assert_allclose(found_test, wanted.predict_proba(x["test"].astype(float)), atol=1e-6)
    assert np.abs(found_test - other.predict_proba(x["test"].astype(float))).max() > 1e-3
    value = metrics.score("recall_macro", found_val, given.val_targets)
    assert outcome.chosen == {"C": 0.316, "val": value, "refit": refit}
    assert ("train and val" in outcome.selection["test"]) == refit
    assert outcome.warnings == ()
    assert given.inputs.asked.count("test") == 1


def test_several_labels(tmp_path) -> None:
    given = context(tmp_path, multilabel=True, refit=True)
    outcome = linear_probe.run(given)[0]
    x = np.concatenate([given.inputs.splits["train"], given.inputs.splits["val"]])
    y = np.concatenate([given.train_targets, given.val_targets])
    for k in range(3):
        one = fitted(x, y[:, k])
        logits = given.inputs.splits["test"].astype(float) @ one.coef_[0] + one.intercept_[0]
        np.testing.assert_allclose(probabilities(outcome.log_odds_test)[:, k], expit(logits), atol=1e-6)


def test_the_best_strength_on_validation_wins_and_the_least_of_equals(tmp_path) -> None:
    given = context(tmp_path, C=[3.0, 1e-4, 0.1, 1e-2])
    outcome = linear_probe.run(given)[0]
    values = {c["C"]: c["val"] for c in outcome.selection["candidates"]}
    assert list(values) == outcome.history["C"] == [1e-4, 1e-2, 0.1, 3.0]
    for C, value in values.items():
        scores = fitted(given.inputs.splits["train"], given.train_targets, C).predict_proba(given.inputs.splits["val"])
        assert value == metrics.score("recall_macro", scores, given.val_targets)
    best = max(values.values())
    assert outcome.chosen["C"] == min(C for C, value in values.items() if value == best)
    assert outcome.chosen["val"] == best
    equal = linear_probe.run(context(tmp_path, C=[0.1000001, 0.1, 0.1000002]))[0]  # too near for another prediction
    assert len(set(equal.history["val"])) == 1
    assert equal.chosen["C"] == 0.1


def test_the_edge_of_the_grid_and_a_lead_within_the_error_are_warned_of(tmp_path) -> None:
    outcome = linear_probe.run(context(tmp_path, C=[0.1, 0.1000001, 0.1000002]))[0]
    assert "the best C, 0.1, is the smallest of the grid" in outcome.warnings[0]
    assert outcome.warnings[1].startswith("C 0.1 ties with 2 others on 60 validation images")


def test_no_convergence_stands_in_the_outcome_with_its_strength(tmp_path) -> None:
    some = linear_probe.run(context(tmp_path, C=[1e-6, 1e3], max_iter=3, refit=True))[0]
    found = [text for text in some.warnings if "failed to converge" in text]
    assert len(found) == 1
    assert found[0].startswith("C = 1000")
    every = linear_probe.run(context(tmp_path, C=[10.0, 1e3], max_iter=1, refit=True))[0]
    assert any(text.startswith("logistic regression failed to converge after 1 ") for text in every.warnings)


def test_log_loss_chooses_where_validation_leaves_the_metric_undefined(tmp_path) -> None:
    given = context(tmp_path, multilabel=True, C=[1.0, 0.1, 10.0])
    given.val_targets[:] = 0
    outcome = linear_probe.run(given)[0]
    values = {candidate["C"]: candidate["val"] for candidate in outcome.selection["candidates"]}
    assert outcome.chosen["val"] == min(values.values()) == values[outcome.chosen["C"]]
    assert "auroc_macro cannot be used to choose" in outcome.warnings[0]
    assert not any("wider grid" in text for text in outcome.warnings)
    assert outcome.log_odds_test.shape == (30, 3)


def test_nothing_is_drawn_and_the_outcome_is_the_asked_seed(tmp_path) -> None:
    assert not cards.find_protocol("linear-probe").seeded
    (first,) = linear_probe.run(context(tmp_path, C=[0.1, 1.0], refit=True)).values()
    again = linear_probe.run(context(tmp_path, C=[0.1, 1.0], refit=True, seed=3))  # a fold of its own
    assert list(again) == [3]
    np.testing.assert_array_equal(first.log_odds_test, again[3].log_odds_test)


def test_presets_of_the_card() -> None:
    card = cards.find_protocol("linear-probe")
    paper, code, fixed = (resolve(card, preset, "fives-flair", {}) for preset in ("paper", "wacv-code", "fixed"))
    assert paper == code
    assert (paper.C, paper.balanced, paper.scale, paper.refit, paper.max_iter) == ([0.316], True, False, True, 1000)
    assert (len(fixed.C), fixed.C[0], fixed.C[-1], fixed.scale, fixed.refit) == (11, 1e-3, 1e2, True, True)
    assert fixed.channel_rule == "sum"
