"""Fine-tuning of the complete network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medbench.cards.recipes import LinearUnfrozen
from medbench.protocols import linear_unfrozen

from .made import Images, job


def test_encoder_and_head_are_trained_and_the_seed_draws_the_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_unfrozen, "tune", lambda given, build: {seed: build(seed) for seed in given.seeds})
    built = linear_unfrozen.run(job(LinearUnfrozen(), tmp_path, Images("toy-cnn"), seeds=[0, 1]))
    first, second = (built[seed].network for seed in (0, 1))  # type: ignore[attr-defined]
    assert all(parameter.requires_grad for parameter in first.parameters())
    assert first.head.weight.shape == (3, first.encoder.dim)
    assert not torch.equal(first.head.weight, second.head.weight)
    for name, value in first.encoder.state_dict().items():
        assert torch.equal(value, second.encoder.state_dict()[name]), "the encoder starts from the same weights"
