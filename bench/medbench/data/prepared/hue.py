"""The hue of 8-bit images, turned exactly as Pillow does it by way of its mode HSV, in a third of the time.

Pillow computes hue and saturation of each pixel by divisions. Both depend on few numbers: the hue on which channel is
the largest, on the spread (largest minus smallest value) and on the difference of the other two channels; the
saturation on the largest value and the spread. So they are looked up in tables, which Pillow itself fills once. The way
back to RGB is Pillow's formula for all pixels at once. A test compares the result with Pillow's for all colours.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DIFFERENCES = 511  # -255..255
LEADING = 256 * DIFFERENCES  # entries of `Tables.hue` for each leading channel


@dataclass(frozen=True)
class Tables:
    """What Pillow's conversions between RGB and HSV compute.

    Attributes:
        hue: uint8 (3 * 256 * 511,): hue of leading channel k (0 red, 1 green, 2 blue; the first of equal ones), spread
            s and difference d of the next channel and the one after it, at `k * LEADING + s * 511 + d + 255`.
        saturation: float32 (256 * 256,): saturation / 255 of largest value v and spread s, at `v * 256 + s`.
        drop: float32 (3, 256): of each channel at each hue, the share of saturation * value by which it is below the
            value: 0 for the largest channel, 1 for the smallest.
    """

    hue: NDArray[np.uint8]
    saturation: NDArray[np.float32]
    drop: NDArray[np.float32]


@functools.cache
def tables() -> Tables:
    """Return the tables, made once in a process."""
    return Tables(_hues(), _saturations(), _drops())


def _hues() -> NDArray[np.uint8]:
    spread, difference = np.ogrid[:256, -255:256]
    low = 255 - spread
    colours = np.zeros((3, 256, DIFFERENCES, 3), np.uint8)
    for leading in range(3):
        colours[leading, ..., leading] = 255
        colours[leading, ..., (leading + 1) % 3] = low + np.clip(difference, 0, spread)
        colours[leading, ..., (leading + 2) % 3] = low + np.clip(-difference, 0, spread)
    return np.asarray(Image.fromarray(colours.reshape(-1, DIFFERENCES, 3)).convert("HSV"))[..., 0].ravel()


def _saturations() -> NDArray[np.float32]:
    high, spread = np.ogrid[:256, :256]
    colours = np.zeros((256, 256, 3), np.uint8)
    colours[..., 0] = high
    colours[..., 1:] = np.clip(high - spread, 0, None)[..., None]
    found = np.asarray(Image.fromarray(colours).convert("HSV"))[..., 1].ravel()
    return found.astype(np.float32) / np.float32(255)


def _drops() -> NDArray[np.float32]:
    turns = np.arange(256) * 6 / 255
    sector = np.floor(turns)
    rest = (turns - sector).astype(np.float32)
    zero, one = np.zeros_like(rest), np.ones_like(rest)
    red = [zero, rest, one, one, 1 - rest, zero]  # of each sixth of the circle
    at = sector.astype(int) % 6
    return np.stack([np.choose((at - shift) % 6, red) for shift in (0, 2, 4)])


def turn_hue(picture: Image.Image, turn: int) -> Image.Image:
    """Return an RGB picture whose hue is `turn` / 256 of the circle further: Pillow's values exactly."""
    made = tables()
    red, green, blue = (np.asarray(band) for band in picture.split())
    high = np.maximum(np.maximum(red, green), blue)
    spread = high - np.minimum(np.minimum(red, green), blue)
    r, g, b = (band.astype(np.int16) for band in (red, green, blue))
    not_red, not_green = red != high, green != high
    leading = not_red.view(np.uint8) + (not_red & not_green).view(np.uint8)
    at = leading.astype(np.int32)
    at <<= 8
    at += spread
    at *= DIFFERENCES
    at += np.where(not_red, np.where(not_green, r - g, b - r), g - b)
    at += 255
    hue = made.hue.take(at, mode="clip")  # all are within; `clip` alone does not check each
    hue += np.uint8(turn % 256)
    at = high.astype(np.int32)
    at <<= 8
    at += spread
    strength = made.saturation.take(at, mode="clip")
    places, value = hue.astype(np.intp), high.astype(np.float32)
    return Image.merge("RGB", [_band(drop, places, strength, value) for drop in made.drop])


def _band(
    drop: NDArray[np.float32], hue: NDArray[np.intp], strength: NDArray[np.float32], value: NDArray[np.float32]
) -> Image.Image:
    """Return one channel: round(value * (1 - saturation * drop)), halves up, each step in float32."""
    found = drop.take(hue, mode="clip")
    found *= strength
    np.subtract(np.float32(1), found, out=found)
    found *= value
    found += np.float32(0.5)
    return Image.fromarray(found.astype(np.uint8))
