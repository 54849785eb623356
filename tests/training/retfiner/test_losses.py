"""The parts of the losses against torch's own and against plain loops."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from medbench.training.retfiner.losses import FLOOR, contrastive, guessing, hard_negatives, rivals


def test_the_contrast_is_torchs_cross_entropy_with_label_smoothing() -> None:
    similarity = torch.randn(6, 6, generator=torch.Generator().manual_seed(0)) * 5
    rows = torch.arange(6)
    others = rivals(rows, rows, ignore_equal=False)
    whole = cross_entropy(similarity, rows, label_smoothing=0.1, reduction="sum")
    torch.testing.assert_close(contrastive(similarity, rows, others, 0.1), whole)
    parts = [
        contrastive(similarity[own], rows[own], others[own], 0.1) for own in (slice(0, None, 2), slice(1, None, 2))
    ]
    torch.testing.assert_close(sum(parts), whole)


def test_equal_reports_take_no_part_if_they_are_ignored() -> None:
    similarity = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
    texts, rows = torch.tensor([7, 3, 7, 5]), torch.arange(4)
    others = rivals(texts, rows, ignore_equal=True)
    assert others.tolist() == [
        [False, True, False, True], [True, False, True, True], [False, True, False, True], [True, True, True, False],
    ]  # fmt: skip
    left = [[0, 1, 3], [0, 1, 2, 3], [1, 2, 3], [0, 1, 2, 3]]
    expected = sum(
        cross_entropy(similarity[i, kept], torch.tensor(kept.index(i)), label_smoothing=0.1)
        for i, kept in enumerate(left)
    )
    found = contrastive(similarity.requires_grad_(), rows, others, 0.1)
    torch.testing.assert_close(found, expected)
    found.backward()
    assert similarity.grad is not None
    assert similarity.grad.isfinite().all()
    assert similarity.grad[0, 2] == 0


def test_a_pair_without_negatives_has_no_contrast() -> None:
    texts, rows = torch.tensor([1, 1]), torch.arange(2)
    similarity = torch.randn(2, 2)
    assert contrastive(similarity, rows, rivals(texts, rows, ignore_equal=True), 0.1) == 0


def test_negatives_are_drawn_by_similarity() -> None:
    similarity = torch.tensor([[3.0, 1.0, 0.0, -9.0]])
    others = torch.tensor([[False, True, True, True]])
    draws = (torch.arange(20_000) + 0.5) / 20_000
    found = hard_negatives(similarity.expand(20_000, -1), others.expand(20_000, -1), draws)
    weights = (similarity.double().softmax(1) + FLOOR) * others
    shares = torch.bincount(found, minlength=4) / 20_000
    torch.testing.assert_close(shares.double(), (weights / weights.sum())[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("draw", [0.0, 1 - 2**-24])
def test_the_ends_of_a_draw_are_negatives(draw: float) -> None:
    others = torch.tensor([[False, True, True, False]])
    assert hard_negatives(torch.zeros(1, 4), others, torch.tensor([draw])).item() in (1, 2)


def test_guessing_sums_over_masked_positions() -> None:
    logits, labels = torch.randn(3, 9), torch.tensor([4, 0, 8])
    expected = -logits.log_softmax(1)[torch.arange(3), labels].sum()
    torch.testing.assert_close(guessing(logits, labels), expected)
    assert guessing(logits[:0], labels[:0]) == 0
