"""From stored pixels to what a network takes: clean images, augmented views, normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset

from medbench.cards.recipes import Augment
from medbench.data.images.corruption import Corruption
from medbench.data.images.damage import damage
from medbench.data.images.decode import convert
from medbench.data.images.resize import fitted
from medbench.data.images.square import SquareRule
from medbench.data.prepared.augment import augment, centre_offset, draw_view
from medbench.data.prepared.augment_batch import Undrawn
from medbench.data.prepared.store import Store, take

Rows: TypeAlias = NDArray[np.integer[Any]]


def centre_crop(batch: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return the centre (b, size, size, c) of images (b, s, s, c) as a view.

    Raises:
        ValueError: The images are smaller than `size`.
    """
    offset = centre_offset(batch.shape[1], size)
    return batch[:, offset : offset + size, offset : offset + size]


def normalise(batch: Tensor, mean: Sequence[float], std: Sequence[float], side: int | None = None) -> Tensor:
    """Return (batch / 255 - mean) / std on the batch's device; smaller images are in the middle of zeros.

    Each step is rounded to float32, as torchvision's `ToTensor` and `Normalize` do on the CPU. All divisors are tensors
    on the device: CUDA divides by a plain number by multiplying with its reciprocal, which rounds otherwise.

    Args:
        batch: (b, h, w, c) uint8.
        mean: One number per channel, on [0, 1].
        std: One number per channel, above 0.
        side: Side of the result; None: that of the images. An odd pixel of the margin is on the right and below.

    Returns:
        (b, c, h, w) float32, or (b, c, side, side).
    """
    x = batch.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    full, centre, spread = (_on(values, batch) for values in ([255.0], mean, std))
    x = x.div_(full).sub_(centre).div_(spread)
    if side is None or x.shape[-1] == side:
        return x
    before = (side - x.shape[-1]) // 2
    return pad(x, (before, side - x.shape[-1] - before) * 2)


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
        centre_offset(store.images.shape[1], size)
        self.store, self.rows, self.size = store, np.asarray(rows), size

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Tensor:
        """Return (size, size, c) uint8 for one index, (b, size, size, c) for a list of them."""
        return self.__getitems__(index) if isinstance(index, (list, range)) else self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> Tensor:
        """Return (b, size, size, c) uint8."""
        return torch.from_numpy(take(centre_crop(self.store.images, self.size), self.rows[np.asarray(indices)]))


class Corrupted(Clean):
    """Clean images, each then corrupted, in the size that the network sees.

    Attributes:
        how: The corruption.
        ids: (n,) id of each image, which with the corruption's seed decides what is drawn.
    """

    def __init__(self, store: Store, rows: Rows, size: int, how: Corruption, ids: Sequence[str]) -> None:
        super().__init__(store, rows, size)
        self.how, self.ids = how, list(ids)

    def __getitems__(self, indices: Sequence[int]) -> Tensor:
        """Return (b, size, size, c) uint8."""
        batch = super().__getitems__(indices).numpy()
        for image, index in zip(batch, indices, strict=True):
            image[:] = damage(image, self.how, self.ids[index])
        return torch.from_numpy(batch)


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


class Drawn(Clean):
    """Augmented images of any view: an index is a (view, position) pair.

    The draws depend only on (seed, view, position in the store).
    """

    def __init__(self, store: Store, rows: Rows, size: int, recipe: Augment, seed: int) -> None:
        super().__init__(store, rows, size)
        self.recipe, self.seed = recipe, seed

    def __getitems__(self, indices: Sequence[tuple[int, int]]) -> Tensor:  # type: ignore[override]
        """Return (b, size, size, c) uint8."""
        found = np.empty((len(indices), self.size, self.size, self.store.images.shape[-1]), np.uint8)
        for place, (view, index) in enumerate(indices):
            row = int(self.rows[index])
            found[place] = augment(self.store.images[row], self.size, self.recipe, self._rng(view, row))
        return torch.from_numpy(found)

    def undrawn(self, indices: Sequence[tuple[int, int]]) -> Undrawn:
        """Return what `__getitems__` makes its views of: the stored images and the draws."""
        rows = self.rows[np.array([index for _, index in indices], np.intp)]
        side, channels = self.store.images.shape[2:]
        draws = [
            draw_view(side, channels, self.size, self.recipe, self._rng(view, int(row)))
            for (view, _), row in zip(indices, rows, strict=True)
        ]
        return Undrawn(torch.from_numpy(take(self.store.images, rows)), tuple(draws), self.size)

    def _rng(self, view: int, row: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence((self.seed, view, row))))


class Views(Drawn):
    """Augmented images of one view."""

    def __init__(self, store: Store, rows: Rows, size: int, recipe: Augment, seed: int, view: int) -> None:
        super().__init__(store, rows, size, recipe, seed)
        self.view = view

    def __getitems__(self, indices: Sequence[int]) -> Tensor:  # type: ignore[override]
        """Return (b, size, size, c) uint8."""
        return super().__getitems__([(self.view, index) for index in indices])

    def undrawn(self, indices: Sequence[int]) -> Undrawn:  # type: ignore[override]
        """Return what `__getitems__` makes its views of: the stored images and the draws."""
        return super().undrawn([(self.view, index) for index in indices])


class Late(Dataset[Undrawn]):
    """The images of `Drawn` or `Views`; their views are made on the device to which they are sent.

    Attributes:
        images: The data set.
    """

    def __init__(self, images: Drawn) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Any) -> Undrawn:
        """Return the batch of a list of indices."""
        return self.__getitems__(index)

    def __getitems__(self, indices: Sequence[Any]) -> Undrawn:
        """Return a batch whose `to` makes the views."""
        return self.images.undrawn(indices)


class Still(Clean):
    """Clean images in place of augmented ones: an index is a (view, position) pair, and the view has no effect."""

    def __getitems__(self, indices: Sequence[tuple[int, int]]) -> Tensor:  # type: ignore[override]
        """Return (b, size, size, c) uint8."""
        return super().__getitems__([index for _, index in indices])


class Transform:
    """The evaluation transform: a Pillow image as one normalised input, bit for bit as by way of the store.

    Attributes:
        rule: How the image becomes a square.
        size: Side of the centre crop.
        mean: Per channel, on [0, 1].
        std: Per channel.
    """

    def __init__(self, rule: SquareRule, size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        centre_offset(rule.size, size)
        self.rule, self.size, self.mean, self.std = rule, size, tuple(mean), tuple(std)

    def __call__(self, image: Image.Image) -> Tensor:
        """Return (c, size, size) float32. An image file opened with Pillow is turned upright and brought to 8 bits."""
        upright = convert(image, self.rule.channels)
        rule = replace(self.rule, size=min(max(upright.size), self.size)) if self.rule.fit == "centre" else self.rule
        square = np.array(fitted(upright, rule)).reshape(1, *rule.shape)
        crop = np.ascontiguousarray(centre_crop(square, min(self.size, rule.size)))  # a copy: read-only pixels warn
        return normalise(torch.from_numpy(crop), self.mean, self.std, self.size)[0]

    def __repr__(self) -> str:
        return f"Transform({self.rule}, size={self.size}, mean={self.mean}, std={self.std})"
