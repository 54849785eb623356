"""Bars of domain shift: what was trained on one data set, on its own test images and on those of another."""

from __future__ import annotations

from medbench.report.figures.bars import check_rows, model_of
from medbench.report.figures.figure import FigureData, Panel, Point
from medbench.report.tables.table import Row, Table

KIND = "shift"
SIDES = {"in_domain": "in domain", "shifted": "shifted"}
"""Column of the table -> the bar's name."""


def of_table(table: Table) -> FigureData:
    """Return the figure of a table of domain shift: two bars with 95 % intervals for each of its rows.

    There is one panel for each other data set, protocol and settings. The interval of the drop is in the table: two
    bars whose intervals overlap can still differ.

    Raises:
        MedbenchError: The table has no rows.
    """
    check_rows(table)
    dataset = table.columns[0].dataset
    at = {name: [column.id for column in table.columns].index(name) for name in SIDES}
    points = [
        Point(
            panel=_panel(row),
            series=side,
            x=model_of(row),
            mean=cell.value,
            std=cell.std,
            n=cell.n,
            marks=cell.mark,
            records=(row.about["group"],),
            low=cell.low,
            high=cell.high,
        )
        for row in table.rows
        for name, side in SIDES.items()
        for cell in [row.cells[at[name]]]
    ]
    metrics = {_panel(row): str(row.about["metric"]) for row in table.rows}
    notes = [
        "lines: 95 % interval over test patients (images if patients are unknown) and seeds, if predictions are stored"
    ]
    return FigureData(
        name=f"dataset/{dataset}/{KIND}",
        kind="bars",
        title=table.title,
        panels=tuple(Panel(name, name, y_title=metric) for name, metric in metrics.items()),
        series={side: i for i, side in enumerate(SIDES.values())},
        points=tuple(points),
        columns=min(2, len(metrics)),
        notes=(*notes, *table.notes),
    )


def _panel(row: Row) -> str:
    about = row.about
    settings = "; ".join(filter(None, (about["preset"], about["options"], row.section)))
    return f"on {about['test_on']}: {about['protocol']} · {settings}"
