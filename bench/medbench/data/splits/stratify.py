"""The seeded draw behind `stratified` and `grouped`: complete units go into splits, keeping class shares.

Own code instead of scikit-learn's, so that a split depends neither on the order of the rows nor on a library's version.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medbench.errors import DataError

log = logging.getLogger(__name__)

ATTEMPTS = 20
"""Draws tried until every class is in every split; groups of several classes can make one fail."""


@dataclass
class Units:
    """What is drawn: groups (or single samples), sorted by name.

    Attributes:
        names: Their names.
        of_row: (n,) unit of each sample.
        contents: Per unit, its non-empty classes as (class, count); the class after the last is "none of them".
        totals: Per class, the samples that hold it.
    """

    names: list[str]
    of_row: npt.NDArray[np.intp]
    contents: list[list[tuple[int, int]]]
    totals: list[int]


def draw(
    names: Sequence[str],
    hot: npt.NDArray[np.bool_],
    classes: Sequence[str],
    shares: dict[str, float],
    seed: int,
    *,
    where: str,
    strict: bool,
) -> npt.NDArray[np.object_]:
    """Assign every unit to one split, class by class from the rarest, where it fills the least filled split.

    The result depends on the names, the classes, the shares and the seed, not on the order of the rows. After Sechidis
    et al. 2011 (iterative stratification), with groups as units and the shortfall taken relative to each split's share.

    Args:
        names: Unit of each sample: its group, or its id.
        hot: (n, classes) which classes a sample holds.
        classes: Names, for messages.
        shares: Split -> share, summing to 1; a split with share 0 stays empty.
        seed: Of the order in which units of equal size are placed.
        where: The data set, for messages.
        strict: Whether every class must be in every split (single-label tasks). Otherwise rare classes may be absent
            from some, which metrics leave out and count.

    Returns:
        (n,) split of each sample.

    Raises:
        DataError: A class has fewer units than there are splits, or no draw puts every class into every split.
    """
    splits = [split for split, share in shares.items() if share > 0]
    units = _units(names, hot)
    rare = _too_rare(units, len(classes), len(splits))
    if rare:
        listed = ", ".join(f"{classes[index]} ({count})" for index, count in rare)
        if strict:
            raise DataError(
                f"{where}: fewer samples or groups than the {len(splits)} splits in class {listed}",
                "add samples, merge classes, or remove the class",
            )
        log.warning("%s: too few groups to be in every split: %s", where, listed)
    weights = [shares[split] for split in splits]
    for attempt in range(ATTEMPTS):
        placed = _place(units, weights, f"{seed}/{attempt}")
        if not strict or _covers(placed[units.of_row], hot, len(splits)):
            return np.array(splits, object)[placed[units.of_row]]
    raise DataError(
        f"{where}: no draw of complete groups puts every class into every split",
        "use a split file, or merge rare classes",
    )


def _units(names: Sequence[str], hot: npt.NDArray[np.bool_]) -> Units:
    units = sorted(set(names))
    number = {name: unit for unit, name in enumerate(units)}
    of_row = np.fromiter((number[name] for name in names), np.intp, len(names))
    full = np.column_stack([hot, ~hot.any(axis=1)])
    rows, held = np.nonzero(full)
    pairs, counts = np.unique(of_row[rows] * full.shape[1] + held, return_counts=True)
    contents: list[list[tuple[int, int]]] = [[] for _ in units]
    for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
        contents[pair // full.shape[1]].append((pair % full.shape[1], count))
    return Units(units, of_row, contents, full.sum(axis=0).tolist())


def _too_rare(units: Units, classes: int, splits: int) -> list[tuple[int, int]]:
    held = np.zeros(classes + 1, int)
    for content in units.contents:
        for index, _ in content:
            held[index] += 1
    return [(index, int(held[index])) for index in range(classes) if held[index] < splits]


def _covers(placed: npt.NDArray[np.intp], hot: npt.NDArray[np.bool_], splits: int) -> bool:
    return all(hot[placed == split].any(axis=0).all() for split in range(splits))


def shuffled(names: list[str], salt: str) -> list[int]:
    """Return the units in the order of the digests of their salted names.

    As good as random, and unlike a generator's shuffle the same for all versions of all libraries.
    """
    keys = [hashlib.sha256(f"{salt}/{name}".encode()).digest() for name in names]
    return sorted(range(len(names)), key=keys.__getitem__)


def _place(units: Units, weights: list[float], salt: str) -> npt.NDArray[np.intp]:
    """Place every unit: rarest remaining class first, its largest units first, equals in shuffled order."""
    order = shuffled(units.names, salt)
    holders: list[list[tuple[int, int]]] = [[] for _ in units.totals]
    for unit in order:
        for index, count in units.contents[unit]:
            holders[index].append((count, unit))
    want = [[max(total * weight, 1e-9) for weight in weights] for total in units.totals]
    lack = [row[:] for row in want]
    seen = [[0] * len(weights) for _ in units.totals]
    left = units.totals[:]
    placed = np.full(len(units.contents), -1, np.intp)
    todo = {index for index, total in enumerate(left) if total}
    while todo:
        rarest = min(todo, key=lambda index: (left[index], index))
        todo.remove(rarest)
        waiting = [(count, unit) for count, unit in holders[rarest] if placed[unit] < 0]
        waiting.sort(key=lambda pair: -pair[0])  # stable: equals keep their shuffled order
        for done, (count, unit) in enumerate(waiting):
            best = _best(count, want[rarest], lack[rarest], seen[rarest], len(waiting) - done)
            placed[unit] = best
            for index, held in units.contents[unit]:
                lack[index][best] -= held
                seen[index][best] += 1
                left[index] -= held
    return placed


def _best(count: int, want: list[float], lack: list[float], seen: list[int], waiting: int) -> int:
    """Return the split that is the emptiest, relative to its share, once the unit is in it.

    Splits that hold none of the class come first when no more units of it wait than there are such splits.
    """
    bare = [split for split, units in enumerate(seen) if not units]
    allowed = bare if bare and waiting <= len(bare) else range(len(want))
    return max(allowed, key=lambda split: (lack[split] - count) / want[split])
