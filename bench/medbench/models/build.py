"""Card and weights file to a network for the required input: size, channels, position table."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor, nn

from medbench.cards import ModelCard
from medbench.cards.model import Position, Weights
from medbench.errors import CardError
from medbench.models.networks.builders import Undrawn, construct, convert
from medbench.models.networks.position import adapt_position
from medbench.models.weights.locate import WeightsFile, require_unchanged
from medbench.models.weights.read import dropped, fill, read_state
from medbench.seeding import seed_of


def build(card: ModelCard, weights: WeightsFile, image_size: int, in_chans: int, channel_rule: str) -> nn.Module:
    """Return the card's network with its weights, in eval mode.

    Args:
        card: The model, as resolved.
        weights: Its file, or random weights (the same on every call).
        image_size: Side of the square input.
        in_chans: Channels of the input.
        channel_rule: `slice`, or `sum` for all others: how a three-channel kernel is reduced for one-channel input.
    """
    drawing: Any = Undrawn() if weights.path is not None else contextlib.nullcontext()
    with torch.random.fork_rng(devices=[]), drawing:
        torch.manual_seed(seed_of("weights", weights.sha256 if weights.path is None else "unused"))
        network = construct(card, image_size, in_chans)
    _check_size(card, network, image_size)
    if weights.path is not None:
        rules = card.weights or Weights()
        state = read_state(weights.path, rules)
        if rules.convert == "library":
            state = {name: value for name, value in convert(state, network).items() if not dropped(name, rules)}
        add_axes(state, network, rules.lead)
        adapt_channels(state, network, channel_rule)
        adapt_position(state, network, card.position or Position())
        fill(network, state, weights.path, absent=rules.absent)
        require_unchanged(weights)
    return network.eval()


def add_axes(state: dict[str, Tensor], network: nn.Module, names: list[str]) -> None:
    """Add leading axes of length one where the network's tensors have them (CLIP's class token: (d,) to (1, 1, d))."""
    wanted = dict(network.named_parameters())
    for name in names:
        value = state.get(name)
        if value is not None and name in wanted:
            state[name] = value.reshape((1,) * (wanted[name].ndim - value.ndim) + value.shape)


def _check_size(card: ModelCard, network: nn.Module, image_size: int) -> None:
    """Raise CardError for a size that the network would refuse later, or crop: patches must cover the image exactly."""
    embed = getattr(network, "patch_embed", None)
    patch, fixed = getattr(embed, "patch_size", None), getattr(embed, "img_size", None)
    if fixed and getattr(embed, "strict_img_size", False) and tuple(fixed) != (image_size, image_size):
        raise CardError(
            f"{card.name} takes images of {fixed[0]} x {fixed[1]} pixels (args.img_size), not {image_size}",
            f"choose --image-size {fixed[0]}, or remove img_size from the card's args",
        )
    if embed is None and hasattr(network, "num_prefix_tokens"):  # a tower of another library
        patch = getattr(network.get_submodule(_first_convolutions(network)[0]), "stride", None)
    side = max(patch) if isinstance(patch, tuple) else 0
    if side and image_size % side and not getattr(embed, "dynamic_img_pad", False):
        below = max(image_size // side, 1) * side
        raise CardError(
            f"image size {image_size} is not a multiple of the patch size of {card.name}, {side}",
            f"choose --image-size {below} or {below + side}",
        )


def adapt_channels(state: dict[str, Tensor], network: nn.Module, rule: str) -> None:
    """Make the first kernel fit one-channel input: its first input slice (WACV 2024, Q13) or the sum of its slices.

    With the sum, the output is the same as for three equal channels.
    """
    for name in (f"{place}.weight" for place in _first_convolutions(network)):
        kernel, wanted = state.get(name), network.get_parameter(name)
        if kernel is None or kernel.shape[1] == wanted.shape[1] or wanted.shape[1] != 1:
            continue
        state[name] = kernel[:, :1] if rule == "slice" else kernel.float().sum(dim=1, keepdim=True)


def _first_convolutions(network: nn.Module) -> tuple[str, ...]:
    first = getattr(network, "default_cfg", {}).get("first_conv") or ()
    return (first,) if isinstance(first, str) else tuple(first)
