"""Label cells to class numbers, with the row, the column and the value in every error."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from medbench.data.table import Columns
from medbench.errors import CardError, DataError

HOT = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "False": 0, "True": 1, "false": 0, "true": 1}
"""What a 0/1 cell may hold."""


def class_numbers(
    columns: Columns, column: str, classes: Sequence[str], values: Mapping[str, int]
) -> npt.NDArray[np.int64]:
    """Return the class of each row, shape (n,), from one column.

    A cell is a key of `values` if the card gives them; else a class name; else, unless class names are numbers
    themselves, a class number from 0 (`2` or `2.0`).

    Raises:
        DataError: A cell is empty, out of range, or no class.
        CardError: `values` points beyond the classes.
    """
    table = dict(values) or {name: index for index, name in enumerate(classes)}
    if beyond := [f"{raw} -> {index}" for raw, index in table.items() if not 0 <= index < len(classes)]:
        raise CardError(
            f"values point beyond the {len(classes)} classes: {', '.join(beyond)}", "mend the card's values"
        )
    if not values and not any(_number(name) is not None for name in classes):
        table |= {str(index): index for index in range(len(classes))}
    found = np.empty(len(columns), np.int64)
    for row, raw in enumerate(columns.cells[column]):
        index = table.get(raw)
        if index is None:
            index = table[raw] = _spelled(columns, row, column, table)
        found[row] = index
    return found


def _spelled(columns: Columns, row: int, column: str, table: dict[str, int]) -> int:
    """Return the class of a cell that is not in `table` as it stands: a whole number written as a float."""
    raw = columns.cells[column][row]
    number = _number(raw)
    if number is not None and str(number) in table:
        return table[str(number)]
    where = columns.where(row, column)
    known = ", ".join(list(table)[:40])
    if not raw:
        raise DataError(f"{where}: the label is missing", f"fill it in, or take the row out; classes: {known}")
    near = difflib.get_close_matches(raw, list(table), n=1)
    lead = f"did you mean '{near[0]}'? " if near else ""
    what = "is out of range" if number is not None else "is not a class"
    raise DataError(f"{where}: the label '{raw}' {what}", f"{lead}Known here: {known}")


def _number(raw: str) -> int | None:
    try:
        value = float(raw)
    except ValueError:
        return None
    return int(value) if value.is_integer() else None


def hot_columns(
    columns: Columns, names: Sequence[str], values: Mapping[str, int], *, one: bool
) -> npt.NDArray[np.uint8]:
    """Return the 0/1 labels of each row, shape (n, classes), from one column per class.

    Args:
        columns: The label file's cells.
        names: The column of each class, in class order.
        values: Raw text -> 0 or 1, beside `0`, `1`, `0.0`, `1.0`, `True` and `False`; for releases that leave cells
            empty or mark doubt (CheXpert's -1).
        one: Whether each row must hold exactly one 1 (single-label tasks).

    Raises:
        DataError: A cell is neither 0 nor 1, or a row of a single-label task has not exactly one 1.
        CardError: `values` gives something else than 0 or 1.
    """
    table = HOT | dict(values)
    if set(table.values()) - {0, 1}:
        raise CardError("values of a card with one column per class must be 0 or 1", "mend the card's values")
    found = np.empty((len(columns), len(names)), np.uint8)
    for index, name in enumerate(names):
        cells = columns.cells[name]
        numbers = [table.get(cell, 2) for cell in cells]
        found[:, index] = numbers
        if 2 in numbers:
            row = numbers.index(2)
            what = f"'{cells[row]}' is neither 0 nor 1" if cells[row] else "the label is missing"
            raise DataError(f"{columns.where(row, name)}: {what}", "write 0 or 1, or give its meaning in layout.values")
    wrong = np.flatnonzero(found.sum(axis=1, dtype=np.int64) != 1)
    if one and len(wrong):
        row = int(wrong[0])
        marked = ", ".join(name for name, hot in zip(names, found[row], strict=True) if hot) or "none"
        raise DataError(
            f"{columns.where(row)}: {found[row].sum()} of the columns {', '.join(names)} are 1: {marked}",
            "a single-label task needs exactly one 1 a row; for several findings a row use task: multilabel",
        )
    return found
