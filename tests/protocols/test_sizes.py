"""Other image sizes: who takes them, who can be built so that it does."""

from __future__ import annotations

import pytest
import torch

from medbench import cards
from medbench.models.load import load_model
from medbench.protocols.dino_pretrain import refusal, whole_patches


def test_a_convolutional_encoder_takes_any_size_and_keeps_its_modes() -> None:
    encoder = load_model("toy-cnn", weights="random")
    encoder.network.layer1.train()
    before = {name: module.training for name, module in encoder.named_modules()}
    assert refusal(encoder, 32) == ""
    assert {name: module.training for name, module in encoder.named_modules()} == before
    assert whole_patches(encoder, 33) is None


def test_a_transformer_takes_its_own_size_unless_it_is_built_for_any() -> None:
    encoder = load_model("toy-vit", weights="random")
    assert refusal(encoder, 64) == ""
    assert "32" in refusal(encoder, 32)
    card = cards.find_model("toy-vit")
    loose = load_model(card.model_copy(update={"args": {**card.args, "dynamic_img_size": True}}), weights="random")
    assert refusal(loose, 32) == ""
    assert refusal(loose, 30) != ""
    assert whole_patches(loose, 30) == 32
    assert whole_patches(loose, 32) is None
    loose.network.load_state_dict(encoder.network.state_dict())
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(loose.pooled(x), encoder.pooled(x), rtol=0, atol=0)


def test_a_bug_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_model("toy-cnn", weights="random")
    monkeypatch.setattr(encoder, "pooled", lambda x: exec("raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        refusal(encoder, 32)
