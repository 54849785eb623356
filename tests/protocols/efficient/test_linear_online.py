"""A head on a frozen encoder whose batch norms and dropout are in training mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medbench.cards.recipes import LinearOnline
from medbench.protocols.efficient import linear_online

from ..made import Images, job


def built(monkeypatch: pytest.MonkeyPatch, folder: Path, **settings: Any) -> Any:
    monkeypatch.setattr(linear_online, "tune", lambda given, build: build(0))
    return linear_online.run(job(LinearOnline(**settings), folder, Images("toy-cnn"))).network.train()  # type: ignore[attr-defined]


@pytest.mark.parametrize("drop", [0.0, 0.5])
def test_features_are_extracted_once_where_the_mode_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drop: float
) -> None:
    monkeypatch.setattr(linear_online, "tune", lambda given, build: build(0))
    inputs = Images("toy-vit")
    clean = {split: np.full((n, 64), n, np.float32) for split, n in (("train", 60), ("val", 45), ("test", 9))}
    monkeypatch.setattr(inputs, "clean", clean.get, raising=False)
    monkeypatch.setattr(inputs, "views", lambda number, augment: [clean["train"]], raising=False)
    plain = inputs.encoder

    def dropping(**given: Any) -> Any:
        encoder = plain(**given)
        encoder.network.pos_drop.p = drop
        return encoder

    monkeypatch.setattr(inputs, "encoder", dropping)
    made = linear_online.run(job(LinearOnline(views=0), tmp_path, inputs))
    cached = drop == 0
    assert {name for name, v in made.network.named_parameters() if v.requires_grad} == {"head.weight", "head.bias"}  # type: ignore[attr-defined]
    assert hasattr(made.network, "encoder") == (not cached)  # type: ignore[attr-defined]
    if cached:
        assert made.source.train.__getitems__([(0, 5)]).tolist() == [[60.0] * 64]  # type: ignore[attr-defined]
        assert (len(made.source.val), len(made.source.test)) == (45, 9)  # type: ignore[attr-defined]


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_only_the_head_has_gradients_and_batch_norm_follows_the_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    network = built(monkeypatch, tmp_path, mode=mode)
    assert {name for name, value in network.named_parameters() if value.requires_grad} == {"head.weight", "head.bias"}
    before = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    in_training = network.encoder.pooled(images)
    after = network.encoder.state_dict()
    changed = {name.rpartition(".")[2] for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == ({"running_mean", "running_var", "num_batches_tracked"} if mode == "train" else set())
    network.eval()
    network.encoder.load_state_dict(before)
    assert torch.allclose(network.encoder.pooled(images), in_training, atol=1e-6) == (mode == "eval")
