"""Loads a model: card and weights file to a frozen encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from medbench.cards import ModelCard, find_model, find_protocol
from medbench.cards.resolve import native, resolve
from medbench.errors import MedbenchError, unknown
from medbench.models.weights.locate import WeightsFile, locate

if TYPE_CHECKING:
    from medbench.models.encoder import Encoder


def load_model(
    name: str | Path | ModelCard,
    weights: str | Path | WeightsFile | None = None,
    image_size: int | None = None,
    in_chans: int = 3,
    preset: str = "paper",
    *,
    protocol: str = "linear-frozen",
    channel_rule: str | None = None,
    library: str | None = None,
    pooled: str | None = None,
    transform: Literal["protocol", "native"] = "protocol",
    units: int | None = None,
    device: str = "cpu",
) -> Encoder:
    """Build an encoder and load its weights strictly.

    Args:
        name: Name of a card, a card file, or a card.
        weights: None for the official file, a path, or `random`.
        image_size: Side of the square input; None: the card's.
        in_chans: 1 or 3.
        preset: A preset of the protocol's card, such as `paper` or `fixed`. It sets the transform, the channel rule
            (how a three-channel kernel is used on one-channel images; WACV 2024, Q13), and changes to the model's card.
        protocol: The protocol whose card has the preset.
        channel_rule: `slice`, `sum` or `repeat`; None: the preset's.
        library: Another library of the card that builds the same network.
        pooled: Another pooled feature: one of the card's `alternatives`, or a general rule (`cls`, `mean`, …).
        transform: The protocols' preprocessing, or the model's own (`native`).
        units: Number of units to keep, from the first on; None: all. The others are removed with their parameters.
        device: Device for the encoder.

    Raises:
        CardError: The card is unknown, does not fit its network, or has no such library or feature; the protocol has
            no such preset.
        WeightsError: The file is missing, damaged, unsafe or for another architecture.
    """
    from medbench.models.build import build
    from medbench.models.encoder import Encoder

    settings = resolve(find_protocol(protocol), preset, "", {})
    if in_chans not in (1, 3):
        raise MedbenchError(f"in_chans {in_chans}: images have 1 or 3 channels", "give 1 for grey, 3 for RGB")
    rule = channel_rule or settings.channel_rule
    if rule not in ("slice", "sum", "repeat"):
        raise unknown("channel rule", rule, ("slice", "sum", "repeat"))
    card = (name if isinstance(name, ModelCard) else find_model(str(name))).resolved(preset, library, pooled)
    size = card.input.size if image_size is None else image_size
    if size < 1:
        raise MedbenchError(
            f"image size {size}: an image has at least one pixel", f"{card.name} takes {card.input.size}"
        )
    file = weights if isinstance(weights, WeightsFile) else locate(card, str(weights) if weights is not None else None)
    network = build(card, file, size, in_chans, rule)
    settings = native(settings.model_copy(update={"transform": transform}), card)
    return Encoder(card, file, network, size, in_chans, settings, units).to(device)
