"""Tip-Adapter: what is in the cache, what is searched on which images, and what the record says of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import softmax

from medbench.cards.recipes import TipAdapter, TipAdapterF
from medbench.metrics import probabilities
from medbench.protocols.adapters import tip_adapter

GRID = {"alphas": 5, "betas": 7, "alpha_most": 20.0, "beta_most": 12.0}


def unit(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def expected(given, split, alpha, beta, scale=20.0, keys=None) -> np.ndarray:
    """The definition, in plain numpy: probabilities of a split's images."""
    text = unit(given.words.prototypes())
    if keys is None:
        keys = unit(given.inputs.bank[: given.settings.views].mean(axis=0, dtype=np.float64))
    images, members = unit(given.inputs.clean(split)), np.eye(3)[given.train_targets]
    return softmax(scale * images @ text.T + alpha * np.exp(-beta * (1 - images @ keys.T)) @ members, axis=1)


def test_the_grid_is_searched_on_validation_and_the_first_of_equals_wins(job):
    given = job(TipAdapter(views=3, **GRID))
    outcome = tip_adapter.run(given)[0]
    best, ties, winner = -1.0, 0, None
    for beta in (0.1 + i * 11.9 / 7 for i in range(7)):  # beta outside, alpha inside, strictly greater
        for alpha in (0.1 + j * 19.9 / 5 for j in range(5)):
            value = float((expected(given, "val", alpha, beta).argmax(1) == given.val_targets).mean())
            ties = 1 if value > best else ties + (value == best)
            best, winner = (value, (alpha, beta)) if value > best else (best, winner)
    assert (outcome.chosen["alpha"], outcome.chosen["beta"]) == pytest.approx(winner)
    assert outcome.chosen["val"] == pytest.approx(best)
    assert outcome.selection["ties"] == ties > 1
    assert outcome.selection["settings"] == 35
    np.testing.assert_allclose(probabilities(outcome.log_odds_test), expected(given, "test", *winner), atol=2e-5)
    np.testing.assert_allclose(probabilities(outcome.log_odds_val), expected(given, "val", *winner), atol=2e-5)


def test_ties_are_broken_by_the_log_loss_on_validation(job):
    given = job(TipAdapter(views=0, ties="log_loss", **GRID))
    given = dataclasses.replace(given, settings=given.settings.model_copy(update={"views": 3}))
    outcome = tip_adapter.run(given)[0]
    table = {}
    for beta in (0.1 + i * 11.9 / 7 for i in range(7)):
        for alpha in (0.1 + j * 19.9 / 5 for j in range(5)):
            shares = expected(given, "val", alpha, beta)
            right = (shares.argmax(1) == given.val_targets).mean()
            loss = -np.log(shares[np.arange(len(shares)), given.val_targets]).mean()
            table[alpha, beta] = (-right, loss)
    assert (outcome.chosen["alpha"], outcome.chosen["beta"]) == pytest.approx(min(table, key=lambda pair: table[pair]))


def test_the_choice_does_not_depend_on_the_test_images(job):
    given, other = (job(TipAdapter(views=0, **GRID)) for _ in range(2))
    other.inputs.splits["test"] = -other.inputs.splits["test"]
    assert tip_adapter.run(given)[0].chosen == tip_adapter.run(other)[0].chosen


@pytest.mark.parametrize(("settings", "val"), [({}, 0), ({"search": False}, 15), ({"shots": "all", "val": "none"}, 15)])
def test_without_a_search_alpha_and_beta_are_fixed_and_the_record_says_so(job, settings, val):
    given = job(TipAdapter(views=2, **settings), val=val)
    outcome = tip_adapter.run(given)[0]
    assert (outcome.chosen["alpha"], outcome.chosen["beta"]) == (1.0, 5.5)
    assert outcome.selection["by"] == "alpha 1 and beta 5.5 are fixed: no validation data used"
    assert outcome.warnings == (outcome.selection["by"],)
    np.testing.assert_allclose(probabilities(outcome.log_odds_test), expected(given, "test", 1.0, 5.5), atol=2e-5)


def test_the_edge_of_the_grid_is_told(job):
    given = job(TipAdapter(views=0, alphas=3, betas=1, alpha_most=0.2))
    outcome = tip_adapter.run(given)[0]
    assert outcome.selection["at_edge"] in (["alpha"], [])
    least = outcome.chosen["alpha"] == 0.1
    assert outcome.selection["at_edge"] == (["alpha"] if least or outcome.chosen["alpha"] > 0.16 else [])


def test_trained_keys_fit_the_training_images_better_and_differ_by_seed(job):
    settings = TipAdapterF(views=3, epochs=30, learning_rate=1e-2, search=False, batch_size=5, alpha=2.0, beta=1.0)
    outcomes = tip_adapter.run_trained(job(settings, seeds=[0, 1]))
    assert set(outcomes) == {0, 1}
    losses = outcomes[0].history["loss"]
    assert len(losses) == 30 * 3
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])
    assert not np.array_equal(outcomes[0].log_odds_test, outcomes[1].log_odds_test)
    again = tip_adapter.run_trained(job(settings, seeds=[1]))[1]
    np.testing.assert_array_equal(again.log_odds_test, outcomes[1].log_odds_test)


def test_no_step_leaves_the_cache_of_tip_adapter(job):
    settings = TipAdapterF(views=3, epochs=1, learning_rate=1e-12, weight_decay=0.0, search=False, test_scale=50.0)
    given = job(settings)
    outcome = tip_adapter.run_trained(given)[0]
    wanted = expected(given, "test", 1.0, 5.5, scale=50.0)
    np.testing.assert_allclose(probabilities(outcome.log_odds_test), wanted, atol=5e-5)


def test_flairs_alpha_follows_from_the_number_of_images(job):
    same = [
        tip_adapter.run_trained(job(TipAdapterF(views=0, epochs=3, search=False, train_alpha=alpha)))[0]
        for alpha in ("scale/n", 20.0 / 12)
    ]
    np.testing.assert_array_equal(same[0].log_odds_test, same[1].log_odds_test)
    moved = TipAdapterF(views=2, epochs=3, search=False, train_alpha="scale/n", moving_images=True, batch_size=1)
    assert not np.array_equal(tip_adapter.run_trained(job(moved))[0].log_odds_test, same[0].log_odds_test)
