"""Notes of degenerate results, and silence about sound ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from medbench.protocols.context import Outcome
from medbench.runs.results import result_notes
from medbench.runs.results.result_notes import notes_of

NAMES = ["normal", "benign", "malignant"]


def notes(test: Any, log_odds: Any, validation: int = 100, candidates: int = 2, **more: Any) -> list[str]:
    truth, values = np.asarray(test), np.asarray(log_odds, float)
    data: Any = SimpleNamespace(
        targets={"val": np.zeros(validation, int)}.__getitem__,
        multilabel=truth.ndim == 2,
        card=SimpleNamespace(class_names=NAMES[: values.shape[1]]),
    )
    return notes_of(data, Outcome(log_odds_test=values, selection={"candidates": [{}] * candidates, **more}), truth)


def said(guess: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes)[guess] * 4 - 2


def test_a_sound_result_has_no_note() -> None:
    truth = np.arange(90) % 3
    assert notes(truth, said(truth, 3)) == []
    assert notes(np.eye(3, dtype=int)[truth], said(truth, 3)) == []
    assert notes_of(SimpleNamespace(), Outcome(metrics={"cka": 1.0}), truth) == []  # type: ignore[arg-type]


def test_one_class_only_is_named() -> None:
    truth = np.arange(90) % 3
    assert notes(truth, said(np.full(90, 2), 3)) == ["predicts one class only: malignant, for all 90 test images"]
    (text,) = notes(np.eye(3, dtype=int)[truth], np.full((90, 3), -1.0))
    assert text.startswith("predicts no finding: no score")
    assert notes(np.ones(90, int), said(np.ones(90, int), 3)) == [], "there is one class in test"


@pytest.mark.parametrize("classes", [2, 3])
def test_below_chance_is_said_and_chance_is_not(classes: int) -> None:
    source = np.random.default_rng(0)
    truth = np.arange(120) % classes
    wrong = np.where(source.random(120) < 0.9, (truth + 1) % classes, truth)
    noisy = said(wrong, classes) + source.normal(size=(120, classes)) * 0.1
    if classes == 2:
        noisy[:, 0] = -noisy[:, 1]
    (text,) = notes(truth, noisy)
    assert text.startswith("below chance: ")
    cries = 0
    for _ in range(400):
        guess = said(source.permutation(truth), classes)
        cries += bool(notes(truth, guess + source.normal(size=(120, 1)) * [[-1, 1, 0][:classes]]))
    assert cries <= 13, "one in 100 is expected, 13 in 400 is its 99.9 % limit"


def test_the_spread_of_random_orders_is_that_of_all_orders() -> None:
    source = np.random.default_rng(1)
    truth, guess = source.integers(0, 3, 60), source.choice(3, 60, p=[0.6, 0.3, 0.1])
    right = [int((source.permutation(guess) == truth).sum()) for _ in range(4000)]
    worst = np.sort(guess)[np.argsort(np.argsort(-truth, kind="stable"), kind="stable")]
    (text,) = result_notes._below_chance(said(worst, 3), truth)
    mean, spread = (float(part) for part in text.split("give ")[1].split(" ± "))
    assert mean == pytest.approx(np.mean(right), abs=0.2)
    assert spread == pytest.approx(np.std(right), abs=0.15)


def test_few_images_are_said() -> None:
    truth = np.array([0] * 40 + [1] * 5 + [2] * 2)
    (few,) = notes(truth, said(truth, 3))
    assert few == "few test images of a class (malignant: 2, benign: 5): one image moves its recall by up to 50%"
    truth = np.arange(90) % 3
    assert notes(truth, said(truth, 3), validation=7) == [
        "validation has only 7 images: choices on it depend on a few of them"
    ]
    assert notes(truth, said(truth, 3), validation=7, candidates=1) == [], "nothing was chosen"
    assert notes(truth, said(truth, 3), validation=7, candidates=0, settings=4000), "a grid of weights (Tip-Adapter)"
