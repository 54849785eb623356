"""Schedules of learning rates, for one or many candidates: linear warm-up, then plateau or cosine."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from medbench.cards.recipes import DinoPretrain, Recipe

FLOOR = 1e-8
"""Where the warm-up starts (WACV 2024 code), and the smallest change that torch's plateau rule makes."""

Value = TypeVar("Value", float, NDArray[np.float64])


def warmup(
    base: NDArray[np.float64], step: int, steps: int, *, overshoot: bool = False, ahead: int = 0
) -> NDArray[np.float64]:
    """Return the learning rates of `base` (any shape) at `step`, counting from 0.

    The ramp is linear per step, from 1e-8 to `base` after `steps` increments. Step 0 has made `ahead` of them: none, as
    in MAE and DINO, or one, as in the published code of WACV 2024. With `overshoot` the ramp makes one increment too
    many and ends at base * (1 + 1/steps), as that code does.
    """
    if steps == 0:
        return base
    done = min(step + ahead, steps + 1 if overshoot else steps)
    return FLOOR + (base - FLOOR) * (done / steps)


def warmup_steps(steps: int, settings: Recipe | DinoPretrain) -> int:
    """Return the length of the warm-up in steps, for epochs of `steps` steps."""
    return settings.warmup_steps if settings.warmup_steps is not None else settings.warmup_epochs * steps


def cosine(start: Value, end: float, step: int, steps: int) -> Value:
    """Return the value at `step`, from 0, of half a cosine from `start` to `end`, which step `steps` reaches."""
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * min(step / max(steps, 1), 1.0)))


def rate_at(base: NDArray[np.float64], step: int, steps: int, settings: Recipe) -> NDArray[np.float64]:
    """Return the learning rates of `base` (any shape) at `step`, from 0, for epochs of `steps` steps.

    Linear warm-up, then `base`, as in the code of WACV 2024; or half a cosine down to `settings.min_rate` at the last
    step (Loshchilov and Hutter, 2017), per step and with a first step of almost no rate, as in MAE and RETFound. By
    epoch, epochs 0 and 1 have `base`, and epoch e has the cosine at (e - 1) / epochs.
    `Plateau` is not part of it.
    """
    warm = warmup_steps(steps, settings)
    ramp = warmup(base, step, warm, overshoot=settings.warmup_overshoot, ahead=0 if settings.cosine else 1)
    if not settings.cosine or step < warm:
        return ramp
    if settings.cosine_by == "epoch":
        return cosine(base, settings.min_rate, max(step // steps - 1, 0), settings.epochs)
    return cosine(base, settings.min_rate, step - warm, settings.epochs * steps - warm)


@dataclass
class Plateau:
    """torch's ReduceLROnPlateau (relative threshold, no cooldown), for an array of candidates.

    Attributes:
        shape: Shape of the candidates.
        factor: A rate is multiplied by it at each plateau.
        patience: Epochs without improvement before that.
        threshold: Smallest relative gain over the best value that counts as an improvement.
        sign: -1 if a lower metric is better (mode min), else 1.
        scale: Product of the factors so far, (shape).
        best: Best value so far times `sign`, (shape).
    """

    shape: tuple[int, ...]
    factor: float
    patience: int
    threshold: float
    sign: int = 1
    scale: NDArray[np.float64] = field(init=False)
    best: NDArray[np.float64] = field(init=False)
    bad: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.scale = np.ones(self.shape)
        self.best = np.full(self.shape, -np.inf)
        self.bad = np.zeros(self.shape, dtype=np.int64)

    def step(self, metric: NDArray[np.float64], base: NDArray[np.float64]) -> None:
        """Update `scale` after an epoch.

        Args:
            metric: Validation metric of the epoch, (shape); NaN never improves.
            base: The rates before any division, (shape).
        """
        gain = self.sign * metric
        better = gain > self.best * (1 + self.sign * self.threshold)
        self.best = np.where(better, gain, self.best)
        self.bad = np.where(better, 0, self.bad + 1)
        cut = self.bad > self.patience
        change = base * self.scale * (1 - self.factor)
        self.scale = np.where(cut & (change > FLOOR), self.scale * self.factor, self.scale)
        self.bad = np.where(cut, 0, self.bad)
