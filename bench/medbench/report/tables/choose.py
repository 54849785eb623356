"""What a reader asks to see of a table: some columns, in another order of columns and rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from medbench.errors import unknown
from medbench.metrics import METRICS
from medbench.records.groups import natural
from medbench.report.tables.table import Row, Table

SETTINGS = ("preset", "options")
"""What CSV has for the column `settings`."""


def chosen(table: Table, metrics: Sequence[str] = (), columns: Sequence[str] = (), sort: str = "") -> Table:
    """Return a table with the columns and the order that are asked for; marks and ranks stay those of the whole table.

    Args:
        table: The table.
        metrics: Columns of numbers by metric, or by their head, in this order; none: all.
        columns: All columns by their heads, in this order; none: all. The metrics are added where none is named.
        sort: The column by which rows are sorted within each section: the best number first, texts from A to Z;
            `-COLUMN` turns this round. Empty: the table's own order.

    Raises:
        CardError: The table has no such column.
    """
    if sort:
        table = _sorted(table, sort)
    numbers = list(range(len(table.columns)))
    if metrics:
        numbers = list(dict.fromkeys(i for name in metrics for i in _places(table, name, "metric", numbers=True)))
    if not columns:
        return _only(table, list(range(len(table.heads))), numbers, set())
    named = [i for name in columns for i in _places(table, name, "column")]
    heads = [i for i in named if i < len(table.heads)]
    own = [i - len(table.heads) for i in named if i >= len(table.heads)]
    about = {table.heads[i] for i in heads}
    about |= {*SETTINGS} if "settings" in about else set()
    return _only(table, heads, list(dict.fromkeys(own + (numbers if metrics or not own else []))), about)


def _places(table: Table, name: str, what: str, numbers: bool = False) -> list[int]:
    """Return the columns that a name means, counted over heads and numbers; with `numbers`, over numbers alone."""
    known = [*([] if numbers else [{head} for head in table.heads])]
    known += [{column.id, column.title, column.title.rstrip(" ↓"), column.metric} for column in table.columns]
    found = [i for i, names in enumerate(known) if name.lower() in {one.lower() for one in names}]
    if not found:
        titles = [*([] if numbers else table.heads), *(column.id for column in table.columns)]
        raise unknown(what, name, titles, f"Columns of {table.name}: {', '.join(titles)}")
    return found


def _only(table: Table, heads: list[int], numbers: list[int], about: set[str]) -> Table:
    """Return a table with some of its columns; CSV and JSON say of a row what is in `about`, empty: all."""
    rows = [
        replace(
            row,
            heads=tuple(row.heads[i] for i in heads),
            cells=tuple(row.cells[i] for i in numbers),
            about={key: value for key, value in row.about.items() if not about or key in about},
        )
        for row in table.rows
    ]
    columns = tuple(table.columns[i] for i in numbers)
    return replace(table, heads=tuple(table.heads[i] for i in heads), columns=columns, rows=tuple(rows))


def _sorted(table: Table, by: str) -> Table:
    back = by.startswith("-")
    at = _places(table, by.removeprefix("-"), "column")[0] - len(table.heads)
    if at < 0:
        return replace(table, rows=tuple(sorted(table.rows, key=lambda row: natural(row.heads[at]), reverse=back)))
    metric = METRICS.get(table.columns[at].metric)
    falls = (metric is None or metric.higher_is_better) != back

    def rank(row: Row) -> float:
        value = row.cells[at].value
        return math.inf if value is None else -value if falls else value

    return replace(table, rows=tuple(sorted(table.rows, key=rank)))
