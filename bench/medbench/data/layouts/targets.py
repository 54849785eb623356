"""Label cells to class numbers, with the row, the column and the value in every error."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from medbench.cards.dataset import CsvLayout, DatasetCard
from medbench.data.layouts.csv_table import Columns
from medbench.errors import CardError, DataError

HOT = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "False": 0, "True": 1, "false": 0, "true": 1}
"""What a 0/1 cell may hold."""


def csv_targets(
    card: DatasetCard, layout: CsvLayout, columns: Columns
) -> npt.NDArray[np.int64] | npt.NDArray[np.uint8]:
    """Return the targets of a table's rows: (n,) int64, or (n, classes) uint8 for multilabel tasks.

    Raises:
        DataError: A cell is empty or no class.
        CardError: The card's layout and task do not go together.
    """
    several = card.task == "multilabel"
    _check_forms(card, layout)
    if layout.labels is not None:
        hot = hot_columns(columns, layout.labels, layout.values, one=not several)
    elif layout.separator is not None:
        name = labelled(columns, layout.label or "", listed=False)
        hot = hot_lists(columns, name, card.class_names, layout)
    else:
        name = labelled(columns, layout.label or "", listed=layout.listed)
        return class_numbers(columns, name, card.class_names, layout.values)
    if layout.none is not None:
        hot[hot.sum(axis=1, dtype=np.int64) == 0, card.class_names.index(layout.none)] = 1
    return hot if several else hot.argmax(axis=1).astype(np.int64)


def _check_forms(card: DatasetCard, layout: CsvLayout) -> None:
    several = card.task == "multilabel"
    if (layout.none is not None or layout.separator is not None) and not several:
        raise CardError(f"{card.name}: layout.none and layout.separator go with task: multilabel", "fix the card")
    if layout.none is not None and layout.none not in card.class_names:
        raise CardError(f"{card.name}: layout.none: '{layout.none}' is not a class of the card", "fix the card")


def labelled(columns: Columns, names: str | Sequence[str], *, listed: bool) -> str:
    """Return the column that holds the label of each row; it is made where the label must first be found.

    Args:
        columns: The table, which gets a column more where there are several names or `listed`.
        names: The label's column; of several the first one that is not empty counts, row by row.
        listed: Whether a cell is a list of texts as Python writes it, of which the first counts.

    Raises:
        DataError: A cell is no such list.
    """
    if isinstance(names, str) and not listed:
        return names
    several = [names] if isinstance(names, str) else list(names)
    made = " or ".join(several)
    cells = []
    for row in range(len(columns)):
        name = next((name for name in several if columns.cells[name][row]), several[0])
        cell = columns.cells[name][row]
        cells.append(_first_listed(cell, columns.where(row, name)) if listed and cell else cell)
    columns.cells[made] = cells
    return made


def _first_listed(cell: str, where: str) -> str:
    """Return the first text of a list like `['normal', 'no DME']`, read as a literal and never run."""
    try:
        found = ast.literal_eval(cell)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, list) or not found or not all(isinstance(text, str) for text in found):
        raise DataError(f"{where}: '{cell[:60]}' is not a list of texts", "write it like ['first', 'second']")
    return str(found[0]).strip()


def hot_lists(columns: Columns, column: str, classes: Sequence[str], layout: CsvLayout) -> npt.NDArray[np.uint8]:
    """Return the 0/1 labels of each row, shape (n, classes), from cells that list classes (`Effusion|Mass`).

    Raises:
        DataError: A cell is empty (unless `nothing` holds the empty text), or names no class.
    """
    table = dict(layout.values) or {name: index for index, name in enumerate(classes)}
    hot = np.zeros((len(columns), len(classes)), np.uint8)
    for row, cell in enumerate(columns.cells[column]):
        for raw in (part.strip() for part in cell.split(layout.separator or "|")):
            if raw in layout.nothing:
                continue
            index = table.get(raw)
            if index is None or not 0 <= index < len(classes):
                raise _unknown(columns.where(row, column), raw, list(table))
            hot[row, index] = 1
    return hot


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
        raise CardError(f"values point beyond the {len(classes)} classes: {', '.join(beyond)}", "fix the card's values")
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
    """Return the class of a cell that is in `table` only as an integer but is written as a float."""
    raw = columns.cells[column][row]
    number = _number(raw)
    if number is not None and str(number) in table:
        return table[str(number)]
    raise _unknown(columns.where(row, column), raw, list(table))


def _unknown(where: str, raw: str, known: Sequence[str]) -> DataError:
    """Build the error for a label that is missing or no class."""
    shown = ", ".join(list(known)[:40])
    if not raw:
        return DataError(f"{where}: the label is missing", f"fill it in, or take the row out; classes: {shown}")
    near = difflib.get_close_matches(raw, known, n=1)
    lead = f"did you mean '{near[0]}'? " if near else ""
    what = "is out of range" if _number(raw) is not None else "is not a class"
    return DataError(f"{where}: the label '{raw}' {what}", f"{lead}Known here: {shown}")


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
        raise CardError("values of a card with one column per class must be 0 or 1", "fix the card's values")
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
