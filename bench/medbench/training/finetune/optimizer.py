"""AdamW with the parameter groups of the recipes: decay on matrices alone, rates that fall towards the input."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from medbench.cards.recipes import FinetuneRecipe


def make_optimizer(network: nn.Module, rate: float, settings: FinetuneRecipe) -> torch.optim.AdamW:
    """Return AdamW over all parameters with gradients.

    Weight decay is on tensors of two or more axes, class token and position table included (WACV 2024, Q27). Each
    group's `share` is what its rate is multiplied by: 1, or by `layer_decay` (see `depths`).
    """
    n, depth = depths(network)
    groups: dict[tuple[bool, int], list[nn.Parameter]] = {}
    for name, value in network.named_parameters():
        if value.requires_grad:
            decayed = value.ndim >= 2 and not name.endswith(".bias")
            groups.setdefault((decayed, depth[name] if settings.layer_decay else n), []).append(value)
    listed = [
        {
            "params": values,
            "weight_decay": settings.weight_decay if decayed else 0.0,
            "share": (settings.layer_decay or 1.0) ** (n - at),
        }
        for (decayed, at), values in groups.items()
    ]
    return torch.optim.AdamW(listed, lr=rate, eps=settings.eps, fused=True)


def depths(network: nn.Module) -> tuple[int, dict[str, int]]:
    """Return the depth of the head, and that of each parameter by name, for layer-wise rate decay.

    As in BEiT, MAE and RETFound: 0 for what precedes the units (patch embedding, class token, position table), i + 1
    for unit i, n + 1 for what follows all n. A network without `units` has one depth.
    """
    found: Iterable[nn.Module] = getattr(network, "units", [])
    units = list(found)
    owner = {id(p): i + 1 for i, unit in enumerate(units) for p in unit.parameters()}
    depth, at = {}, 0 if units else 1
    for name, value in network.named_parameters():  # in the order of registration: the input's first
        if id(value) in owner:
            at = len(units) + 1
            depth[name] = owner[id(value)]
        else:
            depth[name] = at
    return len(units) + 1, depth


def optimizer_arrays(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's moments and counters under names that stay the same for the same network."""
    found = {}
    for i, value in enumerate(_parameters(optimizer)):
        for key, held in optimizer.state.get(value, {}).items():
            found[f"{i}.{key}"] = held
    return found


def restore_optimizer(optimizer: torch.optim.Optimizer, arrays: dict[str, Tensor]) -> None:
    """Put back what `optimizer_arrays` gave."""
    values = _parameters(optimizer)
    for name, held in arrays.items():
        i, _, key = name.partition(".")
        value = values[int(i)]
        # A fused optimizer keeps its counters where its parameters are, and goes through parameters and moments in the
        # order of memory: a moment must lie as its parameter does (channels last, in a convolution).
        place = torch.empty_like(value) if held.shape == value.shape else torch.empty_like(held, device=value.device)
        optimizer.state[value][key] = place.copy_(held).detach()


def _parameters(optimizer: torch.optim.Optimizer) -> list[Any]:
    return [value for group in optimizer.param_groups for value in group["params"]]
