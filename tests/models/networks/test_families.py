"""Tiny versions of every family of the zoo: what an encoder says of a network, against the network itself."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from medbench.cards import ModelCard, find_model, names
from medbench.errors import CardError
from medbench.models.encoder import Encoder
from medbench.models.load import load_model
from medbench.models.weights.locate import RANDOM

SMALL = {"embed_dim": 32, "depth": 5, "num_heads": 2}
SAM = {**SMALL, "window_size": 3, "global_attn_indexes": [1, 3]}
ARGS: list[tuple[str, dict[str, Any]]] = [
    ("test_|vit_tiny", {}),
    ("seem", {"embed_dim": 8, "depths": [1, 1, 2, 1]}),
    ("resnet", {"layers": [1, 2, 1, 1], "channels": [8, 12, 16, 20]}),
    ("sam2", {"embed_dim": 8, "stages": [1, 2, 1, 1], "global_att_blocks": [2], "window_spec": [8, 4, 7, 7]}),
    ("samvit", {**SAM, "neck_chans": 12}),
    ("siglip_vision", {"hidden_size": 32, "num_hidden_layers": 5, "num_attention_heads": 2, "intermediate_size": 48}),
    ("blip_vision", {"hidden_size": 32, "num_hidden_layers": 5, "num_attention_heads": 2, "intermediate_size": 48}),
    ("vit_b$", {**SAM, "out_chans": 12}),
    ("timm/", {"embed_dim": 12}),
    ("tiny-", {}),
    ("", SMALL),
]
"""Beginning of an architecture's name -> what makes it tiny; the first that fits."""
TINY = {
    "tiny-vit": {"layers": 5, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 64},
    "tiny-resnet": {"layers": [1, 2, 1, 1], "width": 4, "head_width": 64, "image_size": 64},
}
"""Architectures of open_clip's kinds, which it lists in one size only."""
OTHERS = [
    ("openclip", "open_clip", "tiny-vit"), ("clip", "open_clip", "tiny-vit"),
    ("biomedclip", "open_clip", "timm/test_vit"), ("open_clip/RN50/openai", None, "tiny-resnet"),
    ("blip", "transformers", None), ("sam", "segment_anything", None),
]  # fmt: skip
"""Card, library and architecture of those that another library builds."""
RULES = ("cls", "mean", "cls+mean", "mean+cls", "last4", "token1")


def shrunk(name: str, library: str | None = None, arch: str | None = None) -> ModelCard:
    """Return a shipped card as it stands, but for a tiny network and a file with the network's own names."""
    fields = find_model(name).resolved(library=library).model_dump(exclude_unset=True)
    fields |= {"arch": arch or fields["arch"], "alternatives": find_model(name).alternatives, "weights": None}
    small = next(args for start, args in ARGS if re.match(start, fields["arch"]))
    fields["args"] = {**fields.get("args", {}), **small}
    if fields["args"].get("num_classes"):
        fields["args"]["num_classes"] = 12
    for part in (fields, *fields["alternatives"].values()):
        part.get("features", {}).pop("dim", None)
    for overlay in fields["alternatives"].values():
        overlay.pop("weights", None)
        overlay["args"] = {**overlay.get("args", {}), **small}
    return ModelCard.model_validate(fields)


def kinds() -> list[str]:
    """Return one card of each family: those that differ in the size or in the weights alone are one."""
    found: dict[str, str] = {}
    for name in names("models"):
        card = shrunk(name)
        arch = re.sub("_(small|base_plus|base|large|tiny)(?=_|$)|_patch[0-9]+|(_|(?<=resnet))[0-9]+", "", card.arch)
        found.setdefault(json.dumps([arch, card.args, card.features.model_dump(), card.alternatives]), name)
    return list(found.values())


@dataclass
class Family:
    card: ModelCard
    file: Path
    enc: Encoder
    sizes: tuple[int, int]

    @property
    def network(self) -> Any:
        return self.enc.network

    def load(self, size: int | None = None, **how: Any) -> Encoder:
        return load_model(self.card, self.file, image_size=size or self.sizes[0], **how)

    def images(self, size: int | None = None, channels: int = 3) -> Tensor:
        side = size or self.sizes[0]
        return torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(side))


def drawn(network: nn.Module) -> None:
    """Give every parameter and running statistic, norms and biases too, a value of its own."""
    noise = torch.Generator().manual_seed(0)
    statistics = [(name, value) for name, value in network.named_buffers() if "running" in name]
    with torch.no_grad():
        for name, value in [*network.named_parameters(), *statistics]:
            draw = torch.randn(value.shape, generator=noise)
            if name.endswith("running_var"):
                value.copy_(1 + draw.square())
            elif name.endswith(("bias", "running_mean")) or re.search("pos|token|embedding$", name):
                value.copy_(0.3 * draw)
            else:
                value.copy_(draw / math.sqrt(value[0].numel()) if value.ndim > 1 else 1 + 0.3 * draw)


@pytest.fixture(scope="module", autouse=True)
def tiny_pairs() -> Iterator[None]:
    import open_clip

    with pytest.MonkeyPatch.context() as patch:
        for name, vision in TINY.items():
            config = {"embed_dim": 12, "vision_cfg": vision, "text_cfg": {}}
            patch.setitem(open_clip.factory._MODEL_CONFIGS, name, config)
        yield


def family_of(folder: Path, name: str, library: str | None = None, arch: str | None = None) -> Family:
    card = shrunk(name, library, arch)
    patch = card.args.get("patch_size") or int((re.findall(r"patch(\d+)", card.arch) or [16])[0])
    sizes = {14: (56, 70), 8: (64, 40), 32: (64, 96)}.get(patch, (64, 96))
    enc = load_model(card, "random", image_size=sizes[0])
    drawn(enc.network)
    torch.save(enc.network.state_dict(), folder / "weights.pth")
    return Family(card, folder / "weights.pth", enc, sizes)


TABLE = [(name, None, None) for name in kinds()] + OTHERS


@pytest.fixture(scope="module", params=TABLE, ids=lambda row: "-".join(filter(None, row)).replace("/", "-"))
def family(request: pytest.FixtureRequest, tiny_pairs: None, tmp_path_factory: pytest.TempPathFactory) -> Family:
    return family_of(tmp_path_factory.mktemp("family"), *request.param)


# What the network is, without the encoder.


def core(network: Any) -> Any:
    tower = network.get_submodule(network.holder) if hasattr(network, "holder") else network
    return next((getattr(tower, name) for name in ("trunk", "transformer", "encoder") if hasattr(tower, name)), tower)


def units(network: Any) -> list[nn.Module]:
    held = core(network)
    if hasattr(held, "layer1"):
        return [held.layer1, held.layer2, held.layer3, held.layer4]
    return list(getattr(held, next(name for name in ("resblocks", "blocks", "layers") if hasattr(held, name))))


def layers(network: Any) -> list[nn.Module]:
    parts = [getattr(unit, "blocks", unit) for unit in units(network)]
    return [layer for part in parts for layer in (part if isinstance(part, nn.Sequential | nn.ModuleList) else [part])]


def channels_end(card: ModelCard) -> bool:
    return card.arch.startswith(("sam", "vit_b", "seem"))


def staged(card: ModelCard) -> bool:
    """Tell whether units differ in width, and a last norm, if any, fits the last alone."""
    return bool(re.search("resnet|sam2", card.arch))


def rows(card: ModelCard, raw: Tensor) -> Tensor:
    """Return what a unit passes as (b, n, d)."""
    if raw.ndim == 3:
        return raw
    return raw.flatten(1, 2) if channels_end(card) else raw.flatten(2).transpose(1, 2)


def passed(network: nn.Module, modules: list[nn.Module], x: Tensor) -> list[Tensor]:
    """Return what each module gave in a whole forward pass."""
    found: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, _: Any, output: Any) -> None:
        found[module] = output[0] if isinstance(output, tuple) else output

    handles = [module.register_forward_hook(keep) for module in modules]
    with torch.no_grad():
        network(x)
    for handle in handles:
        handle.remove()
    return [found[module] for module in modules]


def run_by(view: Callable[[], Tensor], modules: list[nn.Module]) -> tuple[Tensor, list[int]]:
    """Return what a view gives, and which modules ran for it."""
    ran: list[int] = []
    handles = [m.register_forward_hook(lambda *_, i=i: ran.append(i)) for i, m in enumerate(modules)]
    found = view()
    for handle in handles:
        handle.remove()
    return found, ran


def normed(card: ModelCard, network: Any, raw: Tensor, unit: int) -> Tensor:
    """Return a unit's output as rows after the norm that belongs behind it."""
    if "seem" in card.arch:
        return rows(card, getattr(network, f"norm{unit}")(raw))
    held = network.get_submodule(network.holder) if hasattr(network, "holder") else network
    places = ("trunk.norm", "norm", "ln_post", "post_layernorm")
    norm = next((part for place in places for name, part in held.named_modules() if name == place), nn.Identity())
    return rows(card, norm(raw))


def headed(network: Any, found: Tensor) -> Tensor:
    """Return the library's own vector of its tokens after the last norm."""
    if not hasattr(network, "holder"):
        return network.forward_head(found)
    tower = network.get_submodule(network.holder)
    if hasattr(tower, "trunk"):
        return tower.head(tower.trunk.forward_head(found))
    return found[:, 0] @ tower.proj if hasattr(tower, "proj") else tower.head(found)


def prefix_of(network: Any) -> int:
    return getattr(network, "num_prefix_tokens", 0) or 0


def picked(rule: str, tokens: Tensor, prefix: int) -> Tensor:
    parts = {"cls": tokens[:, 0], "token1": tokens[:, 1], "mean": tokens[:, prefix:].mean(dim=1)}
    return torch.cat([parts[part] for part in rule.split("+")], dim=1)


def expected(card: ModelCard, network: Any, raws: list[Tensor]) -> Tensor:
    """Return the feature that a card means of a network of so many units, from what these gave."""
    rule, last = card.features, len(raws) - 1
    with torch.no_grad():
        tokens = normed(card, network, raws[-1], last) if rule.norm and not staged(card) else rows(card, raws[-1])
        if rule.pooled == "head" and staged(card):
            found = tokens.mean(dim=1)
        else:
            pooled = rule.pooled
            found = headed(network, tokens) if pooled == "head" else picked(pooled, tokens, prefix_of(network))
        if rule.layer_norm is not None:
            centred = found - found.mean(dim=1, keepdim=True)
            found = centred / (centred.square().mean(dim=1, keepdim=True) + rule.layer_norm).sqrt()
    return found


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=2e-4, atol=2e-5)


def attentive(family: Family) -> bool:
    """Tell whether the network pools by attention over its last map (CLIP's ResNets): there is no other formula."""
    return family.card.arch == "tiny-resnet"


def test_the_table_has_every_family() -> None:
    must = "deit dinov2 reg4 dinov3 eva02 giant aimv2 siglip pe_core clip sam2 samvit seem resnet"
    arches = {shrunk(name).arch for name in kinds()}
    for word in must.split():
        assert any(word in arch for arch in arches), word


def test_units_and_layers_are_the_networks(family: Family) -> None:
    enc, x = family.enc, family.images()
    held = [(enc.block, enc.blocks, units(family.network)), (enc.layer, enc.layers, layers(family.network))]
    for view, seen, modules in held:
        assert seen == modules
        for i, raw in enumerate(passed(family.network, modules, x)):
            found, ran = run_by(partial(view, x, i), modules)
            assert ran == list(range(i + 1)), "the later ones are not run"
            close(found, rows(family.card, raw) if channels_end(family.card) else raw)
    assert not any(module._forward_hooks for module in family.network.modules())


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


def test_a_cut_network_is_the_whole_ones_beginning(family: Family) -> None:
    x, card = family.images(), family.card
    modules = units(family.network)
    raws = passed(family.network, modules, x)
    sizes = [sum(p.numel() for p in module.parameters()) for module in modules]
    whole = sum(p.numel() for p in family.network.parameters())
    for keep in range(1, len(modules) + 1):
        enc = family.load(units=keep)
        gone = whole - sum(p.numel() for p in enc.network.parameters())
        assert gone >= sum(sizes[keep:])
        assert gone == sum(sizes[keep:]) or "seem" in card.arch, "there its norms and the way to the next stage too"
        assert (len(enc.blocks), enc.whole) == (keep, keep == len(modules))
        pooled = enc.pooled(x)
        assert pooled.shape == (2, enc.dim)
        network = family.network if "seem" in card.arch else enc.network
        with torch.no_grad():
            last = enc.network(x) if attentive(family) and enc.whole else expected(card, network, raws[:keep])
        close(pooled, last)
        close(enc.block(x, keep - 1), rows(card, raws[keep - 1]) if channels_end(card) else raws[keep - 1])
        wanted = normed(card, network, raws[keep - 1], keep - 1) if not staged(card) else rows(card, raws[keep - 1])
        close(enc.tokens(x, norm=True), wanted[:, enc.prefix :])


def test_one_channel_by_the_slice_or_the_sum(family: Family) -> None:
    grey = family.images(channels=1)
    seen = {
        "slice": torch.cat([grey, torch.zeros_like(grey).expand(-1, 2, -1, -1)], 1),
        "sum": grey.expand(-1, 3, -1, -1),
    }
    found = {rule: family.load(in_chans=1, channel_rule=rule).pooled(grey) for rule in seen}
    for rule, three in seen.items():
        close(found[rule], family.enc.pooled(three))
    assert (found["slice"] - found["sum"]).abs().max() > 1e-3
    assert torch.equal(family.load(in_chans=1, preset="fixed").pooled(grey), found["sum"])


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
