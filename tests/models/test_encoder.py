from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from medbench import cards
from medbench.cards import ModelCard, Settings
from medbench.errors import CardError, MedbenchError
from medbench.models.encoder import Encoder
from medbench.models.load import load_model


def made(arch: str, size: int = 64, **more: Any) -> Encoder:
    return load_model(ModelCard.model_validate({"name": "mine", "arch": arch, "input": {"size": size}, **more}))


@pytest.fixture(scope="module")
def vit() -> Encoder:
    enc = load_model("toy-vit")
    torch.nn.init.normal_(enc.network.norm.weight, 1, 0.3)  # a norm that does nothing would hide mistakes
    return enc


X = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_an_encoder_is_frozen_and_in_eval_mode(vit: Encoder) -> None:
    for enc in (vit, load_model("toy-cnn")):
        assert not any(module.training for module in enc.modules())
        assert not any(p.requires_grad for p in enc.parameters())
        assert enc.pooled(X).shape == (2, enc.dim)
        assert torch.equal(enc(X), enc.pooled(X))
        assert (enc.image_size, enc.in_chans, enc.card.toy) == (64, 3, True)


def test_pooled_by_the_cards_rule() -> None:
    for pooled in ("cls", "mean", "head"):
        enc = made("test_vit", 96, features={"pooled": pooled})
        x = torch.randn(2, 3, 96, 96)
        rows = enc.network.forward_features(x)
        expected = rows[:, 1:].mean(1) if pooled == "mean" else rows[:, 0]
        torch.testing.assert_close(enc.pooled(x), expected)


def test_tokens_before_and_after_the_last_norm(vit: Encoder) -> None:
    raw = vit.block(X, 3)
    assert raw.shape == (2, 65, 96)
    assert vit.tokens(X).shape == (2, 64, 96)
    torch.testing.assert_close(vit.tokens(X), vit.network.norm(raw)[:, 1:])
    torch.testing.assert_close(vit.pooled(X), vit.network.norm(raw)[:, 1:].mean(1))
    features = vit.card.features.model_copy(update={"token_norm": False})
    before = copy.copy(vit)
    before.card = vit.card.model_copy(update={"features": features})
    torch.testing.assert_close(before.tokens(X), raw[:, 1:])


def test_blocks_are_counted_from_the_input(vit: Encoder) -> None:
    assert len(vit.blocks) == 4
    for i in range(3):
        torch.testing.assert_close(vit.network.blocks[i + 1](vit.block(X, i)), vit.block(X, i + 1))
    assert len(vit.blocks[0]._forward_hooks) == 0, "no hook stays"


def test_later_blocks_are_not_run(vit: Encoder) -> None:
    ran: list[int] = []
    handle = vit.blocks[2].register_forward_hook(lambda *_: ran.append(2))
    vit.block(X, 1)
    handle.remove()
    assert not ran


@pytest.mark.parametrize("i", [-1, 4])
def test_a_block_that_is_not_there(vit: Encoder, i: int) -> None:
    with pytest.raises(MedbenchError, match=f"has 4 units; there is no unit {i}"):
        vit.block(X, i)


def test_tokens_run_along_the_rows_of_the_grid() -> None:
    x = torch.zeros(1, 3, 64, 64)
    x[..., 8:16, 40:48] = 1  # row 1, column 5 of 8
    enc = load_model("toy-vit")
    for block in enc.blocks:  # without attention each patch sees itself alone
        block.attn.proj.weight.zero_()
    change = (enc.tokens(x) - enc.tokens(torch.zeros_like(x))).norm(dim=-1)[0]
    assert change.nonzero().flatten().tolist() == [1 * 8 + 5]


def test_a_convolutional_encoder() -> None:
    enc = load_model("toy-cnn")
    maps = enc.network.forward_features(X)
    torch.testing.assert_close(enc.pooled(X), maps.mean((2, 3)))
    assert len(enc.blocks) == 4
    assert torch.equal(enc.block(X, 3), maps)
    tokens = enc.tokens(X)
    width = maps.shape[-1]
    assert torch.equal(tokens[:, width + 1], maps[:, :, 1, 1])


FAMILIES = [
    ("mobilenetv2_100", 64), ("regnetx_002", 64), ("swin_tiny_patch4_window7_224", 224),
    ("mixer_s32_224", 224), ("convnext_atto", 64), ("samvit_base_patch16_224", 224),
]  # fmt: skip


@pytest.mark.parametrize(("arch", "size"), FAMILIES)
def test_one_view_of_every_family(arch: str, size: int) -> None:
    args = {"depth": 2, "embed_dim": 48, "num_heads": 4, "global_attn_indexes": ()} if "samvit" in arch else {}
    if "swin" in arch:
        args = {"embed_dim": 24, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 2, 2)}
    x = torch.randn(1, 3, size, size)
    enc = made(arch, size, args=args, features={"pooled": "mean"})
    tokens = enc.tokens(x)
    assert tokens.ndim == 3
    assert tokens.shape[2] == enc.dim == enc.pooled(x).shape[1]
    torch.testing.assert_close(tokens.mean(1), enc.pooled(x))
    assert enc.blocks
    assert enc.block(x, 0).ndim in (3, 4)
    if "samvit" in arch:
        assert enc.block(x, 1).shape == (1, 196, 48)
    if "swin" in arch:  # rows of a map whose channels come last
        assert torch.equal(tokens, enc.network.forward_features(x).reshape(1, 49, enc.dim))


def test_channels_last_changes_the_layout_and_nothing_else(vit: Encoder) -> None:
    enc = load_model("toy-cnn")
    expected = enc.pooled(X)
    laid = enc.channels_last()
    assert laid.network.conv1[0].weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(laid.pooled(X), expected, rtol=1e-4, atol=1e-5)
    assert vit.channels_last() is vit


def test_the_state_digest_sees_every_value() -> None:
    enc = load_model("toy-cnn")
    before = enc.state_digest()
    assert enc.state_digest() == before
    enc.train()
    assert enc.state_digest() == before
    enc.network(X)  # moves the running statistics
    assert enc.state_digest() != before
    enc = load_model("toy-cnn")
    with torch.no_grad():
        enc.network.layer4[0].conv1.weight[0, 0, 0, 0] += 1e-6
    assert enc.state_digest() != before


@pytest.mark.parametrize("preset", ["paper", "wacv-code", "fixed"])
def test_the_transform_normalises_by_the_models_statistics(preset: str) -> None:
    enc = load_model("toy-vit", preset=preset)
    grey = enc.transform(Image.fromarray(np.full((90, 70, 3), 51, np.uint8)))
    assert (grey.shape, grey.dtype) == ((3, 64, 64), torch.float32)
    torch.testing.assert_close(grey, torch.full((3, 64, 64), (51 / 255 - 0.5) / 0.5))
    one = load_model("toy-vit", in_chans=1, preset=preset)
    assert one.transform(Image.fromarray(np.zeros((90, 70), np.uint8))).shape == (1, 64, 64)


def test_a_preset_is_the_protocol_cards() -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8))
    paper, retfiner = (load_model("toy-vit", preset=preset).transform(photo) for preset in ("paper", "retfiner"))
    assert not torch.equal(paper, retfiner), "RetFiner crops nothing away"
    load_model("toy-vit", preset="flair", protocol="linear-unfrozen")
    with pytest.raises(CardError, match="unknown preset 'flair'") as caught:
        load_model("toy-vit", preset="flair")
    assert "medbench show linear-frozen" in caught.value.hint


def test_protocols_agree_on_what_precedes_the_network() -> None:
    for preset in ("paper", "wacv-code", "fixed"):
        expected = Settings(channel_rule="sum", draft=True) if preset == "fixed" else Settings()
        for name in cards.names("protocols"):
            protocol = cards.find_protocol(name)
            said = protocol.defaults | protocol.presets.get(preset, {})
            for field, value in expected.model_dump().items():
                assert said.get(field, value) == value, f"{name}, {preset}: {field}"


def test_wrong_arguments_are_told(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="unknown preset 'papr'") as caught:
        load_model("toy-vit", preset="papr")
    assert "paper" in caught.value.hint
    with pytest.raises(CardError, match="unknown channel rule"):
        load_model("toy-vit", channel_rule="mean")
    with pytest.raises(MedbenchError, match="in_chans 4"):
        load_model("toy-vit", in_chans=4)
    with pytest.raises(MedbenchError, match="image size 0"):
        load_model("toy-vit", image_size=0)
    with pytest.raises(CardError, match="unknown model 'toy-vti'"):
        load_model("toy-vti")


def test_a_card_file_may_be_given_as_a_path(repo: Path) -> None:
    assert load_model(repo / "model_zoo" / "toy-vit.yaml").state_digest() == load_model("toy-vit").state_digest()
