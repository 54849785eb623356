"""What an encoder gives, against its network itself: the toy models, and a tiny version of every family."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from medbench.cards import ModelCard, find_model
from medbench.cards.model import Features
from medbench.errors import CardError, MedbenchError
from medbench.models.encoder import Encoder
from medbench.models.load import load_model
from medbench.models.weights.locate import RANDOM

from .families import (
    RULES,
    Family,
    attentive,
    close,
    drawn,
    expected,
    family_of,
    kinds,
    normed,
    passed,
    picked,
    prefix_of,
    rows,
    shrunk,
    staged,
    units,
)


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
    for block in enc.blocks:  # without attention each patch only sees itself
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


def test_the_table_has_every_family() -> None:
    must = "deit dinov2 reg4 dinov3 eva02 giant aimv2 siglip pe_core clip sam2 samvit seem resnet"
    arches = {shrunk(name).arch for name in kinds()}
    for word in must.split():
        assert any(word in arch for arch in arches), word


@pytest.mark.parametrize("other", [False, True], ids=["size", "other size"])
def test_pooled_and_tokens_are_the_cards(family: Family, other: bool) -> None:
    size = family.sizes[other]
    enc, x = (family.load(size) if other else family.enc), family.images(size)
    card, network = family.card, enc.network
    raws = passed(network, units(network), x)
    pooled = enc.pooled(x)
    assert pooled.shape == (2, enc.dim)
    assert (pooled[0] - pooled[1]).norm() > 1e-4 * pooled.norm(), "the feature depends on the image"
    with torch.no_grad():
        close(pooled, network(x) if attentive(family) else expected(card, network, raws))
        after, before = normed(card, network, raws[-1], len(raws) - 1), rows(card, raws[-1])
    mapped = staged(card) or "seem" in card.arch  # a map has but one form
    prefix = prefix_of(network)
    close(enc.tokens(x), (after if card.features.token_norm or mapped else before)[:, prefix:])
    close(enc.tokens(x, norm=True), after[:, prefix:])
    close(enc.tokens(x, norm=False), (after if mapped else before)[:, prefix:])


def test_general_rules(family: Family) -> None:
    """A rule that the card does not name takes tokens after the last norm, and of them what it says."""
    network, x, prefix = family.network, family.images(), prefix_of(family.network)
    raws = passed(network, units(network), x)
    with torch.no_grad():
        tokens = [normed(family.card, network, raw, i) for i, raw in enumerate(raws) if not staged(family.card)]
        tokens = tokens or [rows(family.card, raws[-1])]
    for rule in RULES:
        card = family.card.resolved(pooled=rule)
        if rule != "mean" and not prefix:
            with pytest.raises(CardError, match=rf"has no class token: {re.escape(rule)} cannot"):
                Encoder(card, RANDOM, network, family.sizes[0], 3)
            continue
        enc = Encoder(card, RANDOM, network, family.sizes[0], 3)
        last = torch.cat([found[:, 0] for found in tokens[-4:]], dim=1) if rule == "last4" else None
        close(enc.pooled(x), picked(rule, tokens[-1], prefix) if last is None else last)
        assert enc.pooled(x).shape == (2, enc.dim)


def test_the_last_four_of_fewer(tmp_path: Path) -> None:
    family = family_of(tmp_path, "dinov2")
    enc, x = family.load(units=2, pooled="last4"), family.images()
    raws = passed(enc.network, units(enc.network), x)
    with torch.no_grad():
        wanted = torch.cat([normed(family.card, enc.network, raw, 0)[:, 0] for raw in raws], dim=1)
    close(enc.pooled(x), wanted)
    assert enc.dim == wanted.shape[1] == 64


@pytest.mark.parametrize("name", [name for name in kinds() if find_model(name).alternatives])
def test_alternatives_of_the_cards(name: str, tmp_path: Path) -> None:
    family = family_of(tmp_path, name)
    x = family.images()
    for pooled in family.card.alternatives:
        card = family.card.resolved(pooled=pooled)
        enc = load_model(family.card, "random", image_size=family.sizes[0], pooled=pooled)
        drawn(enc.network)
        network: Any = enc.network
        with torch.no_grad():
            if pooled == "neck":
                wanted = network.neck(passed(network, units(network), x)[-1].permute(0, 3, 1, 2))
                close(enc.tokens(x), wanted.flatten(2).transpose(1, 2))
                wanted = wanted.mean(dim=(2, 3))
            elif card.features.l2:
                wanted = normalize(network.forward_features(x).mean(dim=(2, 3)), dim=1) @ network.fc.weight.T
                wanted = normalize(wanted + network.fc.bias, dim=1)
            else:
                wanted = expected(card, network, passed(network, units(network), x))
        close(enc.pooled(x), wanted)
        assert enc.dim == wanted.shape[1] == enc.pooled(x).shape[1]


def gradients(enc: Encoder, x: Tensor) -> tuple[Tensor, dict[str, Tensor | None]]:
    enc.zero_grad()
    found = enc.pooled(x)
    found.square().sum().backward()
    return found.detach(), {name: value.grad for name, value in enc.named_parameters()}


def test_gradient_checkpointing_changes_memory_alone(family: Family) -> None:
    enc, x = family.load(), family.images()
    plain = enc.pooled(x)
    enc.requires_grad_(True)
    first = [next(part for part in layer.modules() if part._parameters and not part._modules) for layer in enc.layers]
    runs: list[int] = []
    for i, module in enumerate(first):
        module.register_forward_hook(lambda *_, i=i: runs.append(i))
    features, wanted = gradients(enc, x)
    assert any(grad is not None and grad.abs().max() > 0 for grad in wanted.values())
    once = len(runs)
    assert once == len(enc.layers)
    for enable, times in ((True, 2), (True, 2), (False, 1)):  # twice on is on
        runs.clear()
        assert enc.set_grad_checkpointing(enable) is enc
        found, grads = gradients(enc, x)
        assert len(runs) == times * once, "each layer is run again for its gradient, and only then"
        assert torch.equal(found, features)
        for name, grad in wanted.items():
            assert (grad is None) == (grads[name] is None), name
            assert grad is None or torch.equal(grad, grads[name]), name
    assert not any("forward" in layer.__dict__ for layer in enc.layers)
    assert not any(module.training for module in enc.modules())
    enc.requires_grad_(False).set_grad_checkpointing()
    assert torch.equal(enc.pooled(x), plain)
    assert torch.equal(enc.layer(x, 1), family.enc.layer(x, 1))


def test_checkpointing_repeats_what_was_drawn(tmp_path: Path) -> None:
    """With stochastic depth (SEEM's is 0.3) the second pass through a layer draws what the first one drew."""
    family = family_of(tmp_path, "seem")
    enc, x = family.load(), family.images()
    enc.train().requires_grad_(True)
    found = []
    for enable in (False, True):
        enc.set_grad_checkpointing(enable)
        torch.manual_seed(1)
        found.append(gradients(enc, x))
    assert torch.equal(found[0][0], found[1][0])
    assert (found[0][0] - family.enc.pooled(x)).abs().max() > 1e-3, "something was dropped"
    for name, grad in found[0][1].items():
        assert grad is None or torch.equal(grad, found[1][1][name]), name


def test_a_projection_follows_the_pooled_vector() -> None:
    plain = find_model("toy-vit")
    for unit in (False, True):
        features = {"pooled": "cls", "projection": (96, 5), "dim": 5, "l2": unit}
        card = plain.model_copy(update={"features": Features(**features)})
        encoder = load_model(card, weights="random")
        assert encoder.dim == 5
        x = torch.randn(2, 3, 64, 64)
        with torch.inference_mode():
            token = encoder.sequence(x, norm=True)[:, 0]
            expected = encoder.network.projection(normalize(token, dim=1) if unit else token)
            found = encoder.pooled(x)
        torch.testing.assert_close(found, normalize(expected, dim=1) if unit else expected)


def test_the_sequence_is_prefix_and_patches(vit: Encoder) -> None:
    x = torch.randn(2, 3, vit.image_size, vit.image_size)
    with torch.inference_mode():
        for norm in (True, False):
            torch.testing.assert_close(vit.sequence(x, norm)[:, vit.prefix :], vit.tokens(x, norm))
