"""Draws from the training part of another split: a few samples or groups (patients) of each class, or a share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medbench.cards.dataset import DatasetCard, SplitRule
from medbench.data.splits.rules import Assigned, drawn, hot_of
from medbench.data.splits.stratify import shuffled
from medbench.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def fewshot(card: DatasetCard, rule: SplitRule, samples: pd.DataFrame, base: Assigned) -> Assigned:
    """Draw `shots` training and `shots` validation samples of each class from the training part of another split.

    The groups of that part are drawn into halves, keeping class shares: one for train, one for val. Without a
    validation part train takes from all groups. From its half, a class takes its shots group by group, in an order that
    depends on the seed. Draws of one seed are nested: more shots contain the fewer. The test part stays complete; the
    validation part of the other split is left out.

    With the unit `sample`, only the samples that are needed are taken from the last group, so the shots are exact; the
    rest of that group is in no split. With the unit `group`, a class takes the first `shots` groups that have it, with
    all their samples of the class (MedFM: k patients per class, all their images), so the number of samples differs
    between draws.

    In a multilabel task, a class's samples are those with its label. Each class takes its own, and a part is the union
    (MedFM): a sample that several classes take is there once. A class can have more samples than shots, since samples
    of other classes may have its label too. Samples without any label are not taken.

    Args:
        card: The card.
        rule: The rule.
        samples: What `read_samples` returns.
        base: The other split.

    Raises:
        DataError: A class has too few samples, or groups.
    """
    hot, groups = hot_of(card, samples), samples["group"].to_numpy()
    rows = np.flatnonzero(base == "train")
    parts = ("train", "val") if rule.validation else ("train",)
    _check_enough(card, rule, hot[rows], groups[rows], len(parts))
    halves = np.full(len(rows), "train", object)
    if rule.validation:
        halves = drawn(card, samples.iloc[rows], {"train": 0.5, "val": 0.5}, rule.seed, grouped=True)
    order = _by_group(samples, rule.seed)
    assigned: Assigned = np.where(base == "test", "test", "").astype(object)
    for part in parts:
        half = np.isin(order, rows[halves == part])
        for index, name in enumerate(card.class_names):
            held = order[half & hot[order, index]]
            first = held[: rule.shots] if rule.unit == "sample" else held[_first_groups(groups[held], rule.shots)]
            found = len(first) if rule.unit == "sample" else len(set(groups[first]))
            if found < rule.shots:
                raise DataError(
                    f"{card.name}: complete groups leave {found} {rule.unit}s of {name} for {part}, not {rule.shots}",
                    "use fewer shots or another seed",
                )
            assigned[first] = part
    return assigned


def fraction(card: DatasetCard, rule: SplitRule, samples: pd.DataFrame, base: Assigned) -> Assigned:
    """Keep a share of the training part of another split, whole groups; val and test stay the same.

    Groups are drawn within strata: that of a group is the rarest class that it has (none: a stratum of its own). Each
    stratum keeps its share, rounded, and at least one group. Draws of one seed are nested: a greater share contains
    the smaller.

    Args:
        card: The card.
        rule: The rule.
        samples: What `read_samples` returns.
        base: The other split.

    Raises:
        DataError: The rule has no share.
    """
    if rule.train is None:
        raise DataError(f"{card.name}: the rule 'fraction' has no share of train", "for example fraction-0.25")
    hot, names = hot_of(card, samples), samples["group"].to_numpy()
    train = base == "train"
    rarest = np.argsort(hot[train].sum(axis=0), kind="stable")
    order = _by_group(samples, rule.seed)
    strata: dict[int, dict[str, None]] = {}
    classes: dict[str, npt.NDArray[np.bool_]] = {}
    for row in order[train[order]]:
        classes[names[row]] = classes.get(names[row], np.zeros(hot.shape[1], bool)) | hot[row]
    for name, has in classes.items():
        strata.setdefault(next((int(k) for k in rarest if has[k]), -1), {})[name] = None
    kept = [name for held in strata.values() for name in [*held][: max(1, round(rule.train * len(held)))]]
    assigned: Assigned = base.copy()
    assigned[train & ~np.isin(names, np.array(kept, object))] = ""
    return assigned


def _check_enough(
    card: DatasetCard, rule: SplitRule, hot: npt.NDArray[np.bool_], groups: npt.NDArray[np.object_], parts: int
) -> None:
    """Refuse more shots than each part can have of every class."""
    need = parts * rule.shots
    counts = [int(held.sum()) if rule.unit == "sample" else len(set(groups[held])) for held in hot.T]
    if short := [f"{name} ({n})" for name, n in zip(card.class_names, counts, strict=True) if n < need]:
        each = "each for train and val need" if parts == 2 else "for train need"
        raise DataError(
            f"{card.name}: {rule.shots} shots {each} {need} {rule.unit}s of a class, and the train split of "
            f"'{rule.base}' has fewer of {', '.join(short)}",
            "use fewer shots, or a base rule with more training samples" + (", or val=none" if parts == 2 else ""),
        )


def _first_groups(groups: npt.NDArray[np.object_], n: int) -> npt.NDArray[np.bool_]:
    """Tell which rows are of the first n groups, in the order in which the groups come."""
    first = list(dict.fromkeys(groups))[:n]
    return np.isin(groups, np.array(first, object))


def _by_group(samples: pd.DataFrame, seed: int) -> npt.NDArray[np.intp]:
    """Return the rows group by group in an order that the seed gives, and by id within a group."""
    names = sorted(set(samples["group"]))
    rank = {names[at]: place for place, at in enumerate(shuffled(names, f"{seed}/shots"))}
    groups, ids = samples["group"].tolist(), samples["id"].tolist()
    return np.array(sorted(range(len(ids)), key=lambda row: (rank[groups[row]], ids[row])), np.intp)
