"""What a bootstrap draws: patients or images within strata. A draw is how often each image is in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medbench.metrics.scores import Ints
from medbench.metrics.weighted_ranking import AT_ONCE, Weights
from medbench.seeding import generator

BLOCKS = 100
"""Blocks that a jackknife leaves out one by one, in each stratum; with fewer units, each unit is a block."""


@dataclass(frozen=True)
class Design:
    """The units that are drawn, and the strata within which they are drawn.

    Attributes:
        member: (n,) unit of each image, from 0 to u - 1.
        strata: The units of each stratum. Each unit is in one stratum.
    """

    member: Ints
    strata: tuple[Ints, ...]

    @property
    def units(self) -> int:
        """Number of units: patients if they are known, else images."""
        return sum(len(units) for units in self.strata)

    def weights(self, draws: int, seed: int) -> Iterator[Weights]:
        """Yield the draws in parts of (n, b), with replacement; each has as many units of a stratum as the split."""
        source = generator("bootstrap", "units", seed)
        n, u = len(self.member), self.units
        at_once = max(1, AT_ONCE // max(n, 1))
        for start in range(0, draws, at_once):
            b = min(at_once, draws - start)
            counts = np.zeros((u, b), np.float32)
            for units in self.strata:
                m = len(units)
                cells = source.integers(0, m, (m, b)) * b + np.arange(b)
                counts[units] = np.bincount(cells.ravel(), minlength=m * b).reshape(m, b)
            yield counts if u == n else counts[self.member]

    @property
    def blocks(self) -> list[int]:
        """Number of blocks that the jackknife makes of each stratum."""
        return [min(len(units), BLOCKS) for units in self.strata]

    def lacking(self, seed: int) -> Iterator[Weights]:
        """Yield the jackknife's samples in parts of (n, g), stratum by stratum; each lacks one block of units."""
        source = generator("bootstrap", "blocks", seed)
        block = np.zeros(self.units, np.int64)
        first = 0
        for units, g in zip(self.strata, self.blocks, strict=True):
            block[source.permutation(units)] = first + np.arange(len(units)) % g
            first += g
        at_once = max(1, AT_ONCE // max(len(self.member), 1))
        for start in range(0, first, at_once):
            left = np.arange(start, min(start + at_once, first))
            yield (block[self.member][:, None] != left).astype(np.float32)


def design(targets: NDArray[np.generic], groups: NDArray[np.generic] | None = None, stratified: bool = True) -> Design:
    """Return the design of a bootstrap over a test split.

    A unit is a group, or an image if there are no groups. Its stratum is the rarest class among its images: the class
    that the fewest units have. For multilabel tasks it is the rarest finding, and units without findings are a stratum,
    too. So a draw has as many units of each stratum as the split, and rarely lacks a class. By the most common class, a
    patient with one rare lesion among many common ones would count as common, and many draws would lack the rare class.
    One unit alone has no spread, so a stratum of one unit is joined with the next smallest.

    Args:
        targets: (n,) class numbers, or (n, c) zeros and ones.
        groups: (n,) group of each image; None: each image is a unit.
        stratified: Draw within strata; False: from all units at once.
    """
    n = len(targets)
    member = np.arange(n)
    if groups is not None:
        _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
        member = np.argsort(np.argsort(first))[inverse]  # in order of first occurrence, so groups of one are the images
    u = int(member.max()) + 1 if n else 0
    if not stratified or not n:
        return Design(member, (np.arange(u),))
    stratum = rarest(targets, member, u)
    strata = sorted((np.flatnonzero(stratum == k) for k in np.unique(stratum)), key=len)
    while len(strata) > 1 and len(strata[0]) == 1:
        joined = np.sort(np.concatenate(strata[:2]))
        strata = sorted([joined, *strata[2:]], key=len)
    return Design(member, tuple(strata))


def rarest(targets: NDArray[np.generic], member: Ints, units: int) -> Ints:
    """Return (u,) the rarest class among the images of each unit; of units without findings, the number of findings."""
    holds = _holds(targets, member, units)
    rarity = np.where(holds, holds.sum(axis=0), len(member) + 1)
    found: Ints = np.where(holds.any(axis=1), rarity.argmin(axis=1), holds.shape[1])
    return found


def _holds(targets: NDArray[np.generic], member: Ints, units: int) -> NDArray[np.bool_]:
    """Return (u, c): which classes the images of each unit have."""
    if targets.ndim == 2:
        holds = np.zeros((units, targets.shape[1]), bool)
        np.logical_or.at(holds, member, targets != 0)
        return holds
    classes, number = np.unique(targets, return_inverse=True)
    holds = np.zeros((units, len(classes)), bool)
    holds[member, number] = True
    return holds
