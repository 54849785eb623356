"""Bootstrap draws on the scale of normal deviates, continued beyond the range in which draws can tell.

A thousand draws tell a share of 2 % well and one of 0.01 % not at all. So beyond the point that only a few draws pass,
the distribution goes on as a normal one with the draws' own standard deviation. The two parts meet without a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np

from medbench.metrics.scores import Array

NORMAL = NormalDist()


@dataclass(frozen=True)
class Deviates:
    """A distribution given by its draws: `quantile` and `range_of` are each other's inverse.

    Attributes:
        known: (b,) at least two draws, ascending.
        few: Draws on each side whose places count for nothing.
    """

    known: Array
    few: int = 1

    @cached_property
    def spread(self) -> float:
        """Standard deviation of the draws; 0 if all are equal."""
        return float(self.known.std(ddof=1)) if self.known[0] < self.known[-1] else 0.0

    @cached_property
    def _reach(self) -> float:
        """The deviate, at least 0, up to which the draws tell the distribution."""
        return -NORMAL.inv_cdf(min(self.few / (len(self.known) + 1), 0.5))

    def quantile(self, z: float) -> float:
        """Return the number at the normal deviate `z`."""
        inside = min(max(z, -self._reach), self._reach)
        return float(np.quantile(self.known, NORMAL.cdf(inside))) + (z - inside) * self.spread

    def range_of(self, point: float) -> tuple[float, float]:
        """Return the smallest and the largest deviate at which `point` stands; they differ where draws are equal."""
        low, high = (self.quantile(z) for z in (-self._reach, self._reach))
        if not low <= point <= high:
            if not self.spread:
                return (np.inf, np.inf) if point > high else (-np.inf, -np.inf)
            edge, end = (self._reach, high) if point > high else (-self._reach, low)
            z = edge + (point - end) / self.spread
            return z, z
        first, last = (int(np.searchsorted(self.known, point, side)) for side in ("left", "right"))
        places = (first, last - 1) if first < last else (self._between(first, point),) * 2
        one, two = (self._deviate(place / (len(self.known) - 1)) for place in places)
        return one, two

    def _between(self, after: int, point: float) -> float:
        """Return the place of a point between two draws, the second of which is draw `after`."""
        one, two = self.known[after - 1 : after + 1].tolist()
        return after - 1 + float((point - one) / (two - one))

    def _deviate(self, share: float) -> float:
        return -np.inf if share <= 0 else np.inf if share >= 1 else NORMAL.inv_cdf(share)
