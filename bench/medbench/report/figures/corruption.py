"""Curves of corruption: the metric against the severity, a panel for each corruption, a line for each model."""

from __future__ import annotations

from medbench.report.figures.bars import model_of
from medbench.report.figures.figure import FigureData, Panel, Point
from medbench.report.tables.marks import RANDOM_MARK
from medbench.report.tables.table import Row, Table

KIND = "corruption"
START = "severity"
"""What the columns of severities begin with; the clean images are at 0."""


def of_table(table: Table) -> FigureData:
    """Return the figure of a table of corruptions. The intervals of the losses are in the table."""
    dataset = table.columns[0].dataset
    rows = [row for row in table.rows if row.section]
    protocols = list(dict.fromkeys(_settings(row) for row in rows))
    names = {id(row): _name(row, protocols) for row in rows}
    points = [point for row in rows for point in _points(table, row, names[id(row)])]
    scopes = list(dict.fromkeys(row.section for row in rows))
    marked = any(RANDOM_MARK in point.marks for point in points)
    kept = [note for note in table.notes if not note.startswith(("loss", RANDOM_MARK))]
    return FigureData(
        name=f"dataset/{dataset}/{KIND}",
        kind="curves",
        title=f"{table.title.partition(',')[0]}, against the severity of each corruption",
        panels=tuple(
            Panel(f"{dataset} {name}", name, "severity (0: clean)", table.columns[0].metric) for name in scopes
        ),
        series={name: i for i, name in enumerate(dict.fromkeys(names.values()))},
        points=tuple(points),
        columns=min(3, len(scopes)),
        notes=(*[f"{RANDOM_MARK} random weights: a sanity figure, not a result"] * marked, *kept),
    )


def _settings(row: Row) -> str:
    return " · ".join(filter(None, (row.about["protocol"], row.about["options"])))


def _name(row: Row, protocols: list[str]) -> str:
    return model_of(row) + (f" · {_settings(row)}" if len(protocols) > 1 else "")


def _points(table: Table, row: Row, name: str) -> list[Point]:
    at = {"clean": 0} | {
        column.id: int(column.id.removeprefix(START)) for column in table.columns if START in column.id
    }
    cells = {column.id: cell for column, cell in zip(table.columns, row.cells, strict=True)}
    panel, group = f"{table.columns[0].dataset} {row.section}", (str(row.about["group"]),)
    return [
        Point(panel, name, x, mean=cell.value, std=cell.std, n=cell.n, marks=cell.mark, records=group)
        for column, x in at.items()
        for cell in [cells[column]]
    ]
