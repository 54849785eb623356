"""A model's own preprocessing in place of the protocol's: `--set transform=native`."""

from __future__ import annotations

from typing import Any, TypeVar

from medbench.cards.model import ModelCard
from medbench.cards.settings import Settings

S = TypeVar("S", bound=Settings)


def native(settings: S, model: ModelCard) -> S:
    """Return the settings with the model's own way from an image to an input, if they ask for it.

    Its whole way: crop, resize, padding, and its mean and deviation. Whoever asks for it cannot change a part of it;
    settings that do not ask are returned as they are. To do it twice is to do it once.

    Args:
        settings: The protocol's.
        model: The card as resolved.
    """
    if settings.transform == "protocol":
        return settings
    own = model.input
    changes: dict[str, Any] = {
        "fit": own.fit,
        "interpolation": own.interpolation,
        "foreground": own.foreground,
        "resize_ratio": 1.0 if own.fit in ("canvas", "longest") else 1 / own.crop,
        "fill": [round(255 * value) for value in own.mean] if own.fit == "longest" else None,
        "normalise": "model",
        "draft": False,
    }
    return settings.model_copy(update=changes)
