"""CLIP-Adapter: which pair is chosen on which images, and what the record says of it."""

from __future__ import annotations

import numpy as np
import pytest

from medbench import metrics
from medbench.cards.recipes import ClipAdapter
from medbench.protocols.adapters import clip_adapter

ONE = {"optimizer": "adamw", "epochs": 15, "batch_size": 5}
GRID = {"ratios": [0.2, 0.9], "learning_rates": [1e-3, 1e-1], **ONE}


def test_the_pair_of_the_least_log_loss_on_validation_is_chosen(job):
    outcome = clip_adapter.run(job(ClipAdapter(**GRID)))[0]
    alone = {
        (ratio, rate): clip_adapter.run(job(ClipAdapter(ratios=[ratio], learning_rates=[rate], **ONE)))[0]
        for ratio in GRID["ratios"]
        for rate in GRID["learning_rates"]
    }
    targets = np.arange(30) % 3
    losses = {
        pair: -np.log(metrics.probabilities(one.log_odds_val)[np.arange(30), targets]).mean()
        for pair, one in alone.items()
    }
    best = min(losses, key=lambda pair: losses[pair])
    assert (outcome.chosen["ratio"], outcome.chosen["learning_rate"]) == best
    assert outcome.chosen["val"] == pytest.approx(losses[best], rel=1e-4)
    assert [one["val"] for one in outcome.selection["candidates"]] == pytest.approx(list(losses.values()), rel=1e-4)
    np.testing.assert_allclose(outcome.log_odds_test, alone[best].log_odds_test, rtol=1e-4, atol=1e-4)
    assert alone[best].selection["by"].startswith("nothing was chosen")


@pytest.mark.parametrize(("settings", "val"), [({}, 0), ({"shots": "all", "val": "none"}, 15)])
def test_without_validation_the_first_pair_is_taken(job, settings, val):
    outcome = clip_adapter.run(job(ClipAdapter(**GRID, **settings), val=val))[0]
    assert (outcome.chosen["ratio"], outcome.chosen["learning_rate"]) == (0.2, 1e-3)
    assert outcome.chosen["val"] is None
    assert outcome.selection["by"].startswith("nothing was chosen")


def test_the_choice_does_not_depend_on_the_test_images(job):
    given, other = (job(ClipAdapter(**GRID)) for _ in range(2))
    other.inputs.splits["test"] = -other.inputs.splits["test"]
    assert clip_adapter.run(given)[0].selection == clip_adapter.run(other)[0].selection


def test_edges_of_long_grids_are_told(job):
    outcome = clip_adapter.run(job(ClipAdapter(ratios=[0.5, 0.2, 0.01], learning_rates=[1e-12], **ONE)))[0]
    ratio = outcome.chosen["ratio"]
    assert outcome.selection["at_edge"] == (["ratio"] if ratio != 0.2 else [])


def test_seeds_differ_and_repeat(job):
    outcomes = clip_adapter.run(job(ClipAdapter(**ONE), seeds=[0, 1]))
    assert not np.array_equal(outcomes[0].log_odds_test, outcomes[1].log_odds_test)
    again = clip_adapter.run(job(ClipAdapter(**ONE), seeds=[1]))[1]
    np.testing.assert_array_equal(again.log_odds_test, outcomes[1].log_odds_test)
