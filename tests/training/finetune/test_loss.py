"""Losses against torch's own, and over micro-batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medbench.cards.recipes import LinearUnfrozen
from medbench.training.finetune.loss import make_loss, marginal_penalty

LOGITS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
CLASSES, TRAIN = torch.tensor([0, 2, 1, 1, 0, 0]), torch.tensor([0] * 6 + [1] * 3 + [2])
LABELS = torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 1], [1, 0, 0]])
MODULES = {
    ("cross-entropy", False): lambda e: nn.CrossEntropyLoss(label_smoothing=e),
    ("weighted", False): lambda e: nn.CrossEntropyLoss(torch.tensor([10 / 18, 10 / 9, 10 / 3]), label_smoothing=e),
    ("cross-entropy", True): lambda e: nn.BCEWithLogitsLoss(),
    ("weighted", True): lambda e: nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2 / 4, 4 / 2, 4 / 2])),
}


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(("kind", "multilabel"), MODULES)
def test_it_is_torchs_loss_and_adds_up_over_micro_batches(kind: str, multilabel: bool, smoothing: float) -> None:
    settings = LinearUnfrozen(loss=kind, label_smoothing=smoothing)
    train, y = (LABELS, LABELS) if multilabel else (TRAIN, CLASSES)
    loss, norm = make_loss(settings, train, 3)
    smooth = y * (1 - smoothing) + smoothing / 2 if multilabel else y
    expected = MODULES[kind, multilabel](smoothing)(LOGITS, smooth)
    torch.testing.assert_close(loss(LOGITS, y).sum() / norm(y), expected)
    parts: list[Tensor] = [loss(LOGITS[at], y[at]).sum() / norm(y) for at in (slice(0, 4), slice(4, 6))]
    torch.testing.assert_close(parts[0] + parts[1], expected)


def test_a_class_without_training_images_has_no_weight() -> None:
    loss, norm = make_loss(LinearUnfrozen(loss="weighted"), torch.tensor([0, 0, 1]), 3)
    y = torch.tensor([2, 2])
    assert loss(LOGITS[:2], y).tolist() == [0, 0]
    assert norm(torch.tensor([0, 1])) == pytest.approx(3 / (3 * 2) + 3 / 3)


def test_the_marginal_penalty_is_the_distance_of_class_shares() -> None:
    logits, y = torch.tensor([[0.0, 0.0], [0.0, 0.0], [np.log(3.0), 0.0], [0.0, 0.0]]), torch.tensor([0, 0, 0, 1])
    # predicted shares (.5 * 3 + .75) / 4 = .5625 against 3/4
    assert marginal_penalty(logits, y).item() == pytest.approx(2 * (0.75 - 0.5625))
    labels = torch.tensor([[1.0, 0.0]] * 4)
    expected = abs(0.5 * 3 + 0.75 - 4) / 4 + 0.5 * 3 / 4 + 0.5 / 4
    assert marginal_penalty(logits, labels).item() == pytest.approx(expected)
