"""Low-rank updates of an encoder's layers, by the library peft: inserted, trained, and added to the weights at the end.

The updated weight of a layer is W + (alpha / r) B A. A (r, inputs) is random and B (outputs, r) is zero at first (Hu et
al., 2022).
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from medbench.errors import CardError, MedbenchError
from medbench.models.encoder import Encoder
from medbench.models.networks.units import layers, units
from medbench.seeding import seed_of

ATTENTION = re.compile(r"(^|\.)[a-z_]*att(n|ention)[a-z_]*(\.|$)")
SHOWN = 8  # names of layers in an error


def add_lora(encoder: Encoder, rank: int, alpha: float, targets: list[str] | None, seed: int) -> None:
    """Insert updates into a frozen encoder, in place; they alone get gradients.

    Args:
        encoder: The encoder, frozen.
        rank: Rank r.
        alpha: Factor of an update, times r.
        targets: Ends of the names of the layers; None: `default_targets`.
        seed: Names the draw of A.

    Raises:
        MedbenchError: peft is not installed.
        CardError: A target matches no layer that can be updated.
    """
    peft, network = _peft(), encoder.network
    known = candidates(network)
    names = _named(encoder, known, targets) if targets else default_targets(encoder, known)
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules="|".join(map(re.escape, names)))
    place = next(network.parameters())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("training", "lora", seed))
        peft.inject_adapter_in_model(config, network)
    for name, value in network.named_parameters():
        value.requires_grad_("lora_" in name)
    encoder.to(place.device).eval()
    encoder.blocks, encoder.layers = units(network), layers(network)  # a unit may itself have been replaced


def candidates(network: nn.Module) -> dict[str, nn.Module]:
    """Return the layers that can be updated, by name: linear layers and ungrouped convolutions.

    Those inside a torch.nn.MultiheadAttention are left out: peft adds an update to its weights and takes it away again
    in each forward pass, so rounding would change frozen weights.
    """
    packed = [name for name, module in network.named_modules() if isinstance(module, nn.MultiheadAttention)]
    return {
        name: module
        for name, module in network.named_modules()
        if (isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1))
        and not any(name.startswith(f"{held}.") for held in packed)
    }


def default_targets(encoder: Encoder, known: dict[str, nn.Module]) -> list[str]:
    """Return the attention layers in the units; in a network without attention, all layers in the units.

    Raises:
        CardError: There are none, or the attention is a torch.nn.MultiheadAttention.
    """
    held = {id(module): module for unit in encoder.blocks for module in unit.modules()}
    inside = [name for name, module in known.items() if id(module) in held]
    if found := [name for name in inside if ATTENTION.search(name)]:
        return found
    if any(isinstance(module, nn.MultiheadAttention) for module in held.values()):
        raise CardError(
            f"lora: peft cannot update the attention of {encoder.card.name}, a torch.nn.MultiheadAttention, without"
            " changing frozen weights",
            f"give other layers: --set 'targets=[NAME]'; {_shown(known)}",
        )
    if not inside:
        raise CardError(
            f"lora: {encoder.card.name} has no layers in its units that can be updated",
            f"give layers: --set 'targets=[NAME]'; {_shown(known)}",
        )
    return inside


def _named(encoder: Encoder, known: dict[str, nn.Module], targets: list[str]) -> list[str]:
    found: list[str] = []
    for target in targets:
        names = [name for name in known if name == target or name.endswith(f".{target}")]
        if not names:
            raise CardError(f"lora: '{target}' matches no layer of {encoder.card.name} to update", _shown(known))
        found += names
    return list(dict.fromkeys(found))


def _shown(known: dict[str, nn.Module]) -> str:
    ends = list(dict.fromkeys(".".join(name.split(".")[-2:]) for name in known))
    return f"its layers end in: {', '.join(ends[:SHOWN])}{' …' if len(ends) > SHOWN else ''}"


def merge(network: nn.Module) -> dict[str, Tensor]:
    """Add the updates to the weights of a trained network, in place, and remove them: it is a plain network again.

    Returns:
        What a plain network needs to give the same outputs: the updated layers' weights and the head, by name.
    """
    from peft.tuners.lora import LoraLayer

    changed: list[str] = []
    while held := next(((n, m) for n, m in network.named_modules() if isinstance(m, LoraLayer)), None):
        name, layer = held
        inner: Any = layer
        inner.merge()
        base = inner.get_base_layer()
        network.set_submodule(name, base)
        changed += [f"{name}.{place}" for place, value in base.named_parameters() if value.ndim > 1]
    state = network.state_dict()
    head = [name for name in state if name.startswith("head.")]
    return {name: state[name].detach().cpu().clone() for name in dict.fromkeys([*changed, *head]) if name in state}


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise MedbenchError("lora needs the package peft", "pip install 'medbench[peft]'") from error
    return peft
