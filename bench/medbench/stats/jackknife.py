"""How much each unit and each training seed changes a number, and from that the shape of its bootstrap distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medbench.metrics.scores import Array
from medbench.stats.resampling import Design


@dataclass(frozen=True)
class Term:
    """One model's metric per training seed: on the split, on each draw, and on the split without each block.

    Attributes:
        split: (s,) values.
        drawn: (b, s) values; all models of one design and seed have the same draws.
        lacking: Per stratum of the design, (g, s) values without each of its g blocks.
    """

    split: Array
    drawn: Array
    lacking: tuple[Array, ...]

    def minus(self, other: Term) -> Term:
        """Return the difference for each seed."""
        pairs = zip(self.lacking, other.lacking, strict=True)
        return Term(self.split - other.split, self.drawn - other.drawn, tuple(a - b for a, b in pairs))

    def averaged(self) -> Term:
        """Return the mean over the seeds as if of one seed, so that seeds are not drawn."""
        return Term(self.split.mean(keepdims=True), _mean(self.drawn), tuple(_mean(a) for a in self.lacking))

    def negative(self) -> Term:
        """Return the values with their signs changed."""
        return Term(-self.split, -self.drawn, tuple(-a for a in self.lacking))


def mean_of(terms: Sequence[Term]) -> Term:
    """Return the mean of several numbers for each seed; all have the same design, draws and seeds."""
    lacking = zip(*(term.lacking for term in terms), strict=True)
    split, drawn = (np.mean([getattr(term, name) for term in terms], axis=0) for name in ("split", "drawn"))
    return Term(split, drawn, tuple(np.mean(parts, axis=0) for parts in lacking))


def _mean(values: Array) -> Array:
    """Return (k, 1) means over the seeds of (k, s) values."""
    return np.asarray(values.mean(axis=1, keepdims=True))


@dataclass(frozen=True)
class Shape:
    """The shape of a bootstrap distribution, by the jackknife.

    Attributes:
        acceleration: Skewness of the influences: the `a` of BCa.
        spread: Standard error of the number over the deviation of its draws, which is too small if there are few units.
        freedom: Degrees of freedom of that standard error (Satterthwaite).
    """

    acceleration: float = 0.0
    spread: float = 1.0
    freedom: float = math.inf


@dataclass(frozen=True)
class _Part:
    """One source of variance: a stratum's units, or the seeds of a term.

    Attributes:
        variance: What it adds to the variance of the number, estimated without bias.
        drawn: What it adds to the variance of the draws.
        freedom: Degrees of freedom of the estimate.
        squares: Sum of (influence / number of units)².
        cubes: Sum of (influence / number of units)³.
    """

    variance: float
    drawn: float
    freedom: int
    squares: float
    cubes: float


def shape(terms: Sequence[Term], plan: Design) -> Shape:
    """Return the shape of the sum of the terms' means over seeds.

    Units and seeds are crossed. With variance components A of the units, B of the seeds and AB of the two together,
    the mean over u units and s seeds has the variance A/u + B/s + AB/us. Drawing both counts AB three times (Owen, The
    pigeonhole bootstrap, Annals of Applied Statistics 2007), and drawing m of m gives (m - 1) / m of a component.
    """
    parts = [_units(terms, k, len(units)) for k, units in enumerate(plan.strata)]
    parts += [_seeds(term) for term in terms if len(term.split) > 1]
    variance, drawn, squares = (sum(getattr(part, name) for part in parts) for name in ("variance", "drawn", "squares"))
    if not (variance > 0 and drawn > 0 and squares > 0):  # all values are equal, or some undefined
        return Shape()
    freedom = variance**2 / sum(part.variance**2 / part.freedom for part in parts if part.freedom)
    return Shape(sum(part.cubes for part in parts) / (6 * squares**1.5), math.sqrt(variance / drawn), freedom)


def _units(terms: Sequence[Term], k: int, m: int) -> _Part:
    """Return the part of stratum `k`, of `m` units: the influences of its blocks on the sum of the terms' means."""
    influence = sum(_influence(term, k).mean(axis=1) for term in terms)
    g = len(terms[0].lacking[k])
    if g < 2:
        return _Part(0.0, 0.0, 0, 0.0, 0.0)
    squares, cubes = float((influence**2).sum()) / g**2, float((influence**3).sum()) / g**3
    variance = squares * g / (g - 1)
    return _Part(variance, variance * (m - 1) / m, m - 1, squares, cubes)


def _seeds(term: Term) -> _Part:
    """Return the part of a term's seeds, without their interaction with the units."""
    s = len(term.split)
    influence = term.split - term.split.mean()
    squares, cubes = float((influence**2).sum()) / s**2, float((influence**3).sum()) / s**3
    mixed = 0.0
    for k, values in enumerate(term.lacking):
        own = _influence(term, k)
        mixed += float(((own - own.mean(axis=1, keepdims=True)) ** 2).sum()) / (len(values) * s) ** 2
    return _Part(max(squares - mixed, 0.0) * s / (s - 1), squares + mixed, s - 1, squares, cubes)


def _influence(term: Term, k: int) -> Array:
    """Return (g, s): the influence of each block of stratum `k`, by leaving it out; 0 if that makes it undefined."""
    values = term.lacking[k]
    known = ~np.isnan(values)
    mean = np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, (len(values) - 1) * (mean - values), 0.0)
