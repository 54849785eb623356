"""From stored pixels to what a network takes: clean images, augmented views, normalisation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from torch import Tensor
from torch.utils.data import Dataset

from medbench.cards.recipes import Augment
from medbench.data.images.decode import convert
from medbench.data.images.resize import fitted
from medbench.data.images.square import SquareRule
from medbench.data.prepared.store import Store, take

CROP_TRIES = 10

Rows: TypeAlias = NDArray[np.integer[Any]]
Jitter: TypeAlias = Callable[[Image.Image, float], Image.Image]


def centre_crop(batch: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return the centre (b, size, size, c) of images (b, s, s, c) as a view; where the rest is odd, as torchvision.

    Raises:
        ValueError: The images are smaller than `size`.
    """
    offset = _offset(batch.shape[1], size)
    return batch[:, offset : offset + size, offset : offset + size]


def _offset(side: int, size: int) -> int:
    if size > side:
        raise ValueError(f"cannot crop {size} pixels from images of {side}")
    return round((side - size) / 2)


def normalise(batch: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return (batch / 255 - mean) / std on the batch's device.

    Each step is rounded to float32, as torchvision's `ToTensor` and `Normalize` do on the CPU. All divisors are tensors
    on the device: CUDA divides by a plain number by multiplying with its reciprocal, which rounds otherwise.

    Args:
        batch: (b, h, w, c) uint8.
        mean: One number per channel, on [0, 1].
        std: One number per channel, above 0.

    Returns:
        (b, c, h, w) float32.
    """
    x = batch.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    full, centre, spread = (_on(values, batch) for values in ([255.0], mean, std))
    return x.div_(full).sub_(centre).div_(spread)


def _on(values: Sequence[float], batch: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=batch.device).view(1, -1, 1, 1)


class Clean(Dataset[Tensor]):
    """Stored images as they are, cropped to the centre.

    Attributes:
        store: The pixels.
        rows: (n,) positions in the store.
        size: Side of the crop.
    """

    def __init__(self, store: Store, rows: Rows, size: int) -> None:
        _offset(store.images.shape[1], size)
        self.store, self.rows, self.size = store, np.asarray(rows), size

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Tensor:
        """Return (size, size, c) uint8 for one index, (b, size, size, c) for a list of them."""
        return self.__getitems__(index) if isinstance(index, (list, range)) else self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> Tensor:
        """Return (b, size, size, c) uint8."""
        return torch.from_numpy(take(centre_crop(self.store.images, self.size), self.rows[np.asarray(indices)]))


class InTurn(Dataset[Tensor]):
    """The images of several data sets of one size, one set after the other.

    Attributes:
        parts: The data sets.
        starts: (k,) number of images before each.
        ends: (k,) number of images up to the end of each.
    """

    def __init__(self, parts: Sequence[Dataset[Tensor]]) -> None:
        self.parts = list(parts)
        lengths = np.array([len(part) for part in self.parts])  # type: ignore[arg-type]
        self.ends = np.cumsum(lengths)
        self.starts = self.ends - lengths

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: Any) -> Tensor:
        """Return (size, size, c) uint8 for one index, (b, size, size, c) for a list of them."""
        return self.__getitems__(index) if isinstance(index, (list, range)) else self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> Tensor:
        """Return (b, size, size, c) uint8."""
        wanted = np.asarray(indices)
        owner = np.searchsorted(self.ends, wanted, side="right")
        order = np.argsort(owner, kind="stable")
        pieces = [self.parts[k][(wanted[owner == k] - self.starts[k]).tolist()] for k in np.unique(owner)]
        return torch.cat(pieces)[torch.from_numpy(np.argsort(order))]


class Views(Clean):
    """Augmented images. The draws depend only on (seed, view, position in the store)."""

    def __init__(self, store: Store, rows: Rows, size: int, recipe: Augment, seed: int, view: int) -> None:
        super().__init__(store, rows, size)
        self.recipe, self.seed, self.view = recipe, seed, view

    def __getitems__(self, indices: Sequence[int]) -> Tensor:
        """Return (b, size, size, c) uint8."""
        rows = self.rows[np.asarray(indices)].tolist()
        views = np.empty((len(rows), self.size, self.size, self.store.images.shape[-1]), np.uint8)
        for place, row in enumerate(rows):
            rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((self.seed, self.view, row))))
            views[place] = augment(self.store.images[row], self.size, self.recipe, rng)
        return torch.from_numpy(views)


class Drawn(Clean):
    """Augmented images of any view: an index is a (view, position) pair, and names the draw as in `Views`."""

    def __init__(self, store: Store, rows: Rows, size: int, recipe: Augment, seed: int) -> None:
        super().__init__(store, rows, size)
        self.recipe, self.seed = recipe, seed

    def __getitems__(self, indices: Sequence[tuple[int, int]]) -> Tensor:  # type: ignore[override]
        """Return (b, size, size, c) uint8."""
        views = {view for view, _ in indices}
        found = torch.empty((len(indices), self.size, self.size, self.store.images.shape[-1]), dtype=torch.uint8)
        for view in views:
            places = [i for i, (own, _) in enumerate(indices) if own == view]
            drawn = Views(self.store, self.rows, self.size, self.recipe, self.seed, view)
            found[places] = drawn.__getitems__([indices[i][1] for i in places])
        return found


class Still(Clean):
    """Clean images in the place of augmented ones: an index is a (view, position) pair, the view being all one."""

    def __getitems__(self, indices: Sequence[tuple[int, int]]) -> Tensor:  # type: ignore[override]
        """Return (b, size, size, c) uint8."""
        return super().__getitems__([index for _, index in indices])


def augment(image: NDArray[np.uint8], size: int, recipe: Augment, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return one augmented view by the recipe of WACV 2024, section 3.

    Centre crop to `size`, random resized crop (bilinear), vertical flip, horizontal flip, colour jitter: what
    torchvision's transforms of these names do to a Pillow image, with all draws from `rng`.

    Args:
        image: (s, s, c) uint8 of the store, s >= size.
        size: Side of the result.
        recipe: Its numbers.
        rng: Source of the draws.

    Returns:
        (size, size, c) uint8.
    """
    offset = _offset(image.shape[0], size)
    left, top, width, height = crop_box(size, recipe.scale, recipe.ratio, rng)
    left, top = left + offset, top + offset
    crop = image[top : top + height, left : left + width]
    picture = Image.fromarray(np.ascontiguousarray(crop[..., 0] if crop.shape[-1] == 1 else crop))
    if (width, height) != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    if rng.random() < recipe.vertical_flip:
        picture = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    if rng.random() < recipe.horizontal_flip:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < recipe.jitter:
        picture = colour_jitter(picture, recipe, rng)
    return np.asarray(picture).reshape(size, size, -1)


def crop_box(
    side: int, scale: tuple[float, float], ratio: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Draw (left, top, width, height) of a random resized crop from a square, by torchvision's algorithm.

    An area and a ratio (uniform in its logarithm) are drawn until the crop fits; after ten tries it is the centre
    crop of the nearest allowed ratio. On a square with the paper's numbers 11.4 % of draws end so, with the whole.
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


def colour_jitter(picture: Image.Image, recipe: Augment, rng: np.random.Generator) -> Image.Image:
    """Change brightness, contrast, saturation and hue by factors drawn from `rng`, in an order drawn from it.

    The same number of draws is made for grey pictures, which have neither saturation nor hue.
    """
    order = rng.permutation(4)
    ranges = (recipe.brightness, recipe.contrast, recipe.saturation)
    factors = [rng.uniform(max(0.0, 1 - width), 1 + width) for width in ranges]
    factors.append(rng.uniform(-recipe.hue, recipe.hue))
    steps: tuple[Jitter, ...] = (_brightness, _contrast, _saturation, _hue)
    applied = order[order < 2] if picture.mode == "L" else order[order < (4 if recipe.hue else 3)]
    for step in applied:
        picture = steps[step](picture, factors[step])
    return picture


def _brightness(picture: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Brightness(picture).enhance(factor)


def _contrast(picture: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Contrast(picture).enhance(factor)


def _saturation(picture: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Color(picture).enhance(factor)


def _hue(picture: Image.Image, shift: float) -> Image.Image:
    """Turn the hue by `shift` of the circle, cut to whole 1/255 of it and wrapped at 256, as torchvision does."""
    hue, saturation, value = picture.convert("HSV").split()
    turn = int(shift * 255)
    hue = hue.point([(k + turn) % 256 for k in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


class Transform:
    """The evaluation transform: a Pillow image as one normalised input, bit for bit as by way of the store.

    Attributes:
        rule: How the image becomes a square.
        size: Side of the centre crop.
        mean: Per channel, on [0, 1].
        std: Per channel.
    """

    def __init__(self, rule: SquareRule, size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        _offset(rule.size, size)
        self.rule, self.size, self.mean, self.std = rule, size, tuple(mean), tuple(std)

    def __call__(self, image: Image.Image) -> Tensor:
        """Return (c, size, size) float32. An image file opened with Pillow is turned upright and brought to 8 bits."""
        square = np.array(fitted(convert(image, self.rule.channels), self.rule)).reshape(1, *self.rule.shape)
        crop = np.ascontiguousarray(centre_crop(square, self.size))  # of a copy: torch warns of read-only pixels
        return normalise(torch.from_numpy(crop), self.mean, self.std)[0]

    def __repr__(self) -> str:
        return f"Transform({self.rule}, size={self.size}, mean={self.mean}, std={self.std})"
