"""The tabs of a run's page that need more than its predictions: subgroups of the test images, and corrupted images.

They show what `medbench table dataset/NAME --by` and `medbench table corruption/NAME` show of the run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from medbench.errors import CardError, DataError
from medbench.records.groups import Group
from medbench.report.figures import corruption
from medbench.report.figures.draw import draw
from medbench.report.html.tabs import Picture, Tab
from medbench.report.subgroups.by import FEWEST, By, usual_bins
from medbench.report.subgroups.members import stored_texts
from medbench.report.subgroups.subgroup_table import subgroup_table
from medbench.report.tables.table import DASH, Cell, Row, Table

if TYPE_CHECKING:
    import pandas as pd

DPI = 150
"""Of the figure; that of a page is narrower than a paper's."""


def data_tabs(group: Group, corrupted: Table | None = None) -> tuple[Tab, ...]:
    """Return the tabs of which the store has data.

    Args:
        group: A run with stored predictions.
        corrupted: The table of corruptions of its data set; None: there is none.
    """
    found = (_subgroups(group), None if corrupted is None else _corruptions(group, corrupted))
    return tuple(tab for tab in found if tab is not None)


def _subgroups(group: Group) -> Tab | None:
    """Return the tab of the columns that are stored next to the predictions; None where no column makes groups."""
    if group.first.test_on is not None:
        return None
    left: list[str] = []
    fitting = []
    for column, texts in stored_texts(group).items():
        try:
            text = usual_bins(column, texts)
            _table(group, [text])
        except (CardError, DataError) as error:
            left.append(f"{column} is left out: {error.message.partition(': ')[2] or error.message}")
        else:
            fitting.append(text)
    if not fitting:
        return None
    table = _table(group, fitting)
    title = f"medbench table {table.name} {','.join(fitting)}"
    return _tab(
        "Subgroups",
        table,
        table.rows,
        (f"as in {title}, but p (Holm) is adjusted for the tests of this run only", *left, *table.notes),
    )


def _table(group: Group, columns: Sequence[str]) -> Table:
    """Return the table of one run; its numbers are kept, so that a second call costs little."""

    def refused(_: Sequence[str]) -> pd.DataFrame:
        raise DataError("the column is not stored with all predictions", "run again")

    return subgroup_table(group.first.unit.dataset, group.records, By(",".join(columns), refused, FEWEST), True)


def _corruptions(group: Group, table: Table) -> Tab | None:
    """Return the tab of a run's corrupted test images; None where it was not tested on any."""
    rows = tuple(row for row in table.rows if row.about["group"] == group.first.group[:12])
    if not rows or group.first.test_on is not None:
        return None
    own = dataclasses.replace(table, rows=rows)
    figure = corruption.of_table(own)
    picture = Picture(figure.title, draw(figure, "png", DPI))
    named = [dataclasses.replace(row, heads=(row.section or "all", *row.heads)) for row in rows]
    heads = ("corruption", *table.heads)
    return _tab("Corruptions", dataclasses.replace(own, heads=heads), named, table.notes, (picture,))


def _tab(
    title: str, table: Table, rows: Iterable[Row], notes: Iterable[str], pictures: tuple[Picture, ...] = ()
) -> Tab:
    """Return a table as a tab: no head columns that say the same in all rows, no columns without a number.

    Notes on columns that are left out are left out, too.
    """
    lines = [(*row.heads, *map(_text, row.cells)) for row in rows]
    heads = (*table.heads, *(column.title for column in table.columns))
    kept = [i for i, texts in enumerate(zip(*lines, strict=True)) if len({*texts}) > 1 or not 0 < i < len(table.heads)]
    kept = [i for i in kept if any(line[i] not in ("", DASH) for line in lines)]
    texts = tuple(tuple(line[i] for i in kept) for line in lines)
    gone = {head for i, head in enumerate(heads) if i not in kept}
    said = tuple(note for note in notes if note.partition(":")[0] not in gone)
    return Tab(title, tuple(heads[i] for i in kept), texts, said, pictures)


def _text(cell: Cell) -> str:
    return (cell.number + cell.rest(intervals=True)).strip() or DASH
