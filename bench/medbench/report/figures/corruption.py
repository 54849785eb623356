"""Curves of corruption: the metric against the severity, a panel for each corruption, a line for each model."""

from __future__ import annotations

from medbench.report.figures.bars import check_rows, model_of
from medbench.report.figures.figure import FigureData, Panel, Point
from medbench.report.tables.table import Row, Table

KIND = "corruption"
START = "severity"
"""What the columns of severities begin with; the clean images are at 0."""


def of_table(table: Table) -> FigureData:
    """Return the figure of a table of corruptions. The intervals of the losses are in the table.

    Raises:
        MedbenchError: The table has no rows.
    """
    check_rows(table)
    dataset = table.columns[0].dataset
    rows = [row for row in table.rows if row.section]
    protocols = {_settings(row) for row in rows}
    found = {(row.section, _name(row, several=len(protocols) > 1)): row for row in rows}
    scopes, names = (list(dict.fromkeys(key[i] for key in found)) for i in (0, 1))
    points = [
        point for scope in scopes for name in names for point in _points(table, found.get((scope, name)), scope, name)
    ]
    return FigureData(
        name=f"dataset/{dataset}/{KIND}",
        kind="curves",
        title=f"{table.title.partition(',')[0]}, against the severity of each corruption",
        panels=tuple(
            Panel(f"{dataset} {name}", name, "severity (0: clean)", table.columns[0].metric) for name in scopes
        ),
        series={name: i for i, name in enumerate(names)},
        points=tuple(points),
        columns=min(3, len(scopes)),
        notes=tuple(note for note in table.notes if not note.startswith("loss")),
    )


def _settings(row: Row) -> str:
    return " · ".join(filter(None, (row.about["protocol"], row.about["options"])))


def _name(row: Row, *, several: bool) -> str:
    return model_of(row) + (f" · {_settings(row)}" if several else "")


def _points(table: Table, row: Row | None, scope: str, name: str) -> list[Point]:
    """Return the points of a line: the clean images at 0, then the severities; without a row they are empty."""
    panel, points = f"{table.columns[0].dataset} {scope}", []
    for place, column in enumerate(table.columns):
        if column.id == "clean" or column.id.startswith(START):
            x = int(column.id.removeprefix(START).replace("clean", "0"))
            if row is None:
                points.append(Point(panel, name, x))
                continue
            cell, group = row.cells[place], str(row.about["group"])
            points.append(Point(panel, name, x, None, cell.value, cell.std, cell.n, marks=cell.mark, records=(group,)))
    return points
