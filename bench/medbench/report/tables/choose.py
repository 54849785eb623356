"""What a reader asks to see in a table: some columns, another order of columns and rows, and further metrics."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from medbench.errors import unknown
from medbench.metrics.measures import higher_is_better, measure, spellings
from medbench.records.groups import Group, natural, title
from medbench.report.measured import Measured, measured, task_of
from medbench.report.tables.marks import interval
from medbench.report.tables.table import Cell, Row, Table

SETTINGS = ("preset", "options")
"""What CSV has for the column `settings`."""
HELD = (
    "thresholds and temperatures are chosen on validation for each seed and class, and applied to test; intervals "
    "treat them as fixed, so they cover only the sampling of the test split"
)


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
    lower = [{one.lower() for one in names} for names in known]
    own, others = {name.lower()}, spellings(name.lower())
    several = len({column.dataset for column in table.columns}) > 1  # whose tasks spell a metric in their own way
    for wanted in (own | others,) if numbers and several else (own, others):
        if found := [i for i, names in enumerate(lower) if names & wanted]:
            return found
    titles = [*([] if numbers else table.heads), *(column.id for column in table.columns)]
    raise unknown(what, name, titles, f"Columns of {table.name}: {', '.join(titles)}")


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
    column, forms = table.columns[at], {row.cells[at].form for row in table.rows}
    low_first = column.low_first if column.low_first is not None else higher_is_better(column.metric) is False
    falls = (low_first or forms <= {"rank", "p"}) == back

    def rank(row: Row) -> float:
        value = row.cells[at].value
        return math.inf if value is None else -value if falls else value

    return replace(table, rows=tuple(sorted(table.rows, key=rank)))


@dataclass(frozen=True)
class Asked:
    """The metrics that are asked for.

    Attributes:
        held: Those that records hold, by the ids of the records.
        measures: The others, by their ids.
    """

    held: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: Sequence[str], columns: Collection[str], groups: Sequence[Group]) -> Asked:
        """Return the metrics that names mean, in any spelling.

        Args:
            names: What is asked for.
            columns: Metrics that the records hold.
            groups: The groups of the table's first section; their task decides which metric a name means.

        Raises:
            CardError: A metric is unknown, or not for the task.
        """
        held, others = [], []
        task = task_of(groups[0]) if groups else None
        lower = {name.lower(): name for name in columns}
        for name in map(str.lower, names):
            if found := {name} & lower.keys() or spellings(name) & lower.keys():
                held += [lower[one] for one in found]
            else:
                others.append(measure(name, task).id)
        return cls(tuple(held), tuple(dict.fromkeys(others)))

    def of_record(self, metric: str, primary: bool) -> bool:
        """Tell whether to give the interval of a metric that records hold."""
        return metric not in self.measures and (primary or metric in self.held)

    def cells(self, group: Group, mark: str, intervals: bool) -> list[Cell]:
        """Return a group's cells of `measures`, with a mark after each number."""
        found = measured(group, self.measures, intervals)
        return [cell_of(found[name], group, mark) for name in self.measures]

    def notes(self, groups: Sequence[Group]) -> list[str]:
        """Return why numbers are missing, and what is kept fixed."""
        found = [(group, measured(group, self.measures)) for group in groups if self.measures]
        return notes_of(found, self.measures)


def only_asked(name: str, *, rows: bool) -> bool:
    """Tell whether a table has the metrics that are asked for and no others, so that `chosen` need not leave any out.

    Args:
        name: The table's.
        rows: Whether it has a row for each class or subgroup.
    """
    return rows or name.startswith(("ranks/", "shift/", "corruption/"))


def number_of(group: Group, metric: str, intervals: bool = False, held: Group | None = None) -> Measured:
    """Return a metric of a group, from its records or else from its stored predictions.

    Args:
        group: The records.
        metric: The metric's id.
        intervals: Also give the 95 % interval.
        held: Whose validation images choose thresholds, as for `measured`.
    """
    if not any(metric in record.metrics for record in group.records):
        return measured(group, [metric], intervals, held)[metric]
    return Measured(*group.summary(metric), *(interval(group, metric) if intervals else ()))


def cell_of(one: Measured, group: Group, mark: str = "") -> Cell:
    """Return the cell of a number of a group, with a mark behind it."""
    return Cell(one.value, one.std, one.n, low=one.low, high=one.high, show_n=one.n not in (0, group.n), mark=mark)


def notes_of(found: Iterable[tuple[Group, dict[str, Measured]]], measures: Sequence[str]) -> list[str]:
    """Return why numbers of groups are missing, and what is kept fixed where something is chosen on validation."""
    why: dict[tuple[str, str], dict[str, None]] = {}
    for group, numbers in found:
        for name, one in numbers.items():
            if one.lacking:
                why.setdefault((name, one.lacking), {})[title(group)] = None
    lines = [f"{name}: no number for {'; '.join(titles)}: {reason}" for (name, reason), titles in why.items()]
    return lines + [HELD] * any(measure(name).on_validation for name in measures)
