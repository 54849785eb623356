"""Augmented views by the recipe of WACV 2024, section 3: the random draws of a view, and the view made with Pillow.

The steps are those of torchvision's transforms on Pillow images: random resized crop (bilinear), vertical flip,
horizontal flip, colour jitter. `augment_batch` makes the same views of many images at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from medbench.cards.recipes import Augment
from medbench.data.prepared.hue import turn_hue

CROP_TRIES = 10
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)

Step: TypeAlias = Callable[[Image.Image, float], Image.Image]


@dataclass(frozen=True)
class Jitter:
    """What is drawn for a colour jitter.

    Attributes:
        steps: The steps in order; each is BRIGHTNESS, CONTRAST, SATURATION or HUE.
        factors: The factor of each of the four steps; for HUE, the share of the circle by which the hue is turned.
    """

    steps: tuple[int, ...]
    factors: tuple[float, ...]


@dataclass(frozen=True)
class Draw:
    """What is drawn for one view of an image.

    Attributes:
        box: (left, top, width, height) of the crop in the stored image.
        vertical: Whether top and bottom are exchanged.
        horizontal: Whether left and right are exchanged.
        jitter: The colour jitter; None: there is none.
    """

    box: tuple[int, int, int, int]
    vertical: bool
    horizontal: bool
    jitter: Jitter | None


def centre_offset(side: int, size: int) -> int:
    """Return where a centre crop of `size` pixels begins in `side` pixels; an odd rest is rounded as in torchvision.

    Raises:
        ValueError: `size` is larger.
    """
    if size > side:
        raise ValueError(f"cannot crop {size} pixels from images of {side}")
    return round((side - size) / 2)


def draw_view(side: int, channels: int, size: int, recipe: Augment, rng: np.random.Generator) -> Draw:
    """Return what is drawn for a view of `size` pixels of a stored image of `side` pixels and 1 or 3 channels."""
    offset = centre_offset(side, size)
    left, top, width, height = crop_box(size, recipe.scale, recipe.ratio, rng)
    vertical = rng.random() < recipe.vertical_flip
    horizontal = rng.random() < recipe.horizontal_flip
    jitter = draw_jitter(recipe, channels, rng) if rng.random() < recipe.jitter else None
    return Draw((left + offset, top + offset, width, height), vertical, horizontal, jitter)


def augment(image: NDArray[np.uint8], size: int, recipe: Augment, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return one augmented view.

    Args:
        image: (s, s, c) uint8 of the store, s >= size.
        size: Side of the result.
        recipe: Its numbers.
        rng: Source of the draws.

    Returns:
        (size, size, c) uint8.
    """
    drawn = draw_view(image.shape[0], image.shape[-1], size, recipe, rng)
    left, top, width, height = drawn.box
    crop = image[top : top + height, left : left + width]
    picture = Image.fromarray(np.ascontiguousarray(crop[..., 0] if crop.shape[-1] == 1 else crop))
    if (width, height) != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    if drawn.vertical:
        picture = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    if drawn.horizontal:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if drawn.jitter is not None:
        picture = jittered(picture, drawn.jitter)
    return np.asarray(picture).reshape(size, size, -1)


def crop_box(
    side: int, scale: tuple[float, float], ratio: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Draw (left, top, width, height) of a random resized crop from a square, by torchvision's algorithm.

    An area and a ratio (uniform in its logarithm) are drawn until the crop fits; after ten tries it is the centre
    crop of the nearest allowed ratio. With the paper's numbers, 11.4 % of draws on a square end with the full image.
    """
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for _ in range(CROP_TRIES):
        area = side * side * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(low, high))
        width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < width <= side and 0 < height <= side:
            return int(rng.integers(side - width + 1)), int(rng.integers(side - height + 1)), width, height
    width = side if ratio[1] >= 1 else round(side * ratio[1])
    height = side if ratio[0] <= 1 else round(side / ratio[0])
    return (side - width) // 2, (side - height) // 2, width, height


def draw_jitter(recipe: Augment, channels: int, rng: np.random.Generator) -> Jitter:
    """Draw the factors of brightness, contrast, saturation and hue, and the order of these steps.

    The same number of draws is made for grey pictures, which have neither saturation nor hue.
    """
    order = rng.permutation(4).tolist()
    ranges = (recipe.brightness, recipe.contrast, recipe.saturation)
    factors = [rng.uniform(max(0.0, 1 - width), 1 + width) for width in ranges]
    factors.append(rng.uniform(-recipe.hue, recipe.hue))
    last = CONTRAST if channels == 1 else HUE if recipe.hue else SATURATION
    return Jitter(tuple(step for step in order if step <= last), tuple(factors))


def colour_jitter(picture: Image.Image, recipe: Augment, rng: np.random.Generator) -> Image.Image:
    """Return a picture with a colour jitter drawn from `rng`."""
    return jittered(picture, draw_jitter(recipe, len(picture.getbands()), rng))


def jittered(picture: Image.Image, jitter: Jitter) -> Image.Image:
    """Change brightness, contrast, saturation and hue as drawn."""
    steps: tuple[Step, ...] = (_brightness, _contrast, _saturation, _hue)
    for step in jitter.steps:
        picture = steps[step](picture, jitter.factors[step])
    return picture


def _brightness(picture: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Brightness(picture).enhance(factor)


def _contrast(picture: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Contrast(picture).enhance(factor)


def _saturation(picture: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Color(picture).enhance(factor)


def _hue(picture: Image.Image, shift: float) -> Image.Image:
    return turn_hue(picture, turn_of(shift))


def turn_of(shift: float) -> int:
    """Return a turn of the hue by `shift` of the circle as an integer number of 1/255, truncated as in torchvision."""
    return int(shift * 255)
