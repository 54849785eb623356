"""The pixels of a corrupted image. They depend on the image, the corruption, its seed and the image's id alone.

Grey levels and sums are integers, or tables of 256 entries, so all machines make the same pixels; JPEG, resizing and
contrast are Pillow's. One image takes about 1 ms at 224 pixels: own code for motion and defocus, because convolutions
of scipy, scikit-image and torch take 10 to 100 ms. Own severities, because `medmnistc` draws from numpy's global
generator, pins scikit-image 0.23.2 and needs ImageMagick.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from medbench.data.images.corruption import SIDE, Corruption
from medbench.seeding import generator

Pixels = NDArray[np.uint8]
Way = Callable[[Pixels, float, np.random.Generator], Pixels]
LEVELS = np.arange(256)
MOST_SHORT = 256
"""Copies of an image whose sum fits into 16 bits: 256 of 255, and the half that rounds."""


def damage(image: Pixels, how: Corruption, sample: str) -> Pixels:
    """Return a corrupted image.

    All severities of a corruption draw the same for an image: the direction, the noise, the place. So damage grows with
    the severity.

    Args:
        image: (s, s, c) uint8, c = 1 or 3.
        how: The corruption.
        sample: Id of the image.

    Returns:
        (s, s, c) uint8.
    """
    return WAYS[how.name](image, how.strength, generator("corruption", how.name, how.seed, sample))


def _blur(image: Pixels, length: float, rng: np.random.Generator) -> Pixels:
    """The mean of copies along a line of `length` pixels, at least two: something moved. The direction is drawn."""
    side, channels = image.shape[1:]
    angle = rng.uniform(0, math.pi)
    copies = max(2, round(length * side / SIDE))
    reach = copies // 2 + 1
    kind = np.uint16 if copies <= MOST_SHORT else np.uint32  # the first is twice as fast
    wide = _padded(image, reach).astype(kind).reshape(side + 2 * reach, -1)
    total = np.full((side, side * channels), copies // 2, kind)
    for t in range(-(copies // 2), copies - copies // 2):
        top, left = reach + round(t * math.sin(angle)), (reach + round(t * math.cos(angle))) * channels
        total += wide[top : top + side, left : left + side * channels]
    return (total // kind(copies)).astype(np.uint8).reshape(image.shape)


def _defocus(image: Pixels, radius: float, rng: np.random.Generator) -> Pixels:
    """The mean over a disc of a radius of at least one pixel: the lens is out of focus."""
    side = image.shape[1]
    radius = max(1.0, radius * side / SIDE)
    reach = int(radius)
    sums = np.zeros((side + 2 * reach, side + 2 * reach + 1, image.shape[2]), np.uint32)
    np.cumsum(_padded(image, reach), axis=1, out=sums[:, 1:])
    halves = [int(math.sqrt(radius * radius - y * y)) for y in range(-reach, reach + 1)]
    n = sum(2 * half + 1 for half in halves)
    total = np.full(image.shape, n // 2, np.uint32)
    for top, half in enumerate(halves):
        total += sums[top : top + side, reach + half + 1 : reach + half + 1 + side]
        total -= sums[top : top + side, reach - half : reach - half + side]
    return (total // np.uint32(n)).astype(np.uint8)


def _noise(image: Pixels, deviation: float, rng: np.random.Generator) -> Pixels:
    """Normal noise of grey levels, the same in all channels."""
    drawn = rng.standard_normal((*image.shape[:2], 1), np.float32)
    return _levels(image + drawn * np.float32(255 * deviation))


def _jpeg(image: Pixels, quality: float, rng: np.random.Generator) -> Pixels:
    """Encoded and decoded by Pillow's JPEG encoder, which halves the resolution of colours."""
    file = io.BytesIO()
    _picture(image).save(file, "JPEG", quality=int(quality))
    with Image.open(file) as decoded:
        return np.asarray(decoded).reshape(image.shape)


def _brightness(image: Pixels, stops: float, rng: np.random.Generator) -> Pixels:
    """Grey levels times 2^stops or 2^-stops, drawn: over- or underexposed."""
    return _levels(LEVELS * 2.0 ** (_sign(rng) * stops))[image]


def _gamma(image: Pixels, exponent: float, rng: np.random.Generator) -> Pixels:
    """Grey levels, from 0 to 1, to the power of the exponent or one over it, drawn: another display curve."""
    return _levels(255 * (LEVELS / 255) ** (exponent ** _sign(rng)))[image]


def _contrast(image: Pixels, left: float, rng: np.random.Generator) -> Pixels:
    """Grey levels closer to the mean grey level of the image: haze, too much scatter."""
    return np.asarray(ImageEnhance.Contrast(_picture(image)).enhance(left)).reshape(image.shape)


def _downscale(image: Pixels, divisor: float, rng: np.random.Generator) -> Pixels:
    """Averaged down to a smaller side, then bilinearly up again: a sensor of fewer pixels."""
    side = image.shape[1]
    small = max(1, round(side / divisor))
    picture = _picture(image).resize((small, small), Image.Resampling.BOX)
    return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR)).reshape(image.shape)


def _occlusion(image: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """A black square at a drawn place: a marker, a shade, a lid. A larger one covers the smaller one."""
    side = image.shape[1]
    width = round(side * math.sqrt(share))
    top, left = (math.floor(place * (side - width)) for place in rng.random(2).tolist())
    found = image.copy()
    found[top : top + width, left : left + width] = 0
    return found


def _colour_cast(image: Pixels, gain: float, rng: np.random.Generator) -> Pixels:
    """Red times the square root of the gain and blue divided by it, or the reverse, drawn: another white balance."""
    red = math.sqrt(gain) ** _sign(rng)
    tables = np.stack([_levels(LEVELS * factor) for factor in (red, 1.0, 1 / red)])
    found: Pixels = tables[np.arange(3), image]
    return found


WAYS: dict[str, Way] = {
    "blur": _blur,
    "defocus": _defocus,
    "noise": _noise,
    "jpeg": _jpeg,
    "brightness": _brightness,
    "gamma": _gamma,
    "contrast": _contrast,
    "downscale": _downscale,
    "occlusion": _occlusion,
    "colour-cast": _colour_cast,
}


def _padded(image: Pixels, reach: int) -> Pixels:
    """Return an image with its border repeated on all sides."""
    return np.pad(image, ((reach, reach), (reach, reach), (0, 0)), "edge")


def _sign(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1


def _levels(values: NDArray[np.floating]) -> Pixels:
    """Return numbers as grey levels."""
    found: Pixels = np.rint(values).clip(0, 255).astype(np.uint8)
    return found


def _picture(image: Pixels) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image[..., 0] if image.shape[2] == 1 else image))
