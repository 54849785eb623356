"""Tiny versions of every family of the zoo, and what their networks give, computed without the encoder."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medbench.cards import ModelCard, find_model, names
from medbench.models.encoder import Encoder
from medbench.models.load import load_model

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
UNSIZED = ("coca", "alexnet", "vgg", "densenet", "efficientnet")
"""Beginnings of the names of cards whose networks have one size."""
RULES = ("cls", "mean", "cls+mean", "mean+cls", "last4", "token1")


def tiny_fields(name: str, args: dict[str, Any], library: str | None = None) -> dict[str, Any]:
    """Return the fields of a shipped card with other arguments of its architecture, without its file and width."""
    fields = find_model(name).resolved(library=library).model_dump(exclude_unset=True, mode="json")
    fields |= {"args": {**fields.get("args", {}), **args}, "weights": None}
    fields["features"].pop("dim", None)
    return fields


def tiny(name: str, args: dict[str, Any]) -> ModelCard:
    """Return a shipped card with a tiny network of random weights."""
    return ModelCard.model_validate(tiny_fields(name, args))


def shrunk(name: str, library: str | None = None, arch: str | None = None) -> ModelCard:
    """Return a shipped card and its alternatives with a tiny network, and a file with the network's own names."""
    arch = arch or find_model(name).resolved(library=library).arch
    small = next(args for start, args in ARGS if re.match(start, arch))
    fields = tiny_fields(name, small, library) | {"arch": arch}
    fields["alternatives"] = find_model(name).alternatives
    if fields["args"].get("num_classes"):
        fields["args"]["num_classes"] = 12
    for overlay in fields["alternatives"].values():
        overlay.get("features", {}).pop("dim", None)
        overlay.pop("weights", None)
        overlay["args"] = {**overlay.get("args", {}), **small}
    return ModelCard.model_validate(fields)


def kinds() -> list[str]:
    """Return one card of each family: cards that differ only in size or weights are one family.

    Those without a size that can be chosen are not among them: `networks/test_builders` has CoCa,
    `networks/test_torchvision` AlexNet, and `test_build` builds each card's own network.
    """
    found: dict[str, str] = {}
    for name in (name for name in names("models") if not name.startswith(UNSIZED)):
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


def drawn(network: nn.Module) -> nn.Module:
    """Give every parameter and running statistic, norms and biases too, a value of its own; return it frozen."""
    noise = torch.Generator().manual_seed(0)
    statistics = [(name, value) for name, value in network.named_buffers() if "running" in name]
    with torch.no_grad():
        for name, value in [*network.named_parameters(), *statistics]:
            draw = torch.randn(value.shape, generator=noise)
            if name.endswith("running_var"):
                value.copy_(1 + draw.square())
            elif name.endswith(("bias", "running_mean")) or re.search("pos|token|embedding|probe", name):
                value.copy_(0.3 * draw)
            else:
                value.copy_(draw / math.sqrt(value[0].numel()) if value.ndim > 1 else 1 + 0.3 * draw)
    return network.eval().requires_grad_(False)


def family_of(folder: Path, name: str, library: str | None = None, arch: str | None = None) -> Family:
    card = shrunk(name, library, arch)
    patch = card.args.get("patch_size") or int((re.findall(r"patch(\d+)", card.arch) or [16])[0])
    sizes = {14: (56, 70), 8: (64, 40), 32: (64, 96)}.get(patch, (64, 96))
    enc = load_model(card, "random", image_size=sizes[0])
    drawn(enc.network)
    torch.save(enc.network.state_dict(), folder / "weights.pth")
    return Family(card, folder / "weights.pth", enc, sizes)


TABLE = [(name, None, None) for name in kinds()] + OTHERS


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
    """Return whether units differ in width, so that a last norm, if any, only fits the last unit."""
    return bool(re.search("resnet|sam2", card.arch))


def rows(card: ModelCard, raw: Tensor) -> Tensor:
    """Return what a unit passes as (b, n, d)."""
    if raw.ndim == 3:
        return raw
    return raw.flatten(1, 2) if channels_end(card) else raw.flatten(2).transpose(1, 2)


def passed(network: nn.Module, modules: list[nn.Module], x: Tensor) -> list[Tensor]:
    """Return the output of each module in a complete forward pass."""
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
    """Return a unit's output as rows, after its norm."""
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
