"""Bars: one panel per data set and one bar per row, as they are or relative to one of them; or one data set's table.

Rows with a `group` stand side by side at their label, and a legend names the groups.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from medbench.cards.paper import Bars, FigurePanel, FigureRow
from medbench.errors import MedbenchError
from medbench.papers.cells import CellSpec
from medbench.report.figures.figure import FigureData, Panel, Point
from medbench.report.figures.values import FigureRecords, Values, relative
from medbench.report.tables.marks import RANDOM_MARK, SANITY, Words, legend
from medbench.report.tables.table import TIE_MARK, Cell, Row, Table

if TYPE_CHECKING:
    from medbench.report.figures.canvas import Page

BEST = "¹"
"""Sign of the best of a data set's table."""


def collect(finder: FigureRecords, styles: dict[str, int]) -> FigureData:
    """Return the data of a figure of kind `bars`; relative values are changes in per cent."""
    figure = finder.figure
    assert isinstance(figure, Bars)
    points = [point for panel in figure.panels for point in _panel(finder, figure, panel)]
    notes, commands = finder.closing(any(point.published is not None for point in points))
    y_title = f"change from {figure.relative_to} (%)" if figure.relative_to else ""
    return FigureData(
        name=f"{finder.card.name}/{finder.name}",
        kind=figure.kind,
        title=figure.title,
        panels=tuple(Panel(panel.dataset, panel.title, y_title=y_title) for panel in figure.panels),
        series=_series(figure, styles),
        points=tuple(points),
        columns=figure.columns,
        width=figure.width,
        reference=figure.relative_to or "",
        notes=notes,
        commands=commands,
    )


def _series(figure: Bars, styles: dict[str, int]) -> dict[str, int]:
    """Return what bars are distinguished by, and its styles: their groups, or else their models."""
    if any(row.group for row in figure.rows):
        return {name: i for i, name in enumerate(dict.fromkeys(row.group for row in figure.rows))}
    return {row.label: -1 if figure.relative_to else styles[row.label] for row in figure.rows}


def _panel(finder: FigureRecords, figure: Bars, panel: FigurePanel) -> list[Point]:
    cells = [_wanted(figure, row, panel) for row in figure.rows]
    names = [f"{row.group} {row.label}".strip() for row in figure.rows]
    found = [finder.find(cell, f"{name} on {panel.dataset}") for name, cell in zip(names, cells, strict=True)]
    printed = [finder.published_of(cell) for cell in cells]
    numbers = [values.summary for values in found]
    if figure.relative_to is not None:
        base = next(i for i, row in enumerate(figure.rows) if row.label == figure.relative_to)
        numbers = [_change(values, found[base].mean) for values in found]
        printed = [_printed_change(value, printed[base]) for value in printed]
        # The reference is 0 by definition: alone it says nothing.
        printed = printed if sum(value is not None for value in printed) > 1 else [None] * len(printed)
    grouped = any(row.group for row in figure.rows)
    return [
        Point(
            panel=panel.dataset,
            series=row.group if grouped else row.label,
            x=row.label,
            mean=mean,
            std=std,
            n=n,
            published=value,
            marks=values.marks,
            records=values.records,
        )
        for row, values, (mean, std, n), value in zip(figure.rows, found, numbers, printed, strict=True)
    ]


def _wanted(figure: Bars, row: FigureRow, panel: FigurePanel) -> CellSpec:
    return CellSpec(
        model=row.model,
        protocol=row.protocol,
        dataset=panel.dataset,
        set=row.set,
        preset=figure.preset,
        seeds=figure.seeds,
        split=figure.splits.get(panel.dataset),
        metric=panel.metric,
    )


def _change(values: Values, reference: float | None) -> tuple[float | None, float | None, int]:
    if values.mean is None or not reference:
        return None, None, 0
    mean, std, n = relative([values], [reference])
    return None if mean is None else 100 * (mean - 1), None if std is None else 100 * std, n


def _printed_change(value: float | None, reference: float | None) -> float | None:
    return None if value is None or not reference else 100 * (value / reference - 1)


def check_rows(table: Table) -> None:
    """Refuse to draw a table without rows.

    Raises:
        MedbenchError: The table has none, mostly because all runs have random weights.
    """
    if not table.rows:
        random = any(note.endswith("random weights left out") for note in table.notes)
        raise MedbenchError(
            f"{table.name}: " + ("all runs have random weights" if random else "there are no results to draw"),
            "to show them, marked: --random" if random else f"to see why: medbench table {table.name}",
        )


def of_table(table: Table) -> FigureData:
    """Return the figure of a data set's table: its primary metric with 95 % intervals.

    There is one panel for each protocol and settings, with the same models in each. Rows without the metric are left
    out, unless no row has it.

    Raises:
        MedbenchError: The table has no rows.
    """
    check_rows(table)
    rows = [row for row in table.rows if _cell_of(table, row).value is not None]
    found = {(_panel_of(row), model_of(row)): row for row in rows or table.rows}
    panels, models = (list(dict.fromkeys(names)) for names in zip(*found, strict=True))
    points = [_point_of(table, panel, model, found.get((panel, model))) for panel in panels for model in models]
    metrics = {panel: _metric_of(table, row) for (panel, _), row in found.items()}
    marks = "".join(point.marks for point in points)
    notes = [
        "lines: 95 % interval over test patients (images if patients are unknown) and seeds, if predictions are stored"
    ]
    notes += [SANITY] if RANDOM_MARK in marks else []
    return FigureData(
        name=table.name,
        kind="bars",
        title=table.title,
        panels=tuple(Panel(name, name, y_title=metrics[name]) for name in panels),
        series={name: i for i, name in enumerate(models)},
        points=tuple(points),
        columns=min(2, len(panels)),
        notes=(*notes, *legend(replace(table, intervals=False), Words(BEST, "")), *table.notes),
    )


def _panel_of(row: Row) -> str:
    about = row.about
    settings = "; ".join(filter(None, (about["preset"], about["options"])))
    data = f"data {about['data']}" if "data" in about else ""
    return " · ".join(filter(None, (about["protocol"], settings, data)))


def model_of(row: Row) -> str:
    """Return the model of a table's row, with its file of weights where that is not the official one."""
    known = row.about["weights"] in ("official", "random")
    return str(row.about["model"]) + ("" if known else f" ({row.about['weights']})")


def _metric_of(table: Table, row: Row) -> str:
    return str(row.about.get("metric", table.columns[0].metric))


def _cell_of(table: Table, row: Row) -> Cell:
    return row.cells[[column.metric for column in table.columns].index(_metric_of(table, row))]


def _point_of(table: Table, panel: str, model: str, row: Row | None) -> Point:
    if row is None:
        return Point(panel, model, model)
    cell = _cell_of(table, row)
    signs = RANDOM_MARK * (row.about["weights"] == "random") + TIE_MARK * cell.tied + BEST * (cell.rank == "best")
    return Point(
        panel=panel,
        series=model,
        x=model,
        mean=cell.value,
        std=cell.std,
        n=cell.n,
        marks=cell.mark + signs,
        records=(row.about["group"],),
        low=cell.low,
        high=cell.high,
    )


def draw(page: Page, data: FigureData) -> None:
    """Draw each panel: bars from 0, their numbers above them where there is room, the paper's as hollow diamonds."""
    panels = page.grid(len(data.panels), data.columns)
    for at, (axes, panel) in enumerate(zip(panels, data.panels, strict=True)):
        left, bottom = page.outer(at)
        page.bars(axes, data, data.of(panel.name))
        axes.set_title(panel.title)
        page.y_title(axes, panel.y_title if left else "")
        axes.tick_params(labelbottom=bottom)
        if data.reference:
            axes.axhline(0, color="0.2", linewidth=0.6)
    filled = [axes for axes, panel in zip(panels, data.panels, strict=True) if not page.nothing(data.of(panel.name))]
    if len({panel.y_title or panel.name for panel in data.panels}) == 1:
        page.same_height(filled)
    page.room_for_values(filled)
    for axes in set(panels) - set(filled):
        page.empty(axes)
    if data.grouped:
        page.legend_of_groups(data)
