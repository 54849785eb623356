"""The hue against Pillow's way by its mode HSV."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from medbench.data.prepared.hue import turn_hue


def by_pillow(picture: Image.Image, turn: int) -> NDArray[np.uint8]:
    hue, saturation, value = picture.convert("HSV").split()
    hue = hue.point([(k + turn) % 256 for k in range(256)])
    return np.asarray(Image.merge("HSV", (hue, saturation, value)).convert("RGB"))


def test_every_colour_is_pillows() -> None:
    colours = np.empty((32, 256, 256, 3), np.uint8)
    colours[..., 1], colours[..., 2] = np.ogrid[:256, :256]
    for red in range(0, 256, 32):
        colours[..., 0] = np.arange(red, red + 32)[:, None, None]
        picture = Image.fromarray(colours.reshape(-1, 256, 3))
        assert (np.asarray(turn_hue(picture, 25)) == by_pillow(picture, 25)).all()


@pytest.mark.parametrize("turn", [0, -1, 1, 12, -25, 85, 127, -127])
def test_every_turn_is_pillows(turn: int) -> None:
    picture = Image.fromarray(np.random.default_rng(turn + 127).integers(0, 256, (300, 200, 3), dtype=np.uint8))
    assert (np.asarray(turn_hue(picture, turn)) == by_pillow(picture, turn)).all()
