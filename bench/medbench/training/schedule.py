"""Learning-rate schedules for many candidates at once: linear warm-up, then division at the plateau."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medbench.cards.recipes import Recipe

FLOOR = 1e-8
"""Where the warm-up starts (WACV 2024 code), and the least change that torch's plateau rule makes."""


def warmup(base: NDArray[np.float64], step: int, steps: int, *, overshoot: bool = False) -> NDArray[np.float64]:
    """Return the learning rates of `base` (any shape) at `step`, counting from 0.

    The ramp is linear per step from 1e-8 and reaches `base` at step `steps`. With `overshoot` it makes one increment
    too many and ends at base * (1 + 1/steps), as the published code of WACV 2024 does.
    """
    if steps == 0:
        return base
    done = min(step, steps + 1 if overshoot else steps)
    return FLOOR + (base - FLOOR) * (done / steps)


def warmup_steps(steps: int, settings: Recipe) -> int:
    """Return the length of the warm-up in steps, an epoch having `steps`."""
    return settings.warmup_steps if settings.warmup_steps is not None else settings.warmup_epochs * steps


def rate_at(base: NDArray[np.float64], step: int, steps: int, settings: Recipe) -> NDArray[np.float64]:
    """Return the learning rates of `base` (any shape) at `step`, from 0, of epochs of `steps`; plateaus are apart.

    Linear warm-up, then `base`, or half a cosine down to `settings.min_rate` at the last step (Loshchilov and Hutter,
    2017; per step, as MAE and RETFound have it).
    """
    warm = warmup_steps(steps, settings)
    ramp = warmup(base, step, warm, overshoot=settings.warmup_overshoot)
    if not settings.cosine or step < warm:
        return ramp
    share = (step - warm) / max(settings.epochs * steps - warm, 1)
    return settings.min_rate + (base - settings.min_rate) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


@dataclass
class Plateau:
    """torch's ReduceLROnPlateau (mode max, relative threshold, no cooldown), for an array of candidates.

    Attributes:
        shape: Shape of the candidates.
        factor: What a rate is multiplied by.
        patience: Bad epochs that are let pass.
        threshold: Relative improvement over the best that counts as one.
    """

    shape: tuple[int, ...]
    factor: float
    patience: int
    threshold: float
    scale: NDArray[np.float64] = field(init=False)
    best: NDArray[np.float64] = field(init=False)
    bad: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.scale = np.ones(self.shape)
        self.best = np.full(self.shape, -np.inf)
        self.bad = np.zeros(self.shape, dtype=np.int64)

    def step(self, metric: NDArray[np.float64], base: NDArray[np.float64]) -> None:
        """Take the validation metric of one epoch (shape `shape`; NaN never improves) and the undivided rates."""
        better = metric > self.best * (1 + self.threshold)
        self.best = np.where(better, metric, self.best)
        self.bad = np.where(better, 0, self.bad + 1)
        cut = self.bad > self.patience
        change = base * self.scale * (1 - self.factor)
        self.scale = np.where(cut & (change > FLOOR), self.scale * self.factor, self.scale)
        self.bad = np.where(cut, 0, self.bad)
