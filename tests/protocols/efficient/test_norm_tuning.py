"""Norm tuning: normalisation layers and head are trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from medbench.cards.recipes import NormTuning
from medbench.protocols.efficient import norm_tuning

from ..made import Images, job


@pytest.mark.parametrize(("model", "kind"), [("toy-vit", nn.LayerNorm), ("toy-cnn", nn.BatchNorm2d)])
def test_norms_and_the_head_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, kind: type[nn.Module]
) -> None:
    monkeypatch.setattr(norm_tuning, "tune", lambda given, build: build(0))
    network = norm_tuning.run(job(NormTuning(), tmp_path, Images(model))).network.train()  # type: ignore[attr-defined]
    norms = [module for module in network.encoder.modules() if isinstance(module, kind)]
    expected = sum(value.numel() for norm in norms for value in norm.parameters()) + 3 * (network.encoder.dim + 1)
    assert sum(value.numel() for value in network.parameters() if value.requires_grad) == expected
    assert not any(norm.training for norm in norms), "batch norm's statistics are frozen"
