"""The rules by which splits are drawn, one function each: from a card's rule and the samples to a split per sample."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medbench.cards.dataset import DERIVED, DatasetCard, SplitRule
from medbench.data.splits.stratify import draw
from medbench.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Assigned = npt.NDArray[np.object_]
"""(n,) train, val, test, or empty for left out."""
Rule = Callable[[DatasetCard, SplitRule, "pd.DataFrame"], Assigned]


def official(card: DatasetCard, rule: SplitRule, samples: pd.DataFrame) -> Assigned:
    """Take the release's split; if it has no validation, cut it from train, keeping known groups together.

    `validation: false` cuts nothing.
    """
    assigned: Assigned = samples["official"].to_numpy(object).copy()
    if not any(assigned):
        raise DataError(f"the data of {card.name} contain no official split", _others(card))
    return assigned if "val" in assigned or not rule.validation else _with_val(card, rule, samples, assigned)


def stratified(card: DatasetCard, rule: SplitRule, samples: pd.DataFrame) -> Assigned:
    """Draw single samples, keeping class shares."""
    return drawn(card, samples, _shares(rule), rule.seed, grouped=False)


def grouped(card: DatasetCard, rule: SplitRule, samples: pd.DataFrame) -> Assigned:
    """Draw whole groups, keeping class shares."""
    return drawn(card, samples, _shares(rule), rule.seed, grouped=True)


def kfold(card: DatasetCard, rule: SplitRule, samples: pd.DataFrame) -> Assigned:
    """Draw whole groups into equal parts, keeping class shares: part `fold` is test, the next one val.

    The parts depend on the seed and on `folds`, not on `fold`: over all folds each group is tested once.

    Raises:
        DataError: No such fold, or a class has fewer groups than there are folds.
    """
    if rule.fold >= rule.folds:
        raise DataError(
            f"{card.name}: there is no fold {rule.fold} of {rule.folds}", f"folds count from 0 to {rule.folds - 1}"
        )
    if samples["group"].nunique() < rule.folds:
        raise DataError(f"{card.name}: fewer groups than the {rule.folds} folds", "use fewer folds")
    shares = {str(part): 1 / rule.folds for part in range(rule.folds)}
    try:
        parts = drawn(card, samples, shares, rule.seed, grouped=True)
    except DataError as error:
        raise DataError(error.message, f"use fewer folds than {rule.folds}; or {error.hint}") from error
    assigned: Assigned = np.full(len(samples), "train", object)
    assigned[parts == str(rule.fold)] = "test"
    assigned[parts == str((rule.fold + 1) % rule.folds)] = "val"
    return assigned


def holdout(card: DatasetCard, rule: SplitRule, samples: pd.DataFrame) -> Assigned:
    """Follow FLAIR (jusiro/FLAIR, `get_dataloader_splits`), with the fold's number as the seed.

    `random.seed(seed)` and `random.shuffle` order the rows, which must stand as in FLAIR's table. Then of each class
    the first `int(test * n)` are test and the next `int(train * n)` train; the few rows that rounding leaves over are
    dropped. Groups are cut and classes kept, as there. FLAIR linear-probes without validation; here a choice needs it,
    so val is cut from train: its share `val` of the training part, class by class, whole groups if they are known.
    `validation: false` leaves it in train.

    With `per_class` (FLAIR's shots) train and then val take that many rows of each class instead. If a class has too
    few, FLAIR takes fewer; here that is an error.

    Raises:
        DataError: A multilabel task, shares above 1, train is too small to be cut, or a class has too few rows.
    """
    targets = _single(card, rule, samples)
    if rule.train is not None and rule.train + rule.test > 1 + 1e-9:
        raise DataError(
            f"{card.name}: train {rule.train} and test {rule.test} are more than 1", "fix the shares in the rule"
        )
    order = list(range(len(samples)))
    random.Random(rule.seed).shuffle(order)  # noqa: S311 - the published rule
    assigned: Assigned = np.full(len(samples), "", object)
    for index in range(len(card.classes)):
        rows = [row for row in order if targets[row] == index]
        test = int(rule.test * len(rows))
        assigned[rows[:test]] = "test"
        if rule.per_class is not None:
            _deal(card, rule, card.class_names[index], rows[test:], assigned)
            continue
        train = len(rows) - test if rule.train is None else int(rule.train * len(rows))
        assigned[rows[test : test + train]] = "train"
    cut = rule.validation and rule.per_class is None
    return _with_val(card, rule, samples, assigned) if cut else assigned


def _deal(card: DatasetCard, rule: SplitRule, name: str, rows: list[int], assigned: Assigned) -> None:
    """Give a class's first rows to train and the next ones to val, in place."""
    parts = [part for part in ("train", "val") if part in rule.parts]
    n = rule.per_class or 0
    if len(rows) < n * len(parts):
        raise DataError(
            f"{card.name}: {n} rows of each class for {' and '.join(parts)} need {n * len(parts)}, but without test "
            f"there are {len(rows)} of {name}",
            "use fewer (per_class), or a smaller share for test",
        )
    for at, part in enumerate(parts):
        assigned[rows[at * n : (at + 1) * n]] = part


def shuffle(card: DatasetCard, rule: SplitRule, samples: pd.DataFrame) -> Assigned:
    """Follow the WACV 2024 rule; if the copy is complete, check the published first rows."""
    n = len(samples)
    order = list(range(n))
    random.Random(rule.seed).shuffle(order)  # noqa: S311 - the published rule
    held = int(rule.held_out * n)
    parts = {"val": order[: held // 2], "test": order[held // 2 : held], "train": order[held:]}
    if n == card.counts.images:
        for split, rows in rule.check.items():
            if parts[split][: len(rows)] != rows:
                raise DataError(
                    f"{card.name}: the {split} rows {parts[split][: len(rows)]} are not the published {rows}",
                    "fix the check values in the card; if they are right, this Python version shuffles differently",
                )
    assigned: Assigned = np.full(n, "", object)
    for part, rows in parts.items():
        assigned[rows] = part
    return assigned


def contiguous(card: DatasetCard, rule: SplitRule, samples: pd.DataFrame) -> Assigned:
    """Follow the WACV 2024 rule for CheXpert: the rows sorted by path (as text) are val, then test, then train.

    With t = `int(held_out * n) + extra`, train begins at row t of the sorted rows and test at row (t + 1) // 2.

    `disjoint`: a group that a boundary cuts goes whole to the earlier part. (Strictly: a group goes where its first
    row lies, which also keeps groups whole that the paths do not keep together.)

    Not `disjoint`: the published code to the row. It slices the sorted table by row *labels*, the numbers the rows had
    in the file, with both ends included. So train begins at the row labelled t, wherever that lies in the sorted table;
    val and test end with that row, and meet at the row labelled by half their number. The row they meet at is in val
    and test there, and the row labelled t in test and train. Here a row is in one split: these two count as val and
    train. Train and val are then the code's, and test lacks the two rows by which a model was trained or chosen.

    Raises:
        DataError: Nothing is left for train, or the labels lie so that the slices do not follow each other.
    """
    n, paths = len(samples), samples["path"].tolist()
    order = sorted(range(n), key=paths.__getitem__)
    held = int(rule.held_out * n) + rule.extra
    if held >= n:
        raise DataError(f"{card.name}: {n} rows leave none for train", "fix held_out and extra in the rule")
    if rule.disjoint:
        first: dict[str, int] = {}
        groups = samples["group"].tolist()
        starts = {row: first.setdefault(groups[row], position) for position, row in enumerate(order)}
        parts = ["val" if starts[r] < (held + 1) // 2 else "test" if starts[r] < held else "train" for r in range(n)]
        return np.array(parts, object)
    last = order.index(held)
    middle = order.index((last + 1) // 2)
    if middle > last:
        raise DataError(f"{card.name}: row {(last + 1) // 2} is not among val and test", "use disjoint: true")
    assigned: Assigned = np.full(n, "train", object)
    assigned[order[middle:last]] = "test"
    assigned[order[: min(middle + 1, last)]] = "val"
    return assigned


def whole(card: DatasetCard, rule: SplitRule, samples: pd.DataFrame) -> Assigned:
    """Take all samples for test."""
    return np.full(len(samples), "test", object)


RULES: dict[str, Rule] = {
    "official": official,
    "stratified": stratified,
    "grouped": grouped,
    "kfold": kfold,
    "holdout": holdout,
    "shuffle": shuffle,
    "contiguous": contiguous,
    "whole": whole,
}
"""Method -> function; those that draw from another rule's split are not among them."""


def _shares(rule: SplitRule) -> dict[str, float]:
    return {"train": 1 - rule.val - rule.test, "val": rule.val, "test": rule.test}


def _with_val(card: DatasetCard, rule: SplitRule, samples: pd.DataFrame, assigned: Assigned) -> Assigned:
    """Cut the share `val` from train, in place."""
    if rule.val:
        rows = np.flatnonzero(assigned == "train")
        shares = {"train": 1 - rule.val, "val": rule.val}
        assigned[rows] = drawn(card, samples.iloc[rows], shares, rule.seed, grouped=True)
    return assigned


def _others(card: DatasetCard) -> str:
    others = [name for name, rule in card.splits.rules.items() if rule.method not in ("official", *DERIVED)]
    return f"choose another rule: {', '.join(others)}" if others else "give a split file, or add a rule to the card"


def _single(card: DatasetCard, rule: SplitRule, samples: pd.DataFrame) -> npt.NDArray[np.int64]:
    if card.task == "multilabel":
        raise DataError(
            f"{card.name}: {rule.method} needs one class per sample, and this task has several findings per sample",
            "use grouped, stratified or kfold",
        )
    return samples["target"].to_numpy(np.int64)


def drawn(card: DatasetCard, samples: pd.DataFrame, shares: dict[str, float], seed: int, *, grouped: bool) -> Assigned:
    """Draw whole groups (or single samples) into splits in the given shares, class by class."""
    if min(shares.values()) < 0 or shares.get("train", 1) <= 0:
        raise DataError(
            f"{card.name}: the shares of val and test leave nothing for train", "fix val and test in the card"
        )
    units = samples["group" if grouped else "id"].tolist()
    strict = card.task != "multilabel"
    return draw(units, hot_of(card, samples), card.class_names, shares, seed, where=card.name, strict=strict)


def hot_of(card: DatasetCard, samples: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return the classes of each sample as (n, classes) booleans, whatever the task."""
    columns = [name for name in samples.columns if name.startswith("target")]
    targets = samples[columns].to_numpy()
    if card.task == "multilabel":
        return targets.astype(bool)
    hot = np.zeros((len(targets), len(card.classes)), bool)
    hot[np.arange(len(targets)), targets[:, 0]] = True
    return hot
