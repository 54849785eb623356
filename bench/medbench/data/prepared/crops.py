"""Multi-crop views for self-supervision: two global and some local crops of an image, each varied by itself (DINO)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps
from torch import Tensor
from torch.utils.data import Dataset

from medbench.cards.recipes import Augment, DinoPretrain
from medbench.data.prepared.augment import colour_jitter, crop_box
from medbench.data.prepared.store import Store
from medbench.data.prepared.transforms import Rows

GLOBAL = 2
"""Crops that the teacher sees."""
RATIO = (3 / 4, 4 / 3)
RADII = (0.1, 2.0)
"""Of the blur, in pixels."""
THRESHOLD = 128
"""Grey level from which on a solarized crop is inverted."""


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """Crops of stored images. The draws depend only on (seed, epoch, position in the store, crop).

    Attributes:
        store: The pixels; crops are taken from the whole square, margin included.
        rows: (n,) positions in the store.
        size: Side g of the global crops.
        recipe: Its numbers.
        seed: Of the draws.
    """

    def __init__(self, store: Store, rows: Rows, size: int, recipe: DinoPretrain, seed: int) -> None:
        self.store, self.rows, self.size, self.recipe, self.seed = store, np.asarray(rows), size, recipe, seed
        names = ("brightness", "contrast", "saturation", "hue")
        self.jitter = Augment(**{name: getattr(recipe, name) for name in names})

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> tuple[Tensor, Tensor]:
        """Return the crops of a list of (epoch, index) pairs."""
        return self.__getitems__(index)

    def __getitems__(self, indices: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """Return global crops (2, b, g, g, c) and local ones (l, b, s, s, c), uint8, of (epoch, index) pairs."""
        recipe, channels = self.recipe, self.store.images.shape[-1]
        large = np.empty((GLOBAL, len(indices), self.size, self.size, channels), np.uint8)
        small = np.empty((recipe.local_crops, len(indices), recipe.local_size, recipe.local_size, channels), np.uint8)
        for place, (epoch, index) in enumerate(indices):
            row = int(self.rows[index])
            for number, found in enumerate((*large[:, place], *small[:, place])):
                rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((self.seed, epoch, row, number))))
                found[:] = self._crop(self.store.images[row], number, found.shape[0], rng)
        return torch.from_numpy(large), torch.from_numpy(small)

    def _crop(self, image: NDArray[np.uint8], number: int, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return crop `number` of an image (s, s, c) as (size, size, c): 0 and 1 are global, the others local.

        Random resized crop, horizontal flip, colour jitter, grey, blur, and solarization of global crop 1:
        the steps of DINO's augmentation in their order, by Pillow, with all draws from `rng`.
        """
        recipe = self.recipe
        scale = recipe.global_scale if number < GLOBAL else recipe.local_scale
        left, top, width, height = crop_box(image.shape[0], scale, RATIO, rng)
        part = image[top : top + height, left : left + width]
        picture = Image.fromarray(np.ascontiguousarray(part[..., 0] if part.shape[-1] == 1 else part))
        picture = picture.resize((size, size), Image.Resampling[recipe.crop_interpolation.upper()])
        if rng.random() < recipe.horizontal_flip:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if rng.random() < recipe.jitter:
            picture = colour_jitter(picture, self.jitter, rng)
        if rng.random() < recipe.grey:
            picture = picture.convert("L").convert(picture.mode)
        if rng.random() < recipe.blur[min(number, GLOBAL)]:
            picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(*RADII)))
        if number == 1 and rng.random() < recipe.solarize:
            picture = ImageOps.solarize(picture, THRESHOLD)
        return np.asarray(picture).reshape(size, size, -1)
