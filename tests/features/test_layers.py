"""Layers of two networks in one forward each, against hooks by hand and the encoder's own view of its blocks."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from medbench.cards import ModelCard
from medbench.errors import CardError, MedbenchError
from medbench.features.layers import Form, Layer, Watched, What, layers_of, layerwise, outputs_of
from medbench.features.minibatch_cka import Cka, gram
from medbench.metrics.cka import cka_matrix
from medbench.models.encoder import Encoder
from medbench.models.load import load_model
from medbench.progress import quiet

X = torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks are quicker on one thread: on a busy machine threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def made(arch: str, args: dict[str, Any] | None = None, size: int = 64, **more: Any) -> Encoder:
    fields = {"name": "mine", "arch": arch, "args": args or {}, "input": {"size": size}, **more}
    return load_model(ModelCard.model_validate(fields))


def tuned(encoder: Encoder, seed: int = 0) -> Encoder:
    """The encoder with other weights, the further from the input the more so, as after fine-tuning."""
    found, source = copy.deepcopy(encoder), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for i, layer in enumerate(found.layers):
            for p in layer.parameters():
                p += 0.02 * (i + 1) * torch.randn(p.shape, generator=source)
    return found


def collect(encoder: Encoder, x: Tensor, what: What = "blocks", form: Form = "flat") -> list[Tensor]:
    return outputs_of(encoder, layers_of(encoder, what, form), x, form)


@pytest.fixture(scope="module")
def vit() -> Encoder:
    return load_model("toy-vit")


NETWORKS = {
    "toy": lambda: load_model("toy-vit"),
    "resnet": lambda: load_model("toy-cnn"),
    "seem": lambda: made("seem_focal_tiny", {"embed_dim": 8}, library="medbench", features={"pooled": "head"}),
    "sam": lambda: made(
        "samvit_base_patch16_224",
        {"depth": 3, "embed_dim": 32, "num_heads": 2, "global_attn_indexes": (), "neck_chans": 12},
        features={"pooled": "mean"},
    ),
    "last4": lambda: made(
        "vit_tiny_patch16_224", {"embed_dim": 32, "depth": 5, "num_heads": 2, "img_size": 64},
        features={"pooled": "last4"},
    ),
    "cut": lambda: load_model("toy-cnn", units=2),
}  # fmt: skip
COUNTS = {"toy": 4, "seem": 12, "sam": 3, "last4": 5}


@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_are_those_of_the_encoder(name: str) -> None:
    encoder = NETWORKS[name]()
    flat, pooled = collect(encoder, X), collect(encoder, X, form="pooled")
    assert len(flat) == len(pooled) == COUNTS.get(name, len(encoder.layers)) > 0
    for i, (row, mean) in enumerate(zip(flat, pooled, strict=True)):
        own = encoder.layer(X, i)  # (b, n, d), or (b, c, h, w)
        assert row.shape == (6, own[0].numel())
        torch.testing.assert_close(row, own.flatten(1))
        places = own[:, encoder.prefix :].mean(1) if own.ndim == 3 else own.mean((2, 3))
        torch.testing.assert_close(mean, places)


def test_attention_and_mlp_as_25_layers_of_a_vit_b() -> None:
    encoder = made(
        "vit_base_patch16_224", {"embed_dim": 24, "num_heads": 2}, 32, position={}, features={"pooled": "cls"}
    )
    x = X[:, :, :32, :32]
    assert [len(collect(encoder, x, "all", form)) for form in ("flat", "pooled", "cls")] == [25, 25, 24]
    layers = layers_of(encoder, "all")
    assert [layer.name for layer in layers[:4]] == ["patch embedding", "attn 0", "mlp 0", "attn 1"]
    assert layers[-1].module is encoder.network.blocks[11].mlp
    found = collect(encoder, x, "all")
    tokens = encoder.network.patch_embed(x)
    torch.testing.assert_close(found[0], tokens.flatten(1))
    torch.testing.assert_close(collect(encoder, x, "all", "pooled")[0], tokens.mean(1))
    block, after = encoder.network.blocks[4], encoder.block(x, 3)
    attention = block.attn(block.norm1(after))
    torch.testing.assert_close(found[1 + 2 * 4].view(6, 5, 24), attention)
    torch.testing.assert_close(found[2 + 2 * 4].view(6, 5, 24), block.mlp(block.norm2(after + attention)))
    torch.testing.assert_close(collect(encoder, x, "all", "cls")[2 * 4], attention[:, 0])
    torch.testing.assert_close(collect(encoder, x, "all", "pooled")[1 + 2 * 4], attention[:, 1:].mean(1))


def test_focal_modulation_takes_the_place_of_attention() -> None:
    seem = NETWORKS["seem"]()
    layers, found = layers_of(seem, "all"), collect(seem, X, "all")
    assert [layer.name for layer in layers[:3]] == ["patch embedding", "attn 0", "mlp 0"]
    assert len(found) == 25
    assert layers[1].module is seem.layers[0].modulation
    assert collect(seem, X, "all", "pooled")[-1].shape == (6, 64), "maps with channels at their end"


def test_the_class_token(vit: Encoder) -> None:
    for i, row in enumerate(collect(vit, X, form="cls")):
        torch.testing.assert_close(row, vit.block(X, i)[:, 0])
        assert row.untyped_storage().nbytes() == row.numel() * 4, "it does not hold all tokens"


def test_what_a_network_does_not_have(vit: Encoder) -> None:
    cnn = load_model("toy-cnn")
    with pytest.raises(MedbenchError, match="has no class token"):
        collect(cnn, X, form="cls")
    with pytest.raises(MedbenchError, match="do not consist of attention and MLP"):
        collect(cnn, X, "all")
    with pytest.raises(CardError, match="unknown set of layers 'block'"):
        collect(vit, X, "block")
    with pytest.raises(CardError, match="unknown form of features 'mean'"):
        collect(vit, X, form="mean")
    assert not any(module._forward_hooks for encoder in (vit, cnn) for module in encoder.modules()), "no hook stays"


def test_windows_are_not_images() -> None:
    args = {"embed_dim": 24, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 2, 2)}
    swin = made("swin_tiny_patch4_window7_224", args, 224, features={"pooled": "mean"})
    x = torch.randn(1, 3, 224, 224)
    with pytest.raises(CardError, match="attn 0 does not give one output per image"):
        collect(swin, x, "all")
    assert [row.shape[1] for row in collect(swin, x, form="pooled")] == [24, 48, 96, 192]


class Chain(nn.Module):
    """Linear layers, then one that nobody calls and one that is called twice; each changes its input in place."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(8, 8)) for _ in range(3))
        self.idle, self.twice = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        for step in self.steps:
            x = step(x)
        return self.twice(self.twice(x))


def test_any_network_with_a_list_of_modules() -> None:
    net, x = Chain(), torch.randn(5, 8)
    layers = [Layer(f"step {i}", module) for i, module in enumerate(net.steps)]
    with torch.no_grad():
        expected = [x]
        for step in net.steps:
            expected.append(step(expected[-1].clone()))
        found = outputs_of(net, layers[::-1], x, then=torch.clone)
    for one, other in zip(found, expected[:0:-1], strict=True):
        torch.testing.assert_close(one, other)
    for name in ("idle", "twice"):
        with pytest.raises(CardError, match=name):
            outputs_of(net, [Layer(name, getattr(net, name))], x)
        assert not getattr(net, name)._forward_hooks
    assert not any(step._forward_hooks for step in net.steps)


BATCHES = [torch.randn(n, 3, 64, 64, generator=torch.Generator().manual_seed(n)) for n in (16, 12, 3)]


def by_hand(a: Encoder, b: Encoder, estimator: str) -> np.ndarray:
    """Every block's own forward, and every pair's Gram matrices alone."""
    found = np.empty((len(a.layers), len(b.layers)))
    with torch.no_grad():
        rows, columns = ([[net.layer(x, i) for x in BATCHES] for i in range(len(net.layers))] for net in (a, b))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            one = Cka(1, 1, estimator)
            for first, second in zip(row, column, strict=True):
                one.add([first], [second])
            found[i, j] = one.value()[0, 0]
    return found


@pytest.mark.parametrize("estimator", ["batch", "hsic"])
def test_layers_of_two_networks_are_compared_in_one_pass(vit: Encoder, estimator: str, capsys) -> None:
    other, cnn = tuned(vit), load_model("toy-cnn")
    for a, b in ((other, vit), (vit, cnn)):
        found = layerwise(a, b, BATCHES, estimator=estimator)
        np.testing.assert_allclose(found, by_hand(a, b, estimator), atol=1e-6)
        np.testing.assert_allclose(layerwise(b, a, BATCHES, estimator=estimator), found.T, atol=1e-9)
    assert "3 images are left out of CKA" in capsys.readouterr().err


@pytest.mark.parametrize("estimator", ["batch", "hsic"])
@pytest.mark.parametrize(("what", "form"), [("blocks", "flat"), ("blocks", "pooled"), ("all", "cls")])
def test_a_network_against_itself(vit: Encoder, what, form, estimator) -> None:
    with quiet():
        found = layerwise(vit, copy.deepcopy(vit), BATCHES, what=what, form=form, estimator=estimator)
    np.testing.assert_allclose(np.diag(found), 1, rtol=0, atol=1e-6)
    assert found.min() < 0.95, "not every layer is like every other"
    other = layerwise(tuned(vit), vit, BATCHES[:2], what=what, form=form, estimator=estimator)
    assert np.diag(other)[-1] < 0.99


def test_rows_are_the_first_network(vit: Encoder) -> None:
    found = layerwise(load_model("toy-vit", units=2), vit, BATCHES[:2])
    assert found.shape == (2, 4)
    np.testing.assert_allclose(np.diag(found), 1, rtol=0, atol=1e-6)
    last = collect(vit, BATCHES[0], form="pooled")[-1].numpy()
    whole = layerwise(vit, tuned(vit), BATCHES[:1], form="pooled")
    first = collect(tuned(vit), BATCHES[0], form="pooled")[0].numpy()
    assert whole[3, 0] == pytest.approx(cka_matrix([last, first])[0, 1], abs=1e-5)


class Stack(nn.Module):
    """An encoder's tokens, a projection, and another network's blocks."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder, self.projection = encoder, nn.Linear(encoder.dim, 32)
        self.deit = timm.create_model("vit_tiny_patch16_224", embed_dim=32, depth=3, num_heads=2, num_classes=0)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.drop(self.projection(self.encoder.tokens(x)))
        rows = torch.cat([self.deit.cls_token.expand(len(x), -1, -1), rows], dim=1)
        for block in self.deit.blocks:
            rows = block(rows)
        return rows[:, 0]


def test_a_stacked_network_against_its_start(vit: Encoder) -> None:
    start = Stack(copy.deepcopy(vit)).train()
    after = copy.deepcopy(start)
    with torch.no_grad():
        for p in after.deit.blocks[1].parameters():
            p += 0.2 * torch.randn_like(p)

    def watched(stack: Stack) -> Watched:
        return Watched(stack, [Layer(f"block {i}", block, prefix=1) for i, block in enumerate(stack.deit.blocks)])

    seen: list[int] = []
    for form in ("flat", "cls", "pooled"):
        found = layerwise(watched(after), watched(start), BATCHES[:2], form=form, advance=seen.append)
        assert found.shape == (3, 3)
        assert found[0, 0] == pytest.approx(1, abs=1e-6), "without dropout"
        assert found[1, 1] < 0.999
    assert seen == [16, 12] * 3
    assert not start.training


def test_a_pair_of_inputs(vit: Encoder) -> None:
    pairs = [(x, x.flip(3)) for x in BATCHES[:2]]
    found = layerwise(vit, vit, pairs)
    cka = Cka(4, 4)
    with torch.no_grad():
        for x, y in pairs:
            cka.add(collect(vit, x), collect(vit, y))
    np.testing.assert_allclose(found, cka.value(), atol=1e-9)
    assert np.diag(found).max() < 0.999


def test_each_network_sees_each_batch_once_and_one_layer_is_held(vit: Encoder, monkeypatch) -> None:
    held: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    def watched(rows: Tensor) -> Tensor:
        alive.append(sum(ref() is not None for ref in held))
        held.append(weakref.ref(rows))
        return gram(rows)

    monkeypatch.setattr("medbench.features.layers.gram", watched)
    calls: list[int] = []
    other = tuned(vit)
    handles = [
        encoder.network.patch_embed.register_forward_hook(lambda _m, _i, out: calls.append(len(out)))
        for encoder in (vit, other)
    ]
    layerwise(vit, other, BATCHES[:2])
    for handle in handles:
        handle.remove()
    assert calls == [16, 16, 12, 12]
    assert len(held) == 2 * 2 * 4
    assert max(alive) == 0, "a layer's rows are gone when the next one's come"
