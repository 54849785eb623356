"""The choice among candidates and its warnings."""

from __future__ import annotations

import numpy as np
import pytest

from medbench.errors import MedbenchError
from medbench.training.selection import Criterion, choose, criterion, finite, scores_on


def scores(right: list[float], m: int = 60, seeds: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """(s, l, m, 2) scores whose candidate l is right on the share `right[l]` of the images."""
    source = np.random.default_rng(0)
    targets = np.arange(m) % 2
    found = np.empty((seeds, len(right), m, 2), np.float32)
    for s in range(seeds):
        for i, share in enumerate(right):
            said = np.where(source.random(m) < share, targets, 1 - targets)
            found[s, i] = np.eye(2)[said] * 4 - 2
    return found, targets


def pick(best: list[list[float]], right: list[float]):
    found, targets = scores(right, seeds=len(best))
    return choose(np.array(best), found, targets, Criterion("accuracy"), {"learning rate": [1e-5, 1e-4, 1e-3]})


def test_the_mean_over_seeds_decides_and_the_first_wins_a_tie() -> None:
    assert pick([[0.5, 0.9, 0.6], [0.9, 0.6, 0.6]], [0.7, 0.75, 0.6]).winner == 1
    assert pick([[0.5, 0.5, 0.4]], [0.5, 0.5, 0.4]).winner == 0


def test_of_a_metric_that_falls_the_lowest_wins() -> None:
    found, targets = scores([0.5, 0.95, 0.6], seeds=1)
    choice = choose(
        np.array([[1.2, 0.3, np.nan]]), found, targets, Criterion("log_loss"), {"learning rate": [1e-5, 1e-4, 1e-3]}
    )
    assert (choice.winner, choice.runner_up) == (1, 0)
    assert choice.gap > 0


def test_an_undefined_candidate_never_wins() -> None:
    assert pick([[np.nan, 0.4, 0.5]], [0.9, 0.4, 0.5]).winner == 2


def test_a_winner_at_the_edge_is_said() -> None:
    assert "largest of the grid" in " ".join(pick([[0.5, 0.6, 0.95]], [0.5, 0.6, 0.95]).warnings)
    assert "smallest of the grid" in " ".join(pick([[0.95, 0.6, 0.5]], [0.95, 0.6, 0.5]).warnings)
    assert not any("of the grid" in w for w in pick([[0.5, 0.95, 0.6]], [0.5, 0.95, 0.6]).warnings)


def test_each_hyper_parameter_with_several_values_is_named() -> None:
    found, targets = scores([0.5, 0.6, 0.55, 0.7, 0.95, 0.9])
    best = np.array([[0.5, 0.6, 0.55, 0.7, 0.95, 0.945]])
    grid = {"learning rate": [1e-4] * 3 + [1e-3] * 3, "weight decay": [0.0, 0.1, 0.3] * 2, "width": [8] * 6}
    rates = {"learning rate": [1e-4, 1e-4, 1e-3, 1e-3, 1e-2, 1e-2], "weight decay": [0.0, 0.1] * 3}
    inside = choose(best, found, targets, Criterion("accuracy"), grid)
    assert [text.split(" by ")[0] for text in inside.warnings] == [
        "learning rate 0.001, weight decay 0.1 leads 0.001, 0.3"
    ]
    decay = choose(best[:, [0, 1, 2, 3, 5, 4]], found, targets, Criterion("accuracy"), grid)
    assert decay.warnings[0].startswith("the best weight decay, 0.3, is the largest of the grid")
    rate = choose(best, found, targets, Criterion("accuracy"), rates)
    assert rate.warnings[0].startswith("the best learning rate, 0.01, is the largest of the grid")
    assert not any("weight decay" in text for text in rate.warnings if "of the grid" in text)


def test_a_close_race_is_said_and_a_clear_one_is_not() -> None:
    close = pick([[0.5, 0.71, 0.70]], [0.5, 0.71, 0.70])
    assert close.gap <= close.error
    assert any("standard error" in w for w in close.warnings)
    clear = pick([[0.5, 0.95, 0.5]], [0.5, 0.95, 0.5])
    assert clear.gap > 3 * clear.error > 0
    assert clear.warnings == ()


def test_one_candidate_is_chosen_without_a_gap() -> None:
    found, targets = scores([0.7])
    choice = choose(np.array([[0.7], [0.6]]), found, targets, Criterion("accuracy"), {"learning rate": [1e-4]})
    assert (choice.winner, choice.runner_up, choice.error, choice.warnings) == (0, None, None, ())


def test_json_gets_none_for_what_is_not_finite() -> None:
    assert finite(np.float64(0.5)) == 0.5
    assert [finite(value) for value in (None, float("nan"), float("inf"))] == [None] * 3


@pytest.mark.parametrize(
    ("metric", "targets", "told"),
    [
        ("auroc", [1, 1, 1], True),
        ("ap", [1, 1, 1], True),
        ("kappa_quadratic", [2, 2], True),
        ("auroc_macro", [[0, 1], [0, 1]], True),
        ("f1_micro", [[0, 0], [0, 0]], True),
        ("auroc", [0, 1, 1], False),
        ("recall_macro", [1, 1], False),
        ("kappa_quadratic", [0, 2], False),
        ("auroc_macro", [[0, 1], [1, 1]], False),
        ("log_loss", [1, 1], False),
    ],
)
def test_log_loss_chooses_where_the_metric_cannot(metric: str, targets: list, told: bool) -> None:
    classes = 2 if metric in ("auroc", "ap", "log_loss") or isinstance(targets[0], list) else 3
    by = criterion(metric, np.array(targets), classes)
    assert (by.metric, by.sign) == (("log_loss", -1) if told or metric == "log_loss" else (metric, 1))
    assert bool(by.warnings) == told
    assert all(
        f"{metric} cannot be used to choose, because the {len(targets)} validation" in text for text in by.warnings
    )


def test_the_least_log_loss_wins_and_no_wider_grid_is_advised() -> None:
    targets = np.ones(20, int)
    by = criterion("auroc", targets, 2)
    log_odds = np.stack([np.tile([-z, z], (20, 1)) for z in (-1.0, 0.5, 3.0)])[None].astype(float)
    choice = choose(np.array([[1.3, 0.5, 0.05]]), log_odds, targets, by, {"learning rate": [1e-5, 1e-4, 1e-3]})
    assert (choice.winner, choice.runner_up) == (2, 1)
    assert choice.gap == pytest.approx(0.45)
    assert choice.warnings == by.warnings


def test_where_nothing_is_defined_nothing_is_chosen() -> None:
    found, targets = scores([0.5, 0.6])
    for value in (np.nan, -np.inf):
        with pytest.raises(MedbenchError, match="no learning rate can be chosen: accuracy on validation is undefined"):
            choose(np.full((1, 2), value), found, targets, Criterion("accuracy"), {"learning rate": [1e-5, 1e-4]})


def test_scores_of_candidates_and_of_no_images() -> None:
    found, targets = scores([0.5, 0.9], seeds=1)
    shares = [(one.argmax(axis=1) == targets).mean() for one in found[0]]
    assert scores_on(targets, found[0], Criterion("accuracy")) == pytest.approx(shares)
    assert np.isnan(scores_on(targets[:0], found[0][:, :0], Criterion("accuracy"))).tolist() == [True, True]
