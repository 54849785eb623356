"""Choosing which parameters of an encoder are trained, by their name or by their layer's type.

`networks.thaw` chooses by units. All these functions switch on gradients in a part of a frozen encoder; nothing else
decides what is trained, counted and kept.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from medbench.errors import CardError
from medbench.models.encoder import Encoder


def thaw_biases(encoder: Encoder) -> None:
    """Give gradients to the biases: parameters of one axis that are called `bias` or `…_bias`.

    Raises:
        CardError: There are none.
    """
    named = encoder.network.named_parameters()
    _thaw(encoder, (value for name, value in named if value.ndim == 1 and name.endswith(("_bias", ".bias"))), "biases")


def thaw_norms(encoder: Encoder) -> None:
    """Give gradients to the normalisation layers' own parameters.

    A layer is one of them if the name of its class contains "norm" (LayerNorm, BatchNorm2d, RMSNorm, …), because
    libraries have their own classes.

    Raises:
        CardError: There are none.
    """
    layers = (module for module in encoder.network.modules() if "norm" in type(module).__name__.lower())
    _thaw(encoder, (value for layer in layers for value in layer.parameters(recurse=False)), "normalisation parameters")


def _thaw(encoder: Encoder, chosen: Iterable[nn.Parameter], what: str) -> None:
    number = 0
    for value in chosen:
        value.requires_grad_(True)
        number += value.numel()
    if not number:
        raise CardError(f"{encoder.card.name} has no {what} to train", "run linear-frozen, lora or linear-unfrozen")
