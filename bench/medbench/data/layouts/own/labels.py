"""Classes of a user's own table or folders: one class however it is spelled, and no class that is a missing label."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from medbench.cards.dataset import Task
from medbench.data.layouts.csv_table import Columns
from medbench.data.layouts.own.spelling import is_covariate, is_turned, natural, one_class
from medbench.data.layouts.targets import HOT
from medbench.errors import DataError

MISSING = ("", "nan", "na", "n/a", "<na>", "#n/a", "null", "nil", "?", "-", ".", "missing")
MOST_CLASSES, MOST_NUMBERS = 200, 10
FEW_BARE = 0.1
"""Share of rows without a 1 up to which they look forgotten, where no row has two."""
CARD = "or say what it means in a card (medbench show card dataset)"


@dataclass(frozen=True)
class Labels:
    """Classes in order, what stands for each (text -> class number), the task, and what is to be said."""

    names: list[str]
    values: dict[str, int]
    task: Task
    notes: list[str]


def spelled(texts: Sequence[str], *, negative_first: bool = False) -> Labels:
    """Return the classes of texts, one for all spellings of a number or a word, in natural order.

    A class is called as it is spelled most often, and a number as an integer. `negative_first`: of two classes, one
    that means that nothing was found comes first.
    """
    counts = Counter(texts)
    together: dict[str, list[str]] = {}
    for text, _ in counts.most_common():
        together.setdefault(one_class(text), []).append(text)
    names = {key: key if key.lstrip("-").isdigit() and key in found else found[0] for key, found in together.items()}
    order = sorted(together, key=lambda key: natural(names[key]))
    if negative_first and is_turned([names[key] for key in order]):
        order.reverse()
    values = {text: index for index, key in enumerate(order) for text in together[key]}
    notes = [f"{' = '.join(found)} (one class)" for found in together.values() if len(found) > 1]
    return Labels([names[key] for key in order], values, "binary" if len(order) == 2 else "multiclass", notes)


def of_column(columns: Columns, name: str, *, negative_first: bool = False) -> Labels:
    """Return the classes of a label column; see `spelled`.

    Raises:
        DataError: A label is missing, the labels are measurements, or there are too few or too many.
    """
    cells = columns.cells[name]
    _refuse_missing(columns, name)
    found = spelled(cells, negative_first=negative_first)
    n, what = len(found.names), f"{columns.file}: column '{name}' has"
    hint = "choose another column with --label, or write a card (medbench show card dataset)"
    numbers = [_number(text) for text in found.names]
    if n > MOST_NUMBERS and all(map(math.isfinite, numbers)) and not all(number.is_integer() for number in numbers):
        raise DataError(f"{what} {n} different numbers, such as {found.names[n // 2]}: these are not classes", hint)
    if not 2 <= n <= MOST_CLASSES or (n == len(cells) and n > 2):
        raise DataError(f"{what} {n} different labels in {len(cells)} rows: these are not classes", hint)
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.inf if text else 0.0


def _refuse_missing(columns: Columns, name: str) -> None:
    cells = columns.cells[name]
    gone = {text for text in set(cells) if text.casefold() in MISSING}
    numbers = {text: _number(text) for text in set(cells) - gone}
    below = {text for text, number in numbers.items() if number < 0}
    if len({numbers[text] for text in below}) == 1 and len({one_class(text) for text in numbers}) > 2:
        gone |= below  # -1 and 1 alone are two classes
    if not gone:
        return
    rows = [row for row, cell in enumerate(cells) if cell in gone]
    cell, more = cells[rows[0]], f" ({len(rows)} such rows)" if len(rows) > 1 else ""
    what = f"'{cell}' seems to mean a missing label" if cell else "the label is missing"
    known = "', '".join(sorted(gone))
    raise DataError(
        f"{columns.where(rows[0], name)}: {what}{more}",
        f"fill it in, remove the rows, or write a card with layout.leave_out: {{{name}: ['{known}']}}",
    )


def hot_candidates(columns: Columns, rest: Sequence[str]) -> list[str]:
    """Return the columns that hold 0 and 1, or would but for empty cells and marks of doubt such as -1."""
    found = []
    for name in rest:
        kinds = set(columns.cells[name])
        odd = {text for text in kinds - set(HOT) if text.casefold() not in MISSING and one_class(text) != "-1"}
        if kinds <= set(HOT) or (not odd and any(HOT.get(text) == 1 for text in kinds)):
            found.append(name)
    return found


def of_hot(columns: Columns, names: Sequence[str], *, chosen: bool, several: bool) -> Labels:
    """Return the classes of columns of 0 and 1.

    Args:
        columns: The table.
        names: One column per class.
        chosen: Whether the user named them.
        several: Whether the user said that a row may have several classes, or none.

    Raises:
        DataError: A cell is neither 0 nor 1, or a column or row does not go with the others.
    """
    hot = [_hot(columns, name) for name in names]
    if not chosen:
        _refuse_covariates(columns, names, hot)
    sums = [sum(row) for row in zip(*hot, strict=True)]
    bare, many = sums.count(0), sum(n > 1 for n in sums)
    if not bare and not many:
        return Labels(list(names), {}, "binary" if len(names) == 2 else "multiclass", [])
    if not several and not many and bare <= FEW_BARE * len(sums):
        raise DataError(
            f"{columns.where(sums.index(0))}: none of the columns {', '.join(names)} is 1 ({bare} such rows), and all "
            "other rows have one",
            "give the row a class, or remove it; if rows may have no class: --task multilabel",
        )
    return Labels(list(names), {}, "multilabel", [f"rows without a class: {bare}, with several: {many}"])


def _hot(columns: Columns, name: str) -> list[int]:
    found = [HOT.get(cell, 2) for cell in columns.cells[name]]
    if 2 in found:
        row, n = found.index(2), found.count(2)
        cell = columns.cells[name][row]
        what = f"'{cell}' is neither 0 nor 1" if cell else "the cell is empty, neither 0 nor 1"
        raise DataError(
            f"{columns.where(row, name)}: {what} ({n} such cells)",
            f"write 0 or 1, name only the other columns (--label A,B), {CARD}: layout.values",
        )
    return found


def _refuse_covariates(columns: Columns, names: Sequence[str], hot: Sequence[Sequence[int]]) -> None:
    """Refuse columns of 0 and 1 that are no classes: by their name, or since the others alone have one 1 a row."""
    odd = [name for name in names if is_covariate(name)]
    sums = [sum(row) for row in zip(*hot, strict=True)]
    if not odd and len(names) > 2 and max(sums) == 2:
        rest = ([n - own for n, own in zip(sums, column, strict=True)] for column in hot)
        odd = [name for name, left in zip(names, rest, strict=True) if set(left) == {1}]
    if odd:
        others = ",".join(name for name in names if name not in odd)
        raise DataError(
            f"{columns.file}: column '{odd[0]}' has 0 and 1, but does not seem to be a class like {others}",
            f"name the columns of the classes: --label {others}",
        )
