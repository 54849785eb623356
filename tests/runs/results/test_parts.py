"""What an outcome says of each data set that it was read on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from medbench import metrics
from medbench.protocols.context import Further, Outcome
from medbench.runs.results.parts import Part

SCORES = metrics.log_odds(np.random.default_rng(0).normal(size=(7, 3)), multilabel=False)
OUTCOME = Outcome(
    log_odds_val=SCORES[:2],
    log_odds_test=SCORES,
    chosen={"k": 5},
    history={"epoch": [0]},
    further={"other": Further("auroc_macro", SCORES)},
    spread={"names": SCORES[::-1]},
    arrays={"cosines": SCORES, "prototypes": SCORES[:3]},
)


def part(rows: slice | None, columns: tuple[int, ...] | None = None, *, multilabel: bool = False) -> Part:
    shift: Any = None if columns is None else SimpleNamespace(columns=columns, corruption=None)
    dataset: Any = SimpleNamespace(multilabel=multilabel)
    return Part(dataset, [], {}, [], rows, shift)


def test_alone_it_is_the_outcome() -> None:
    assert part(None).of(OUTCOME) is OUTCOME


def test_its_own_images_come_first_and_all_that_was_fitted_stays() -> None:
    own = part(slice(0, 4)).of(OUTCOME)
    for found in (own.log_odds_test, own.arrays["cosines"], own.further["other"].scores):
        np.testing.assert_array_equal(found, SCORES[:4])
    np.testing.assert_array_equal(own.spread["names"], SCORES[::-1][:4])
    np.testing.assert_array_equal(own.arrays["prototypes"], SCORES[:3])
    assert (own.chosen, own.history) == (OUTCOME.chosen, OUTCOME.history)
    np.testing.assert_array_equal(own.log_odds_val, SCORES[:2])


def test_the_other_images_have_no_validation_and_no_history() -> None:
    away = part(slice(4, 7), (0, 1, 2)).of(OUTCOME)
    np.testing.assert_array_equal(away.log_odds_test, SCORES[4:])
    assert away.log_odds_val.shape == (0, 3)
    assert (away.chosen, away.history, set(away.arrays)) == ({"k": 5}, {}, {"cosines"})


def test_the_classes_that_it_has_are_a_softmax_of_their_own() -> None:
    away = part(slice(4, 7), (0, 2)).of(OUTCOME)
    shares = metrics.probabilities(SCORES[4:])[:, [0, 2]]
    np.testing.assert_allclose(metrics.probabilities(away.log_odds_test), shares / shares.sum(1, keepdims=True))
    assert not away.further, "its scores are of all classes"


def test_findings_are_scored_one_by_one() -> None:
    away = part(slice(4, 7), (2,), multilabel=True).of(OUTCOME)
    np.testing.assert_array_equal(away.log_odds_test, SCORES[4:, [2]])
