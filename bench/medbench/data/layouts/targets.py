"""Label cells to class numbers, with the row, the column and the value in every error."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from medbench.cards.dataset import CsvLayout, DatasetCard
from medbench.data.layouts.csv_table import Columns
from medbench.errors import CardError, DataError, few

REST = "*"
"""Key of `values` for every text that is not named."""
MOST = 40
"""Texts that an error names."""
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
        raise CardError(f"{card.name}: layout.none and layout.separator need task: multilabel", "fix the card")
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
    table = _within(dict(layout.values) or {name: index for index, name in enumerate(classes)}, len(classes))
    rest = table.pop(REST, None)
    hot, unknown = np.zeros((len(columns), len(classes)), np.uint8), _Unknown(columns, column, table)
    for row, cell in enumerate(columns.cells[column]):
        for raw in (part.strip() for part in cell.split(layout.separator or "|")):
            if raw in layout.nothing:
                continue
            index = table.get(raw, rest if raw else None)
            if index is None:
                unknown.add(row, raw)
            else:
                hot[row, index] = 1
    unknown.refuse()
    return hot


def class_numbers(
    columns: Columns, column: str, classes: Sequence[str], values: Mapping[str, int]
) -> npt.NDArray[np.int64]:
    """Return the class of each row, shape (n,), from one column.

    A cell is a key of `values` if the card gives them; else a class name; else, unless class names are numbers
    themselves, a class number from 0 (`2` or `2.0`). The key `*` stands for every other text, but not for an empty one.

    Raises:
        DataError: Cells are empty, out of range, or no class; names each such text once, with its rows.
        CardError: `values` points beyond the classes.
    """
    table = _within(dict(values) or {name: index for index, name in enumerate(classes)}, len(classes))
    rest = table.pop(REST, None)
    if not values and not any(_number(name) is not None for name in classes):
        table |= {str(index): index for index in range(len(classes))}
    found, unknown = np.empty(len(columns), np.int64), _Unknown(columns, column, table)
    for row, raw in enumerate(columns.cells[column]):
        index = table.get(raw)
        if index is None:  # written as a float, or one of the other texts
            index = table.get(str(_number(raw)), rest if raw else None)
        if index is None:
            unknown.add(row, raw)
        else:
            found[row] = index
    unknown.refuse()
    return found


def _within(table: dict[str, int], n: int) -> dict[str, int]:
    if beyond := [f"{raw} -> {index}" for raw, index in table.items() if not 0 <= index < n]:
        raise CardError(f"values name classes beyond the {n} of the card: {', '.join(beyond)}", "fix the card's values")
    return table


class _Unknown:
    """Gathers the labels that are no class, so that one error names them all."""

    def __init__(self, columns: Columns, column: str, table: Mapping[str, int]) -> None:
        self.columns, self.column, self.known = columns, column, list(table)
        self.rows: dict[str, list[int]] = {}

    def add(self, row: int, raw: str) -> None:
        """Note a label of a row."""
        self.rows.setdefault(raw, []).append(row)

    def refuse(self) -> None:
        """Raise a `DataError` that names each label that was noted, its rows and the first line; none: do nothing."""
        if not self.rows:
            return
        shown = f"Known labels: {few(self.known, MOST)}"
        near = [match for raw in self.rows for match in difflib.get_close_matches(raw, self.known, n=1)]
        lead = f"did you mean {' or '.join(repr(one) for one in dict.fromkeys(near))}? " if near else ""
        if len(self.rows) == 1:
            raw, rows = next(iter(self.rows.items()))
            more = f" (in {len(rows)} rows)" if len(rows) > 1 else ""
            where = self.columns.where(rows[0], self.column)
            if not raw:
                raise DataError(f"{where}: the label is missing{more}", f"fill it in, or remove the row. {shown}")
            what = "is out of range" if _number(raw) is not None else "is not a class"
            raise DataError(f"{where}: the label '{raw}' {what}{more}", lead + shown)
        texts = [f"'{raw}' ({len(rows)}, first in line {self._line(rows)})" for raw, rows in self.rows.items()]
        total = sum(map(len, self.rows.values()))
        raise DataError(
            f"{self.columns.file}: column '{self.column}': {len(texts)} labels are not classes, in {total} rows:"
            f" {few(texts, MOST)}",
            f"{lead}{shown}. In a card, layout.values maps texts to classes, and '*' stands for all other texts",
        )

    def _line(self, rows: Sequence[int]) -> int:
        return self.columns.lines[rows[0]]


def _refuse_neither(columns: Columns, names: Sequence[str], found: npt.NDArray[np.uint8]) -> None:
    """Refuse cells that are neither 0 nor 1 (2 in `found`): all of them at once."""
    wrong: dict[tuple[str, str], list[int]] = {}
    for row, index in np.argwhere(found == 2).tolist():
        wrong.setdefault((names[index], columns.cells[names[index]][row]), []).append(row)
    if not wrong:
        return
    hint = "write 0 or 1, or map the text in layout.values"
    (name, cell), rows = next(iter(wrong.items()))
    if len(wrong) == 1:
        more = f" (in {len(rows)} rows)" if len(rows) > 1 else ""
        what = f"'{cell}' is neither 0 nor 1" if cell else "the label is missing"
        raise DataError(f"{columns.where(rows[0], name)}: {what}{more}", hint)
    texts = [
        f"column '{name}': '{cell}' ({len(rows)}, first in line {columns.lines[rows[0]]})"
        for (name, cell), rows in wrong.items()
    ]
    raise DataError(f"{columns.where(rows[0], name)}: {len(texts)} texts are neither 0 nor 1: {few(texts, MOST)}", hint)


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
        values: Raw text -> 0 or 1, as well as `0`, `1`, `0.0`, `1.0`, `True` and `False`; for releases that leave cells
            empty or mark doubt (CheXpert's -1). The key `*` stands for every other text, but not for an empty one.
        one: Whether each row must hold exactly one 1 (single-label tasks).

    Raises:
        DataError: A cell is neither 0 nor 1, or a row of a single-label task has not exactly one 1.
        CardError: `values` gives something else than 0 or 1.
    """
    table = HOT | dict(values)
    rest = table.get(REST, 2)
    if set(table.values()) - {0, 1}:
        raise CardError("values of a card with one column per class must be 0 or 1", "fix the card's values")
    found = np.empty((len(columns), len(names)), np.uint8)
    for index, name in enumerate(names):
        found[:, index] = [table.get(cell, rest if cell else 2) for cell in columns.cells[name]]
    _refuse_neither(columns, names, found)
    wrong = np.flatnonzero(found.sum(axis=1, dtype=np.int64) != 1)
    if one and len(wrong):
        row = int(wrong[0])
        marked = ", ".join(name for name, hot in zip(names, found[row], strict=True) if hot) or "none"
        raise DataError(
            f"{columns.where(row)}: {found[row].sum()} of the columns {', '.join(names)} are 1: {marked}",
            "a single-label task needs exactly one 1 per row; for several findings per row use task: multilabel",
        )
    return found
