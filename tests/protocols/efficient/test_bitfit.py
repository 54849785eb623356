"""BitFit: biases and head are trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench.cards.recipes import BitFit
from medbench.protocols.efficient import bitfit

from ..made import Images, job


@pytest.mark.parametrize("model", ["toy-vit", "toy-cnn"])
def test_biases_and_the_head_are_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.setattr(bitfit, "tune", lambda given, build: build(0))
    network = bitfit.run(job(BitFit(), tmp_path, Images(model))).network.train()  # type: ignore[attr-defined]
    trained = {name for name, value in network.named_parameters() if value.requires_grad}
    assert {"head.weight", "head.bias"} < trained
    assert all(name.endswith("bias") for name in trained - {"head.weight"})
    assert network.head.training
    assert not network.encoder.training, "batch norm's statistics are frozen"
