"""AdamW with the recipes' parameter groups: what has weight decay, and which share of the learning rate each has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from medbench.cards.recipes import FinetuneRecipe


def make_optimizer(network: nn.Module, rate: float, settings: FinetuneRecipe) -> torch.optim.AdamW:
    """Return AdamW over all parameters with gradients.

    Weight decay acts on tensors of two or more axes, including class token and position table (WACV 2024, Q27), or on
    all with `decay_all`. A group's learning rate is the step's times its `share`: 1, or layer_decay^(n - depth) (see
    `depths`).
    """
    n, depth = depths(network)
    groups: dict[tuple[bool, int], list[nn.Parameter]] = {}
    for name, value in network.named_parameters():
        if value.requires_grad:
            decayed = settings.decay_all or (value.ndim >= 2 and not name.endswith(".bias"))
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


def adamw_on_all(
    network: nn.Module, rate: float, decay: float, shares: Mapping[nn.Module, float] | None = None
) -> torch.optim.AdamW:
    """Return AdamW over all parameters with gradients, with weight decay on all, as FLAIR and RetFiner are trained.

    Args:
        network: The network.
        rate: Learning rate.
        decay: Weight decay.
        shares: Part of the network -> its learning rate as a share of `rate`; the rest has `rate`.
    """
    share_of = {id(value): share for part, share in (shares or {}).items() for value in part.parameters()}
    groups: dict[float, list[nn.Parameter]] = {}
    for value in network.parameters():
        if value.requires_grad:
            groups.setdefault(share_of.get(id(value), 1.0), []).append(value)
    listed = [{"params": values, "lr": rate * share} for share, values in groups.items()]
    return torch.optim.AdamW(listed, weight_decay=decay, fused=True)


def depths(network: nn.Module) -> tuple[int, dict[str, int]]:
    """Return the depth of the head, and the depth of each parameter by name, for layer-wise learning rates.

    As in BEiT, MAE and RETFound: 0 before the units (patch embedding, class token, position table), i + 1 in unit i of
    n, n + 1 after the units. A network without `units` has one depth.
    """
    found: Iterable[nn.Module] = getattr(network, "units", [])
    units = list(found)
    owner = {id(p): i + 1 for i, unit in enumerate(units) for p in unit.parameters()}
    depth, at = {}, 0 if units else 1
    for name, value in network.named_parameters():  # in order of registration: those next to the input come first
        if id(value) in owner:
            at = len(units) + 1
            depth[name] = owner[id(value)]
        else:
            depth[name] = at
    return len(units) + 1, depth
