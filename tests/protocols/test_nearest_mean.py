"""Nearest class mean against scikit-learn and against its definition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import normalize

import medbench
from medbench.cards.recipes import NearestMean
from medbench.metrics import probabilities
from medbench.protocols import nearest_mean
from medbench.protocols.context import Context


class Features:
    def __init__(self, **splits: np.ndarray) -> None:
        self.splits = splits

    def clean(self, split: str) -> np.ndarray:
        return self.splits[split].astype(np.float32)


def context(targets: dict[str, np.ndarray], features: dict[str, np.ndarray], **more: Any) -> Context[NearestMean]:
    return Context(
        settings=NearestMean(temperature=0.2),
        seeds=[0],
        classes=4,
        metric="recall_macro",
        train_targets=targets["train"],
        val_targets=targets["val"],
        val_groups=None,
        inputs=Features(**features),
        device=torch.device("cpu"),
        partial=Path(),
        **{"multilabel": False, **more},
    )


def drawn(classes: int = 4) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    source = np.random.default_rng(3)
    centres = source.normal(size=(classes, 6))
    targets = {split: source.integers(classes, size=n) for split, n in (("train", 90), ("val", 40), ("test", 50))}
    return targets, {split: centres[y] + source.normal(size=(len(y), 6)) for split, y in targets.items()}


def test_the_class_is_that_of_the_nearest_centroid() -> None:
    targets, features = drawn()
    outcome = nearest_mean.run(context(targets, features))[0]
    train = normalize(features["train"])
    means = normalize(np.stack([train[targets["train"] == k].mean(0) for k in range(4)]))
    theirs = KNeighborsClassifier(1).fit(means, np.arange(4))  # one point per class, on the unit sphere
    assert outcome.log_odds_test is not None
    np.testing.assert_array_equal(
        probabilities(outcome.log_odds_test).argmax(1), theirs.predict(normalize(features["test"]))
    )
    expected = np.exp(normalize(features["test"]) @ means.T / 0.2)
    np.testing.assert_allclose(
        probabilities(outcome.log_odds_test), expected / expected.sum(1, keepdims=True), atol=1e-5
    )
    assert outcome.log_odds_val is not None
    assert outcome.log_odds_val.shape == (40, 4)


def test_a_label_is_scored_against_the_images_without_it() -> None:
    _, features = drawn()
    source = np.random.default_rng(0)
    targets = {split: source.integers(2, size=(len(x), 4)) for split, x in features.items()}
    outcome = nearest_mean.run(context(targets, features, multilabel=True))[0]
    train, test = normalize(features["train"]), normalize(features["test"])
    for label in range(4):
        has = targets["train"][:, label] == 1
        near, far = (test @ normalize(train[side].mean(0, keepdims=True))[0] for side in (has, ~has))
        assert outcome.log_odds_test is not None
        np.testing.assert_allclose(
            probabilities(outcome.log_odds_test)[:, label], 1 / (1 + np.exp((far - near) / 0.2)), atol=1e-5
        )


@pytest.mark.parametrize("dataset", ["toy", "toy-multilabel"])
def test_it_runs_from_its_card(dataset: str) -> None:
    (record,) = medbench.run(model="toy-vit", protocol="nearest-mean", dataset=dataset)
    assert record.unit.seed == 0
    assert record.counts["forwards"] > 0
    assert record.score is not None
