"""One model on groups of test images, such as women and men: how far a metric is apart, and whether it could be chance.

The gap is the best group minus the worst. For two groups its interval is that of a difference. For more, the pair with
the largest difference is found on the same images, so that an interval of this pair alone would be too high. Each end
is chosen to hold for all pairs instead: the upper end is the largest upper end of any pair's own interval, since the
true best and the true worst group are one of the pairs. The lower end is the largest lower end of any pair, with the
quantile of the largest deviation of all pairs (as Tukey's range test has it) in place of that of one pair. Each end is
passed in at most 2.5 % of test splits, and mostly in fewer (`tests/benchmarks/subgroups.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from medbench.metrics.scores import Array, Ints
from medbench.metrics.weighted_ranking import AT_ONCE, Weights
from medbench.seeding import generator
from medbench.stats.bootstrap import DRAWS, LEVEL, Draws
from medbench.stats.deviates import NORMAL
from medbench.stats.jackknife import Term
from medbench.stats.paired import SLACK, difference
from medbench.stats.resampling import Design, design, rarest


@dataclass(frozen=True)
class Gap:
    """The group with the highest number minus the one with the lowest.

    Attributes:
        value: The difference, 0 or more.
        low: Lower end of its 95 % interval. Of two groups it may be below 0: then the order of the two is not sure.
        high: Upper end.
        highest: Place of the group with the highest number.
        lowest: Place of the group with the lowest number.
    """

    value: float
    low: float
    high: float
    highest: int
    lowest: int


def group_design(targets: NDArray[np.generic], member: Ints, patients: NDArray[np.generic] | None = None) -> Design:
    """Return the design of a bootstrap of all groups: each is drawn within its own strata, as it would be alone.

    If a patient has images in several groups, patients are drawn within strata of all groups together.

    Args:
        targets: (n,) class numbers, or (n, c) zeros and ones.
        member: (n,) group of each image, from 0.
        patients: (n,) patient of each image, who is drawn as a whole; None: images are drawn.
    """
    if patients is not None and in_several(member, patients):
        return design(targets, patients)
    unit, strata, units = np.zeros(len(member), np.int64), [], 0
    for group in range(int(member.max()) + 1):
        rows = np.flatnonzero(member == group)
        own = design(targets[rows], None if patients is None else patients[rows])
        unit[rows] = own.member + units
        strata += [part + units for part in own.strata]
        units += own.units
    return Design(unit, tuple(strata))


def gap(terms: Sequence[Term], plan: Design, seed: int = 0, level: float = LEVEL) -> Gap:
    """Return the gap of two or more groups.

    Args:
        terms: The metric of each group, all on the same draws (`bootstrap.evaluate_many`).
        plan: The design of the draws (`group_design`).
        seed: Of the draws.
        level: Share of test splits whose interval contains the true gap; of three groups or more, at least.
    """
    means = [float(term.split.mean()) for term in terms]
    highest, lowest = int(np.argmax(means)), int(np.argmin(means))
    value = means[highest] - means[lowest]
    if len(terms) == 2:
        own = difference(terms[highest], terms[1 - highest], plan, seed).interval(level)
        return Gap(value, own.low, own.high, highest, 1 - highest)
    pairs = [difference(one, two, plan, seed) for one, two in combinations(terms, 2)]
    return Gap(value, *_ends(pairs, level), highest, lowest)


def _ends(pairs: Sequence[Draws], level: float) -> tuple[float, float]:
    """Return the ends of the interval of the largest of several differences, without their signs."""
    intervals = [pair.interval(level) for pair in pairs]
    deviations = np.stack([pair.values - pair.value for pair in pairs])
    deviations = deviations[:, np.isfinite(deviations).all(axis=0)]
    if deviations.shape[1] < 2:
        return math.nan, math.nan
    spread = deviations.std(axis=1, ddof=1, keepdims=True)
    most = np.abs(np.divide(deviations, spread, out=np.zeros_like(deviations), where=spread > 0)).max(axis=0)
    share = (1 + level) / 2
    factor = float(np.quantile(most, share)) / NORMAL.inv_cdf(share)
    high = max(max(one.high, -one.low) for one in intervals)
    low = max(abs(pair.value) - factor * (own.high - own.low) / 2 for pair, own in zip(pairs, intervals, strict=True))
    return max(low, 0.0), high


def permutation_p(
    values: Callable[[Weights], Array],
    member: Ints,
    targets: NDArray[np.generic],
    patients: NDArray[np.generic] | None = None,
    permutations: int = DRAWS,
    seed: int = 0,
) -> float:
    """Return the p of "within a class, it does not matter in which group a patient is", by moving patients at random.

    Patients whose images are all in one group move as a whole, among the patients with the same class (of several, the
    rarest). If a patient's images are in several groups, they change places within this patient and class. So groups
    keep their sizes and their classes, and a gap that comes from more or fewer ill patients alone is not significant.
    p is (1 + number of permutations with a gap at least as large) / (1 + permutations), as in `paired.permutation`.

    Args:
        values: (n, b) weights of the images -> (b,) metric; nan where undefined.
        member: (n,) group of each image, from 0.
        targets: (n,) class numbers, or (n, c) zeros and ones.
        patients: (n,) patient of each image; None: images are moved.
        permutations: How many.
        seed: Of the permutations.

    Returns:
        p; nan if a group's metric is undefined, or no class has patients of two groups.
    """
    groups = range(int(member.max()) + 1)

    def gaps(labels: Ints) -> Array:
        found = np.stack([values((labels == group).astype(np.float32)) for group in groups])
        return np.asarray(found.max(axis=0) - found.min(axis=0))

    moves = _Moves(member, targets, patients)
    own = float(gaps(member[:, None])[0])
    if math.isnan(own) or not moves.possible:
        return math.nan
    moved = np.concatenate([gaps(labels) for labels in moves.drawn(permutations, seed)])
    known = moved[~np.isnan(moved)]
    return float(1 + np.sum(known >= own - SLACK)) / (1 + len(known))


def in_several(member: Ints, patients: NDArray[np.generic]) -> int:
    """Return the number of patients with images in several groups."""
    pairs = np.unique(np.column_stack([np.unique(patients, return_inverse=True)[1], member]), axis=0)
    return int((np.bincount(pairs[:, 0]) > 1).sum())


class _Moves:
    """What changes places: whole patients, and the images of patients with several groups; each within its block.

    Args:
        member, targets, patients: As for `permutation_p`.
    """

    def __init__(self, member: Ints, targets: NDArray[np.generic], patients: NDArray[np.generic] | None) -> None:
        unit = design(targets, patients, stratified=False).member
        u = int(unit.max()) + 1
        least, most = np.full(u, member.max()), np.zeros(u, np.int64)
        np.minimum.at(least, unit, member)
        np.maximum.at(most, unit, member)
        whole, loose = np.flatnonzero(least == most), np.flatnonzero((least < most)[unit])
        kinds = np.column_stack([unit[loose], targets[loose]]).astype(np.int64)
        inner = np.unique(kinds, axis=0, return_inverse=True)[1].ravel()
        strata = rarest(targets, unit, u)
        self.labels = np.concatenate([least[whole], member[loose]])
        self.blocks = np.concatenate([strata[whole], strata.max() + 1 + inner])
        place = np.zeros(u, np.int64)
        place[whole] = np.arange(len(whole))
        self.at = place[unit]
        self.at[loose] = len(whole) + np.arange(len(loose))

    @property
    def possible(self) -> bool:
        """Whether a move changes anything."""
        pairs = np.unique(np.column_stack([self.blocks, self.labels]), axis=0)
        return len(pairs) > len(np.unique(self.blocks))

    def drawn(self, permutations: int, seed: int) -> Iterator[Ints]:
        """Yield the groups of the images after the moves, in parts of (n, b)."""
        source = generator("subgroups", "permutation", seed)
        home = np.argsort(self.blocks, kind="stable")
        at_once = max(1, AT_ONCE // max(len(self.at), 1))
        for start in range(0, permutations, at_once):
            b = min(at_once, permutations - start)
            order = np.argsort(self.blocks[:, None] + source.random((len(self.blocks), b)), axis=0)
            moved = np.empty((len(self.labels), b), np.int64)
            moved[home] = self.labels[order]
            yield moved[self.at]
