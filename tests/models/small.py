"""Fresh tiny encoders of several families, for tests of what is added to them or trained in them."""

from __future__ import annotations

import copy
import functools

import open_clip
import pytest
import torch
from torch import Tensor

from medbench.models.encoder import Encoder
from medbench.models.load import load_model

from .families import TINY, drawn, shrunk


@functools.cache
def _made(name: str, library: str | None, arch: str | None) -> Encoder:
    if name.startswith("toy"):
        return load_model(name, weights="random")
    with pytest.MonkeyPatch.context() as patch:
        for tiny, vision in TINY.items():
            config = {"embed_dim": 12, "vision_cfg": vision, "text_cfg": {}}
            patch.setitem(open_clip.factory._MODEL_CONFIGS, tiny, config)
        card = shrunk(name, library, arch)
        size = 56 if "patch14" in card.arch else 64
        found = load_model(card, weights="random", image_size=size)
    drawn(found.network)
    return found


def small(name: str, library: str | None = None, arch: str | None = None) -> Encoder:
    """Return a new copy of a tiny encoder, frozen; of a shipped card, no parameter is at its first value."""
    return copy.deepcopy(_made(name, library, arch))


def images(encoder: Encoder, n: int = 2) -> Tensor:
    """Return n images of noise for an encoder, (n, 3, h, w)."""
    side = encoder.image_size
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(n))
