"""From card and weights file to a network at the wanted input: size, channels, position table."""

from __future__ import annotations

import contextlib
import difflib
import math
from collections.abc import Callable
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.overrides import TorchFunctionMode

from medbench.cards import ModelCard
from medbench.cards.model import Position, Weights
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
    drawing: Any = _Undrawn() if weights.path is not None else contextlib.nullcontext()
    with torch.random.fork_rng(devices=[]), drawing:
        torch.manual_seed(seed_of("weights", weights.sha256 if weights.path is None else "unused"))
        network = BUILDERS[card.library](card, image_size, in_chans)
    _check_size(card, network, image_size)
    if weights.path is not None:
        state = read_state(weights.path, card.weights or Weights())
        adapt_channels(state, network, channel_rule)
        adapt_position(state, network, card.position or Position())
        fill(network, state, weights.path)
    return network.eval()


class _Undrawn(TorchFunctionMode):
    """Leave parameters undrawn while a network is built that a file will fill to the last one: seconds in a ViT."""

    DRAWS = frozenset({getattr(Tensor, f"{name}_") for name in ("uniform", "normal", "erfinv", "mul", "add", "clamp")})

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        target = args[0] if args else kwargs.get("tensor")
        drawn = func in self.DRAWS or getattr(func, "__module__", "") == "torch.nn.init"
        return target if drawn and isinstance(target, nn.Parameter) else func(*args, **kwargs)


RESERVED = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "in_chans"}
"""Arguments of timm that would load a file past the strict loader, or that medbench decides."""


def _timm(card: ModelCard, image_size: int, in_chans: int) -> nn.Module:
    if not timm.is_model(card.arch):
        near = ", ".join(difflib.get_close_matches(card.arch, timm.list_models(), n=3))
        raise CardError(f"model card {card.name}: arch: timm has no '{card.arch}'", f"near ones: {near or 'none'}")
    if taken := sorted(RESERVED & set(card.args)):
        raise CardError(f"model card {card.name}: args.{taken[0]}: medbench decides it", "take it out of the card")
    args: dict[str, Any] = {"num_classes": 0, "in_chans": in_chans}
    known = timm.get_pretrained_cfg(card.arch, allow_unregistered=True)
    if card.position is not None or getattr(known, "fixed_input_size", False):
        args["img_size"] = image_size
    args |= card.args
    try:
        return timm.create_model(card.arch, pretrained=False, **args)
    except (TypeError, AssertionError, ValueError, RuntimeError, LookupError, AttributeError) as error:
        raise CardError(
            f"model card {card.name}: timm cannot build {card.arch} with {args}: {error}", "mend args, or --image-size"
        ) from error


def _check_size(card: ModelCard, network: nn.Module, image_size: int) -> None:
    """Refuse a size that the network would refuse later, or would cut: a patch network sees whole patches only."""
    embed = getattr(network, "patch_embed", None)
    patch, fixed = getattr(embed, "patch_size", None), getattr(embed, "img_size", None)
    if fixed and getattr(embed, "strict_img_size", False) and tuple(fixed) != (image_size, image_size):
        raise CardError(
            f"{card.name} is built for images of {fixed[0]} x {fixed[1]} (args.img_size), not {image_size}",
            f"choose --image-size {fixed[0]}, or take img_size out of the card's args",
        )
    side = max(patch) if isinstance(patch, tuple) else 0
    if side and image_size % side and not getattr(embed, "dynamic_img_pad", False):
        below = max(image_size // side, 1) * side
        raise CardError(
            f"image size {image_size} is not a whole number of {card.name}'s patches of {side}",
            f"choose --image-size {below} or {below + side}",
        )


BUILDERS: dict[str, Callable[[ModelCard, int, int], nn.Module]] = {"timm": _timm}
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
