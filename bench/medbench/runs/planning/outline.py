"""What a plan asks of a network before anything is computed; it is built without memory for its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medbench.cards import ModelCard, Settings
from medbench.cards.recipes.kinds import Kind

if TYPE_CHECKING:
    from torch import nn


def count_units(model: ModelCard) -> int:
    """Return the number of units of a model whose card does not tell."""
    from medbench.models.networks.units import units

    return len(units(_outline(model)))


def check_layers(model: ModelCard, settings: Settings) -> None:
    """Refuse to compare attention and MLP outputs of a network whose blocks have none.

    Raises:
        MedbenchError: There are none.
    """
    if getattr(settings, "layers", "") != "all" or getattr(settings, "second", None) is not None:
        return
    from medbench.features.layers import parts_of

    parts_of(_outline(model), model.name)


def together(model: ModelCard, settings: Settings, kind: Kind, world: int) -> tuple[int, int] | None:
    """Return the micro-batch (0: not set) and the number of processes if they change the result, else None.

    They do where batch norm is trained: it sees the images that are computed at once.
    """
    micro = getattr(settings, "micro_batch", None)
    if not kind.thaws or (micro is None and world == 1):
        return None
    from medbench.models.networks.units import batch_norms

    return (micro or 0, world) if batch_norms(_outline(model)) else None


def _outline(model: ModelCard) -> nn.Module:
    import torch

    from medbench.models.networks.builders import construct

    with torch.device("meta"):
        return construct(model, model.input.size, 3)
