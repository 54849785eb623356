"""The regression that fine-tuning starts from, against scikit-learn's own fit and score."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score

from medbench.cards.recipes import LpFt
from medbench.protocols import lp_ft
from medbench.protocols.context import Context, Outcome
from medbench.protocols.tuning import Built

STRENGTHS = [1e-4, 1e-2, 1.0, 100.0]


def context(folder: Path, strengths: list[float], seed: int = 5) -> Context[LpFt]:
    source = np.random.default_rng(seed)
    centres = source.normal(size=(3, 6))
    targets = {split: source.integers(3, size=n) for split, n in (("train", 90), ("val", 60))}
    features = {s: (centres[y] + 1.5 * source.normal(size=(len(y), 6))).astype(np.float32) for s, y in targets.items()}
    return Context(
        settings=LpFt(C=strengths),
        seeds=[0],
        classes=3,
        multilabel=False,
        metric="recall_macro",
        train_targets=targets["train"],
        val_targets=targets["val"],
        val_groups=None,
        inputs=SimpleNamespace(clean=features.__getitem__),  # type: ignore[arg-type]
        device=torch.device("cpu"),
        partial=folder,
    )


@pytest.fixture
def heads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return where the head lands that fine-tuning would start from; nothing is fine-tuned."""
    found: list[tuple[torch.Tensor, torch.Tensor]] = []

    def tune(given: Context[LpFt], build: object) -> dict[int, Outcome]:
        build(0)  # type: ignore[operator]
        return {0: Outcome(chosen={"learning_rate": 1e-4}, warnings=("of the tuning",))}

    def whole(given: Context[LpFt], seed: int, head: tuple[torch.Tensor, torch.Tensor]) -> Built | None:
        found.append(head)
        return None

    monkeypatch.setattr(lp_ft, "tune", tune)
    monkeypatch.setattr(lp_ft, "whole", whole)
    return found


def fitted(given: Context[LpFt], strength: float) -> tuple[float, LogisticRegression]:
    """The macro recall on validation of scikit-learn's fit, and the fit."""
    model = LogisticRegression(C=strength, class_weight="balanced", solver="newton-cg", tol=1e-12)
    model.fit(given.inputs.clean("train").astype(np.float64), given.train_targets)
    said = model.predict(given.inputs.clean("val").astype(np.float64))
    return float(recall_score(given.val_targets, said, average="macro")), model


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_the_best_strength_on_validation_gives_the_head(tmp_path: Path, heads: list, seed: int) -> None:
    given = context(tmp_path, STRENGTHS, seed)
    outcome = lp_ft.run(given)[0]
    values = [fitted(given, strength)[0] for strength in STRENGTHS]
    best = STRENGTHS[int(np.argmax(values))]
    assert outcome.chosen == {"learning_rate": 1e-4, "C": best}
    ((weight, bias),) = heads
    model = fitted(given, best)[1]
    np.testing.assert_allclose(weight - weight.mean(0), model.coef_ - model.coef_.mean(0), atol=1e-3)
    np.testing.assert_allclose(bias - bias.mean(), model.intercept_ - model.intercept_.mean(), atol=1e-3)


def test_the_first_of_equals_is_taken_and_a_close_race_is_said(tmp_path: Path, heads: list) -> None:
    given = context(tmp_path, [0.316, 0.3161])
    outcome = lp_ft.run(given)[0]
    assert outcome.chosen["C"] == 0.316
    assert "C 0.316 ties with 1 other on" in outcome.warnings[0]
    assert outcome.warnings[-1] == "of the tuning"


def test_one_strength_needs_no_choice(tmp_path: Path, heads: list) -> None:
    assert lp_ft.run(context(tmp_path, [0.316]))[0].warnings == ("of the tuning",)
