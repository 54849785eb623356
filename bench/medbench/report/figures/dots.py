"""Dots with their 95 % intervals, a row for each run or each class: forest plots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medbench.errors import MedbenchError
from medbench.report.figures.figure import FigureData, Panel, Point
from medbench.report.figures.names import Label, names_of, shared_settings, styles_of
from medbench.report.figures.style import SMALL
from medbench.report.tables.marks import SANITY
from medbench.report.tables.table import TIE_MARK, Row, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from medbench.report.figures.canvas import Page

KIND = "dots"
INTERVAL = "interval"
BEST = "¹"
LONG = 60
"""Rows of a forest plot that a page has room for."""
SPREAD = 0.7
"""Share of a row's height over which the dots of several runs are spread."""
ROW, DOT = 0.17, 0.075
"""Inches, the height of a row, and of a dot in it."""


def of_table(table: Table) -> FigureData:
    """Return the forest plot of a data set's table: each row's first number with its interval, in the table's order.

    Rows without the number are left out. There is a panel for each data set that goes by the name.

    Raises:
        MedbenchError: There are no rows, or too many.
    """
    rows = [row for row in table.rows if row.cells[0].value is not None]
    if not rows:
        raise MedbenchError(
            f"{table.name}: no run has a number to show", "to show results of random weights, marked: --random"
        )
    if len(rows) > LONG:
        raise MedbenchError(
            f"the figure would show {len(rows)} runs, more than {LONG}",
            "select some: --model MODEL,MODEL or --protocol PROTOCOL",
        )
    labels = [_label(row) for row in rows]
    names = names_of(labels)
    points = tuple(_point(row, name) for row, name in zip(rows, names, strict=True))
    marks = "".join(point.marks for point in points)
    notes = [
        "lines: 95 % interval over test patients (images if patients are unknown) and seeds, if predictions are stored"
    ]
    notes += [SANITY] * any(label.weights == "random" for label in labels)
    notes += [f"{BEST} the best of {table.ranking or 'its column'}, as printed"] * (BEST in marks)
    tied = f"{TIE_MARK} not distinguishable from the best: paired test at the 5 % level, adjusted by Holm's method"
    panels = dict.fromkeys(point.panel for point in points)
    return FigureData(
        name=f"{table.name}/{INTERVAL}",
        kind=KIND,
        title=table.title,
        panels=tuple(Panel(name, name, table.columns[0].title) for name in panels),
        series=styles_of(labels, names),
        points=points,
        columns=1,
        notes=(*notes, *[tied] * (TIE_MARK in marks), *shared_settings(labels), *table.notes),
    )


def _label(row: Row) -> Label:
    about = row.about
    settings = "; ".join(filter(None, (about["preset"], about["options"])))
    return Label(about["model"], about["protocol"], settings, about["weights"])


def _point(row: Row, name: str) -> Point:
    cell = row.cells[0]
    return Point(
        panel=f"data {row.about['data']}" if "data" in row.about else "",
        series=name,
        x=name,
        mean=cell.value,
        std=cell.std,
        n=cell.n,
        marks=cell.mark + TIE_MARK * cell.tied + BEST * (cell.rank == "best"),
        records=(row.about["group"],),
        low=cell.low,
        high=cell.high,
    )


def draw(page: Page, data: FigureData) -> None:
    """Draw each panel: a row for each label, with its dots below each other; an only dot has its number next to it."""
    rows = [list(dict.fromkeys(str(point.x) for point in data.of(panel.name))) for panel in data.panels]
    alone = not data.grouped
    high = max(ROW, DOT * len(data.series)) if not alone else ROW
    panels = page.stacked(len(data.panels), [(high * len(names) + 0.45) / 0.72 for names in rows])
    for axes, panel, names in zip(panels, data.panels, rows, strict=True):
        for point in data.of(panel.name):
            _draw_dot(page, axes, data, point, names.index(str(point.x)))
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        axes.set_title(panel.title)
        for edge in range(1, len(names) if not alone else 0):
            axes.axhline(edge - 0.5, color="0.92", linewidth=0.5, zorder=0)
    panels[-1].set_xlabel(data.panels[-1].x_title)
    if not alone:
        page.legend_of_lines(data, lines=False)


def _draw_dot(page: Page, axes: Axes, data: FigureData, point: Point, row: int) -> None:
    if point.mean is None:
        return
    look, alone = page.look(data.series[point.series]), not data.grouped
    place = list(data.series).index(point.series)
    at = row + (0.0 if alone else SPREAD * (place / max(len(data.series) - 1, 1) - 0.5))
    if point.low is not None and point.high is not None:
        axes.plot([point.low, point.high], [at, at], color=look.colour, linewidth=1.0)
    axes.plot(point.mean, at, look.marker, color=look.colour, mec="white", mew=0.3, zorder=3)
    if alone:
        ends = "" if point.low is None or point.high is None else f" [{point.low:.3f}, {point.high:.3f}]"
        side: dict[str, Any] = {
            "transform": axes.get_yaxis_transform(),
            "ha": "left",
            "va": "center",
            "size": SMALL + 0.4,
        }
        axes.text(1.02, at, f"{point.mean:.3f}{ends}{point.marks}", **side)
