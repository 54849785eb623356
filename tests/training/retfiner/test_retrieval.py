"""Retrieval against plain loops, and its chance against random draws."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from medbench.training.retfiner import retrieval
from medbench.training.retfiner.retrieval import chance, recall_at_one


def test_recall_is_that_of_plain_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    source = torch.Generator().manual_seed(0)
    images, texts = (normalize(torch.randn(13, 3, generator=source), dim=1) for _ in range(2))
    numbers = torch.arange(13) % 5
    hits = 0
    for one, other in ((images, texts), (texts, images)):
        for i in range(13):
            nearest = max(range(13), key=lambda j: float(one[i] @ other[j]))
            hits += bool(numbers[nearest] == numbers[i])
    assert recall_at_one(images, texts, numbers) == pytest.approx(hits / 26)
    monkeypatch.setattr(retrieval, "ROWS", 4)
    assert recall_at_one(images, texts, numbers) == pytest.approx(hits / 26)
    assert recall_at_one(images, images, torch.arange(13)) == 1


def test_chance_is_that_of_random_draws() -> None:
    numbers = torch.tensor([0, 0, 0, 1, 1, 2])
    assert chance(numbers) == pytest.approx((9 + 4 + 1) / 36)
    drawn = torch.randint(6, (2, 60_000), generator=torch.Generator().manual_seed(0))
    share = (numbers[drawn[0]] == numbers[drawn[1]]).double().mean()
    assert chance(numbers) == pytest.approx(float(share), abs=0.01)
