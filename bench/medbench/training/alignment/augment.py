"""FLAIR's augmentation, on a batch on its device: flip, small rotation and change of size, brightness and contrast.

The published code calls kornia, whose draws are not known; here the draws of each image have their own seed.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from medbench.cards.recipes import FlairPretrain

GREY = (0.299, 0.587, 0.114)


def draws(settings: FlairPretrain, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the draws of one image, (5,): flip (1 or -1), angle in radians, size, brightness, contrast."""
    chance, where = rng.random(3), rng.random(4)
    low, high = settings.scale
    moved, lit = chance[1] < settings.affine, chance[2] < settings.jitter
    return np.array(
        [
            -1 if chance[0] < settings.horizontal_flip else 1,
            math.radians(settings.degrees) * (2 * where[0] - 1) if moved else 0.0,
            low + (high - low) * where[1] if moved else 1.0,
            1 + settings.brightness * (2 * where[2] - 1) if lit else 1.0,
            1 + settings.contrast * (2 * where[3] - 1) if lit else 1.0,
        ],
        np.float32,
    )


def augmented(images: Tensor, drawn: Tensor) -> Tensor:
    """Return augmented images (b, c, s, s) on [0, 1].

    An image is flipped, then rotated and resized about its centre (bilinear, black outside), then its values are
    multiplied by the brightness, and mixed with its mean grey by the contrast; both are cut to [0, 1].

    Args:
        images: (b, c, s, s) on [0, 1].
        drawn: The `draws` of the images, (b, 5).
    """
    flip, angle, size, brightness, contrast = drawn.to(images.dtype).unbind(dim=1)
    cos, sin, nothing = angle.cos() / size, angle.sin() / size, torch.zeros_like(angle)
    # From a place in the result to one in the image: turned back, divided by the size, then mirrored.
    rows = [torch.stack([flip * cos, flip * sin, nothing], 1), torch.stack([-sin, cos, nothing], 1)]
    places = affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    found = grid_sample(images, places, align_corners=False)
    found = (found * brightness[:, None, None, None]).clamp(0, 1)
    weights = found.new_tensor(GREY if found.shape[1] == 3 else (1.0,))
    mean = (found * weights[:, None, None]).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    return (contrast[:, None, None, None] * found + (1 - contrast[:, None, None, None]) * mean).clamp(0, 1)
