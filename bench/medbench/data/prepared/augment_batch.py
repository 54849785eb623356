"""Augmented views of many images at once, on any device, equal to Pillow's bit for bit.

Resizing is Pillow's arithmetic in integers. The jitter is Pillow's arithmetic in float32, one rounded operation after
the other, so no device may round otherwise; the hue is looked up in the tables of `hue`. Tests compare each view with
`augment`. This is for a GPU whose loader processes cannot keep up: they then only copy pixels and draw numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medbench.data.prepared.augment import BRIGHTNESS, CONTRAST, HUE, SATURATION, Draw, turn_of
from medbench.data.prepared.hue import CENTRE, DIFFERENCES, tables

BITS = 22  # fractional bits of Pillow's weights
LUMA = (19595, 38470, 7471)  # weights of red, green and blue in Pillow's grey, in 1 / 65536
STEPS = 4
AT_ONCE = 1 << 25
"""Stored pixels whose views are made together; they need about 1.2 GB (measured on a CPU)."""


@dataclass(frozen=True)
class Undrawn:
    """A batch whose views are still to be made: `to` makes them on a device.

    Attributes:
        images: (b, s, s, c) uint8, as stored.
        draws: What is drawn for each.
        size: Side of the views.
    """

    images: Tensor
    draws: tuple[Draw, ...]
    size: int

    def __len__(self) -> int:
        return len(self.draws)

    def __getitem__(self, at: slice) -> Undrawn:
        """Return a part of the batch."""
        return Undrawn(self.images[at], self.draws[at], self.size)

    def pin_memory(self) -> Undrawn:
        """Return the same batch in memory that a GPU reads directly; torch's loaders call this."""
        return Undrawn(self.images.pin_memory(), self.draws, self.size)

    def to(self, device: torch.device, non_blocking: bool = False) -> Tensor:
        """Return the views on a device, (b, size, size, c) uint8."""
        return augment_batch(self.images.to(device, non_blocking=non_blocking), self.draws, self.size)


def augment_batch(images: Tensor, draws: Sequence[Draw], size: int) -> Tensor:
    """Return one view of each image, on the images' device.

    Args:
        images: (b, s, s, c) uint8, c = 1 or 3.
        draws: What is drawn for each; no box is larger than the view.
        size: Side of the views.

    Returns:
        (b, size, size, c) uint8.
    """
    together = max(1, AT_ONCE // images[0, ..., 0].numel()) if len(images) else 1
    views = images.new_empty(len(images), size, size, images.shape[-1])
    for at in range(0, len(images), together):
        part = slice(at, at + together)
        views[part] = _views(images[part], draws[part], size)
    return views


def _views(images: Tensor, draws: Sequence[Draw], size: int) -> Tensor:
    views = _resized(images, draws, size)
    jitters = {i: draw.jitter for i, draw in enumerate(draws) if draw.jitter is not None}
    for place in range(STEPS):
        for step in (BRIGHTNESS, CONTRAST, SATURATION, HUE):
            due = [i for i, jitter in jitters.items() if jitter.steps[place : place + 1] == (step,)]
            if due:
                at = torch.tensor(due).to(views.device, non_blocking=True)
                views[at] = _jittered(views[at], step, [jitters[i].factors[step] for i in due])
    return views


def _resized(images: Tensor, draws: Sequence[Draw], size: int) -> Tensor:
    """Crop, resize and flip: a pass along the rows and one along the columns, each rounded to 8 bits."""
    boxes = np.array([draw.box for draw in draws]).reshape(-1, 4)
    flips = np.array([(draw.horizontal, draw.vertical) for draw in draws]).reshape(-1, 2)
    across, weights = _taps(boxes[:, 0], boxes[:, 2], size, flips[:, 0])
    down, heights = _taps(boxes[:, 1], boxes[:, 3], size, flips[:, 1])
    device, side = images.device, images.shape[1]
    number = torch.arange(len(images), device=device)[:, None, None]
    lines = torch.arange(side, device=device)[None, :, None]
    columns = torch.arange(size, device=device)[None, None]
    # Sums are below 2**31: weights are at least 0 and sum up to 2**22.
    total = torch.full((len(images), side, size, images.shape[-1]), 1 << (BITS - 1), dtype=torch.int32, device=device)
    for tap, weight in zip(_on(across, device), _on(weights, device), strict=True):
        total += images[number, lines, tap[:, None]] * weight[:, None, :, None]
    narrow = (total >> BITS).to(torch.uint8)
    total = torch.full((len(images), size, size, images.shape[-1]), 1 << (BITS - 1), dtype=torch.int32, device=device)
    for tap, weight in zip(_on(down, device), _on(heights, device), strict=True):
        total += narrow[number, tap[:, :, None], columns] * weight[:, :, None, None]
    return (total >> BITS).to(torch.uint8)


def _on(values: NDArray[np.integer], device: torch.device) -> Tensor:
    return torch.from_numpy(values).to(device, non_blocking=True)


def _taps(
    start: NDArray[np.int64], length: NDArray[np.int64], size: int, flipped: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return Pillow's bilinear weights for enlarging `length` pixels from `start` on to `size`.

    Returns:
        Positions of the two pixels of each new one, (2, b, size), and their weights in 1 / 2**22. The new pixels are
        in reverse order where `flipped`.
    """
    centre = (np.arange(size) + 0.5) * (length / size)[:, None]
    first = np.maximum((centre - 0.5).astype(np.int64), 0)  # Pillow also cuts towards 0
    second = first + 1
    share = np.stack([np.maximum(1 - abs(near - centre + 0.5), 0) for near in (first, second)])
    share[1] *= second < length[:, None]
    weights = (0.5 + share / share.sum(axis=0) * (1 << BITS)).astype(np.int32)
    places = start[:, None] + np.stack([first, np.minimum(second, length[:, None] - 1)])
    for values in (places, weights):
        values[:, flipped] = values[:, flipped, ::-1]
    return places, weights


def _jittered(views: Tensor, step: int, factors: Sequence[float]) -> Tensor:
    if step == HUE:
        return _turned(views, [turn_of(shift) for shift in factors])
    if step == BRIGHTNESS:
        base = torch.zeros((), device=views.device)
    else:
        base = _grey(views)
        if step == CONTRAST:
            n = base[0].numel()
            base = (2 * base.sum(dim=(1, 2, 3), keepdim=True) + n) // (2 * n)  # the mean, halves up
    factor = torch.tensor(factors, dtype=torch.float32).to(views.device, non_blocking=True)[:, None, None, None]
    # Pillow's blend. Two operations: a fused one would round once less.
    return ((views - base.float()) * factor + base).clamp_(0, 255).to(torch.uint8)


def _grey(views: Tensor) -> Tensor:
    """Return Pillow's grey of RGB, (b, h, w, 1) int64; grey views as they are."""
    if views.shape[-1] == 1:
        return views.long()
    red, green, blue = (views[..., k : k + 1].long() * LUMA[k] for k in range(3))
    return (red + green + blue + (1 << 15)) >> 16


def _turned(views: Tensor, turns: Sequence[int]) -> Tensor:
    """Turn the hue of each view: `hue.turn_hue` for many views at once."""
    hues, depths, drops = _tables(views.device)
    red, green, blue = (views[..., k].int() for k in range(3))
    high = torch.maximum(torch.maximum(red, green), blue)
    spread = high - torch.minimum(torch.minimum(red, green), blue)
    turn = torch.tensor(turns, dtype=torch.int32).to(views.device, non_blocking=True)[:, None, None]
    hue = (hues[(red - blue) * DIFFERENCES + (green - blue) + CENTRE] + turn) % 256
    depth = depths[high * 256 + spread]
    bands = [((high + 0.5) - drop[hue] * depth).to(torch.uint8) for drop in drops]
    return torch.stack(bands, dim=-1)


@functools.cache
def _tables(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    made = tables()
    hues, depths, drops = (torch.tensor(values) for values in (made.hue, made.depth, made.drop))
    return hues.int().to(device), depths.to(device), drops.to(device)
