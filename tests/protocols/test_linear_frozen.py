"""Linear heads on frozen features: the chosen rate, and records that agree with themselves."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from medbench import metrics
from medbench.cards.recipes import LinearFrozen
from medbench.metrics import probabilities
from medbench.protocols import linear_frozen
from medbench.protocols.context import Context, Outcome

from .made import job

RATES, EPOCHS = [1e-4, 3e-2], 4


@pytest.fixture
def given(tmp_path: Path) -> Context[LinearFrozen]:
    settings = LinearFrozen(epochs=EPOCHS, batch_size=20, learning_rates=RATES, warmup_epochs=1, plateau=False, views=0)
    context = job(settings, tmp_path, None, seeds=[0, 4])
    source = np.random.default_rng(0)
    centres = source.normal(size=(3, 5))
    features = {
        split: (centres[targets] + source.normal(size=(len(targets), 5))).astype(np.float32)
        for split, targets in (("train", context.train_targets), ("val", context.val_targets))
    }
    features["test"] = features["val"]  # so that both must get the same scores
    inputs = SimpleNamespace(clean=features.__getitem__, views=lambda number, augment: [features["train"]])
    return job(settings, tmp_path, inputs, seeds=[0, 4])


@pytest.fixture
def outcomes(given: Context[LinearFrozen]) -> dict[int, Outcome]:
    return linear_frozen.run(given)


def test_the_rate_of_the_best_mean_over_seeds_is_every_seeds(outcomes: dict[int, Outcome]) -> None:
    best = np.array([[c["best"] for c in outcome.selection["candidates"]] for outcome in outcomes.values()])
    means = [c["mean"] for c in outcomes[0].selection["candidates"]]
    assert means == pytest.approx(best.mean(axis=0))
    assert {outcome.chosen["learning_rate"] for outcome in outcomes.values()} == {RATES[int(np.argmax(means))]}
    assert RATES[int(np.argmax(means))] == 3e-2, "the small rate has hardly moved"


def test_scores_are_those_of_the_best_epoch(given: Context[LinearFrozen], outcomes: dict[int, Outcome]) -> None:
    for outcome in outcomes.values():
        candidate = outcome.selection["candidates"][RATES.index(outcome.chosen["learning_rate"])]
        assert outcome.chosen["val"] == candidate["best"] == max(candidate["curve"])
        assert outcome.chosen["epoch"] == int(np.argmax(candidate["curve"]))
        assert outcome.chosen["step"] == (outcome.chosen["epoch"] + 1) * 3  # 60 images, 20 at a time
        value = metrics.score("recall_macro", probabilities(outcome.log_odds_val), given.val_targets)
        assert value == pytest.approx(outcome.chosen["val"])
        np.testing.assert_allclose(probabilities(outcome.log_odds_test), probabilities(outcome.log_odds_val), atol=1e-6)


def test_the_history_has_a_row_for_each_epoch_of_each_rate(outcomes: dict[int, Outcome]) -> None:
    for outcome in outcomes.values():
        history = outcome.history
        assert list(history["candidate"]) == [rate for rate in RATES for _ in range(EPOCHS)]
        assert list(history["epoch"]) == [*range(EPOCHS)] * 2
        assert list(history["val"]) == [v for c in outcome.selection["candidates"] for v in c["curve"]]
        assert {len(column) for column in history.values()} == {2 * EPOCHS}
