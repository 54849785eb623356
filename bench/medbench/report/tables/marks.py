"""What is set off in a column: the best, the second, and what a paired test cannot tell from the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from medbench.metrics import METRICS
from medbench.metrics.measures import higher_is_better
from medbench.records.groups import SEEN_MARK, Group
from medbench.records.store import PREDICTIONS
from medbench.report import inference
from medbench.report.tables.table import TIE_MARK, Cell, Table

RANDOM_MARK, SPLIT_MARK = "†", "§"
SANITY = f"{RANDOM_MARK} random weights: a sanity check, not a result"
UNRANKED = (RANDOM_MARK, SEEN_MARK, SPLIT_MARK)
"""Cells with one of these do not compare: they are neither best nor second."""
DECIMALS = 3
"""As printed: what prints alike ranks alike."""


@dataclass(frozen=True)
class Words:
    """How a format sets off the best and the second, for its legend."""

    best: str
    second: str


def ranked(cells: Sequence[Cell], groups: Sequence[Group | None], metric: str, test: bool = True) -> list[Cell]:
    """Return the cells of one column (or of its part under one heading), the best and the second marked.

    Random weights and marked cells do not count. Two cells must compare before one is the best, three before one is
    the second. Cells that print the same number as the best are all best.

    Args:
        cells: The cells.
        groups: The records behind each.
        metric: What the column shows; of a metric without a direction nothing is marked.
        test: Whether ties are looked for, which needs the stored predictions.
    """
    higher = higher_is_better(metric)
    places = [i for i, cell in enumerate(cells) if cell.value is not None and _compares(cell, groups[i])]
    found = list(cells)
    if higher is None or len(places) < 2:
        return found
    values = {i: round(cells[i].value or 0.0, DECIMALS) for i in places}
    order = sorted(set(values.values()), reverse=higher)
    best, second = order[0], order[1] if len(places) > 2 and len(order) > 1 else None
    for i, value in values.items():
        if value == best:
            found[i] = found[i]._replace(rank="best")
        elif value == second:
            found[i] = found[i]._replace(rank="second")
    if test:
        for i in _tied([(i, group) for i in places if (group := groups[i]) is not None], metric):
            found[i] = found[i]._replace(tied=found[i].rank != "best")
    return found


def _compares(cell: Cell, group: Group | None) -> bool:
    if cell.mark and set(cell.mark) & set(UNRANKED):
        return False
    return group is None or group.first.unit.weights != "random"


def _tied(ranked: list[tuple[int, Group]], metric: str) -> list[int]:
    """Return the places that a paired test on stored predictions does not separate from the best."""
    best = inference.best_of([group for _, group in ranked], metric)
    if best is None or not stored(ranked[best][1]):
        return []
    return [ranked[k][0] for k in inference.ties([group for _, group in ranked], metric)]


def interval(group: Group | None, metric: str) -> tuple[float | None, float | None]:
    """Return the ends of a group's 95 % interval; (None, None) without stored predictions, or of an unknown metric."""
    if group is None or metric not in METRICS or not stored(group):
        return None, None
    found = inference.interval_of(group, metric)
    if found is None or math.isnan(found.low) or math.isnan(found.high):  # too few draws in which it is defined
        return None, None
    return found.low, found.high


def stored(group: Group) -> bool:
    """Tell whether all seeds' predictions are next to their records; without them pandas is not even imported."""
    return all(record.has(PREDICTIONS) for record in group.records)


def other_data(group: Group) -> str:
    """Return what is said of a group that was run on other data than most under the same name."""
    return f"other images, labels or patients than most results on {group.first.unit.dataset} (data {group.data})"


def legend(table: Table, words: Words) -> list[str]:
    """Return the lines that explain what a format sets off, of what the table shows.

    Args:
        table: The table.
        words: How the format sets off the best and the second; an empty word: not at all.
    """
    cells = [cell for row in table.rows for cell in row.cells]
    ranks = {cell.rank for cell in cells}
    lines = []
    if "best" in ranks:
        second = f", {words.second}: the second" if "second" in ranks and words.second else ""
        lines.append(f"{words.best}: the best of {table.ranking or 'its column'}{second}, as printed")
    if any(cell.tied for cell in cells):
        lines.append(
            f"{TIE_MARK} not distinguishable from the best: paired test of the stored predictions at the 5 % level, "
            f"adjusted over the column by Holm's method; to cite: the p (Holm) of medbench compare"
        )
    if table.intervals and any(cell.low is not None for cell in cells):
        lines.append("in brackets: 95 % interval")
    return lines
