"""The steps of an adapter's training: which samples each takes, and at which learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medbench.seeding import generator
from medbench.training.schedule import cosine

WARM_RATE = 1e-5
"""Of the first epoch under `warm`, as in the CoOp family's configurations (Dassl)."""

Schedule = Literal["warm", "epoch", "step", "constant"]
"""How the rate falls: `warm`: one epoch at 1e-5, then half a cosine per epoch that does not reach 0, since it starts
late and still has the length of all epochs (Dassl); `epoch` and `step`: half a cosine; `constant`."""


@dataclass(frozen=True)
class Steps:
    """All steps of one training.

    Attributes:
        rows: Of each step, the samples that it takes, (b,).
        shares: Of each step, its learning rate as a share of the greatest one; None: the warm-up's rate.
    """

    rows: list[Tensor]
    shares: list[float | None]

    def __len__(self) -> int:
        return len(self.rows)

    def rates(self, greatest: float) -> list[float]:
        """Return the learning rate of each step."""
        return [WARM_RATE if share is None else greatest * share for share in self.shares]


def steps_of(orders: Sequence[NDArray[np.integer]], size: int, schedule: Schedule) -> Steps:
    """Return the steps of a training.

    Args:
        orders: Of each epoch, its samples in order, (n,).
        size: Samples in a step; the last one of an epoch can have fewer.
        schedule: How the rate falls.
    """
    parts = [torch.split(torch.from_numpy(np.ascontiguousarray(order)), size) for order in orders]
    places = [epoch for epoch, part in enumerate(parts) for _ in part]
    shares = [_share(schedule, epoch, len(parts), step, len(places)) for step, epoch in enumerate(places)]
    return Steps([rows for part in parts for rows in part], shares)


def _share(schedule: Schedule, epoch: int, epochs: int, step: int, steps: int) -> float | None:
    if schedule == "constant":
        return 1.0
    if schedule == "step":
        return cosine(1.0, 0.0, step, steps)
    if schedule == "epoch":
        return cosine(1.0, 0.0, epoch, epochs)
    return cosine(1.0, 0.0, epoch - 1, epochs) if epoch else None


def drawn_orders(
    name: str, seed: int, epochs: int, n: int, *, views: int = 1, once: bool = False
) -> list[NDArray[np.integer]]:
    """Return the samples of each epoch in order: rows view * n + image, (n,), each image once in a view drawn anew.

    Args:
        name: Of the draws.
        seed: The run's.
        epochs: Their number.
        n: Number of images.
        views: Number of views in the bank.
        once: Whether all epochs have the first one's order (FLAIR).
    """
    found: list[NDArray[np.integer]] = []
    for epoch in range(1 if once else epochs):
        source = generator(name, "order", seed, epoch)
        found.append(source.integers(views, size=n) * n + source.permutation(n))
    return found * epochs if once else found
