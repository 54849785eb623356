"""From card and weights file to a network at the wanted input: size, channels, position table."""

from __future__ import annotations

import math
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from medbench.cards import ModelCard
from medbench.cards.model import Position
from medbench.errors import CardError, WeightsError
from medbench.models.files import WeightsFile
from medbench.models.load import fill, read_state
from medbench.seeding import seed_of


def build(card: ModelCard, weights: WeightsFile, image_size: int, in_chans: int, channel_rule: str) -> nn.Module:
    """Return the card's network with its weights, in eval mode.

    Args:
        card: The model.
        weights: Its file, or random weights (the same on every call).
        image_size: Side of the square input.
        in_chans: Channels of the input.
        channel_rule: `slice` or `sum`: what a three-channel kernel becomes for one-channel input.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("weights", weights.sha256 if weights.path is None else "unused"))
        network = BUILDERS[card.library](card, image_size, in_chans)
    if weights.path is not None:
        assert card.weights is not None or weights.origin == "file"
        rules = card.weights or _plain()
        state = read_state(weights.path, rules)
        adapt_channels(state, network, channel_rule)
        adapt_position(state, network, card.position or Position())
        fill(network, state, weights.path)
    return network.eval()


def _plain() -> Any:
    from medbench.cards.model import Weights

    return Weights()


def _timm(card: ModelCard, image_size: int, in_chans: int) -> nn.Module:
    if not timm.is_model(card.arch):
        near = ", ".join(timm.list_models(f"*{card.arch.split('.')[0][:8]}*")[:5])
        raise CardError(f"model card {card.name}: arch: timm has no '{card.arch}'", f"near ones: {near or 'none'}")
    args: dict[str, Any] = {"num_classes": 0, "in_chans": in_chans, **card.args}
    fixed = timm.get_pretrained_cfg(card.arch, allow_unregistered=True)
    if card.position is not None or getattr(fixed, "fixed_input_size", False):
        args["img_size"] = image_size
    try:
        return timm.create_model(card.arch, pretrained=False, **args)
    except (TypeError, AssertionError, ValueError, RuntimeError) as error:
        raise CardError(
            f"model card {card.name}: timm cannot build {card.arch} with {args}: {error}", "mend args, or --image-size"
        ) from error


BUILDERS = {"timm": _timm}
"""Library of a card -> what builds its network from (card, image_size, in_chans)."""


def adapt_channels(state: dict[str, Tensor], network: nn.Module, rule: str) -> None:
    """Make the first kernel fit one-channel input: its first input slice (WACV 2024, Q13) or the sum of all.

    The sum is what the network would see if the grey image were given three times.
    """
    first = getattr(network, "default_cfg", {}).get("first_conv") or ()
    for name in (f"{n}.weight" for n in ((first,) if isinstance(first, str) else first)):
        kernel, wanted = state.get(name), network.get_parameter(name)
        if kernel is None or kernel.shape[1] == wanted.shape[1] or wanted.shape[1] != 1:
            continue
        state[name] = kernel[:, :1] if rule == "slice" else kernel.float().sum(dim=1, keepdim=True)


def adapt_position(state: dict[str, Tensor], network: nn.Module, rule: Position) -> None:
    """Resize the position table to the network's grid where the two differ."""
    table = state.get("pos_embed")
    wanted = getattr(network, "pos_embed", None)
    if table is None or wanted is None or table.ndim != 3 or table.shape[1:] == wanted.shape[1:]:
        return
    if table.shape[2] != wanted.shape[2]:
        return  # another width: `fill` names it
    state["pos_embed"] = resize_table(table, math.isqrt(wanted.shape[1]), rule)


def resize_table(table: Tensor, grid: int, rule: Position) -> Tensor:
    """Return a position table (1, p + g*g, d) for another square grid, its p prefix rows (class token) kept.

    With an offset the scale factor is (grid + offset) / g, which shifts the sampling points a little: so do the
    official DINO and DINOv2 at every size but their own.

    Raises:
        WeightsError: The table is not that of a square grid.
    """
    side = math.isqrt(table.shape[1])
    prefix = table.shape[1] - side * side
    if prefix > side:
        raise WeightsError(
            f"the position table of {table.shape[1]} rows is not a square grid", "use the native --image-size"
        )
    cells = table[:, prefix:].float().reshape(1, side, side, -1).permute(0, 3, 1, 2)
    size: dict[str, Any] = {"size": (grid, grid)}
    if rule.offset:
        size = {"scale_factor": ((grid + rule.offset) / side,) * 2}
    resized = interpolate(cells, mode=rule.interpolation, antialias=rule.antialias, align_corners=False, **size)
    if resized.shape[-1] != grid:
        raise WeightsError(f"the position table cannot be resized from {side} to {grid}", "choose another --image-size")
    return torch.cat([table[:, :prefix].float(), resized.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
