"""Domain shift: for each set that was tested on, a pair of bars a model: in its own domain and on the other set."""

from __future__ import annotations

from collections.abc import Iterable

from medbench.errors import MedbenchError
from medbench.report.figures.figure import FigureData, Panel, Point
from medbench.report.tables.table import Cell, Row, Table

HERE, AWAY = "in domain", "shifted"


def of_shift(table: Table) -> FigureData:
    """Return the figure of a table of domain shift (`shift_table`): its numbers with their 95 % intervals.

    A label names the model; the protocol and its settings too, where they differ among the rows.

    Raises:
        MedbenchError: The table has no rows.
    """
    if not table.rows:
        why = "; ".join(table.notes[:1])
        raise MedbenchError(f"{table.name}: there is nothing to draw ({why})", "--random shows random weights, too")
    rows = [(row, row.cells[0], row.cells[1]) for row in table.rows]
    labels = _labels(row for row, *_ in rows)
    panels = list(dict.fromkeys(str(row.about["test_on"]) for row, *_ in rows))
    points = [
        _point(str(row.about["test_on"]), series, label, cell, str(row.about["group"]))
        for (row, here, away), label in zip(rows, labels, strict=True)
        for series, cell in ((HERE, here), (AWAY, away))
    ]
    metric = next((str(row.about["metric"]) for row, *_ in rows), "")
    return FigureData(
        name=table.name,
        kind="bars",
        title=table.title,
        panels=tuple(Panel(name, f"tested on {name}", y_title=metric) for name in panels),
        series={HERE: 0, AWAY: 1},
        points=tuple(points),
        columns=min(2, len(panels)) or 1,
        notes=("lines: 95 % interval over test patients (images where none are known) and seeds", *table.notes),
    )


def _labels(rows: Iterable[Row]) -> list[str]:
    """Return names that tell the rows of a panel apart: the model, then as much of the rest as that takes."""
    rows, telling = list(rows), ["model"]
    for name in ("protocol", "options", "preset", "weights"):
        known = {tuple(row.about[key] for key in ("test_on", *telling)) for row in rows}
        if len(known) < len(rows):
            telling.append(name)
    return [" · ".join(filter(None, (str(row.about[name]) for name in telling))) for row in rows]


def _point(panel: str, series: str, label: str, cell: Cell, group: str) -> Point:
    return Point(
        panel=panel,
        series=series,
        x=label,
        mean=cell.value,
        std=cell.std,
        n=cell.n,
        marks=cell.mark,
        records=(group,),
        low=cell.low,
        high=cell.high,
    )
