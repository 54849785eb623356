"""Curves over shots: a data set's primary metric against the samples of each class that were learned from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from medbench.errors import MedbenchError
from medbench.records import Record
from medbench.records.groups import Group
from medbench.report.figures.figure import FigureData, Panel, Point
from medbench.report.figures.names import Label, names_of, shared_settings, styles_of
from medbench.report.figures.style import SMALL, Look
from medbench.report.tables.dataset_table import dataset_table
from medbench.report.tables.marks import SANITY
from medbench.report.tables.table import Row, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from medbench.report.figures.canvas import Page

KIND = "few-shot"
ALL = "all"
ASIDE = 1.3
"""How far 0 shots and all shots stand from their neighbours, in doublings."""
HEIGHT = 3.9
BANDS = "bands: 95 % interval over test patients (images if patients are unknown) and seeds"
STD = "; without stored predictions: ± one sample standard deviation over seeds"


def of_records(dataset: str, records: Iterable[Record], include_random: bool = False) -> FigureData:
    """Return the figure of a data set's records with shots, one line for each model, protocol and settings.

    Zero-shot results of the same models are at 0 shots; the whole training part comes last. Names in the legend have a
    protocol, settings or weights only if lines differ in them. Points have the 95 % intervals of the data set's
    table.

    Args:
        dataset: The data set's name.
        records: Records; those of other data sets and of protocols without shots are ignored.
        include_random: Show random weights too, marked.

    Raises:
        MedbenchError: Nothing was run with few shots.
    """
    found = [record for record in records if record.unit.dataset == dataset and Group((record,)).shots is not None]
    few = [record for record in found if Group((record,)).shots and record.test_on is None]
    if not any(include_random or record.unit.weights != "random" for record in few):
        raise MedbenchError(
            f"there are no few-shot runs on '{dataset}' yet" + ", except with random weights" * bool(few),
            "to show them, marked: --random"
            if few
            else f"medbench run --model MODEL --protocol few-shot --dataset {dataset}",
        )
    models = {record.unit.model for record in few}
    kept = [record for record in found if record.unit.model in models and record.test_on is None]
    return _of_table(dataset_table(dataset, kept, include_random, intervals=True))


def _of_table(table: Table) -> FigureData:
    dataset, rows = table.columns[0].dataset, table.rows
    labels = [_label(table, row) for row in rows]
    names = names_of(labels)
    points = [_point(table, row, name) for row, name in zip(rows, names, strict=True)]
    panels = {_panel(row): str(row.about.get("metric", table.columns[0].metric)) for row in rows}
    toy = " (TOY DATA: generated images, no result about medicine)" if any(row.about["toy"] for row in rows) else ""
    groups = all("unit=group" in row.about["options"] for row in rows if row.about["shots"] != "0")
    x_title = f"shots: training {'patients (or other groups)' if groups else 'samples'} per class"
    return FigureData(
        name=f"{table.name}/{KIND}",
        kind=KIND,
        title=f"{dataset}{toy}: {' and '.join(dict.fromkeys(panels.values()))} on the test split against shots",
        panels=tuple(Panel(name, f"data {name}" if name else "", x_title, metric) for name, metric in panels.items()),
        series=styles_of(labels, names),
        points=tuple(points),
        columns=1,
        notes=(*_notes(labels, points), *table.notes),
    )


def _panel(row: Row) -> str:
    """Return the digest of the data of a row, if several data sets have the table's name."""
    return str(row.about.get("data", ""))


def _label(table: Table, row: Row) -> Label:
    about = row.about
    return Label(about["model"], about["protocol"], row.heads[table.heads.index("settings")], about["weights"])


def _point(table: Table, row: Row, name: str) -> Point:
    metric = row.about.get("metric", table.columns[0].metric)
    cell = row.cells[[column.metric for column in table.columns].index(metric)]
    shots = row.about["shots"]
    return Point(
        panel=_panel(row),
        series=name,
        x=shots if shots == ALL else int(shots),
        mean=cell.value,
        std=cell.std,
        n=cell.n,
        marks=cell.mark,
        records=(row.about["group"],),
        low=cell.low,
        high=cell.high,
    )


def _notes(labels: Sequence[Label], points: Sequence[Point]) -> list[str]:
    """Return how to read the figure, and the settings that a protocol's rows share."""
    notes = [BANDS + (STD if any(p.low is None and p.std is not None for p in points) else "")]
    notes += [SANITY] * any(label.weights == "random" for label in labels)
    return notes + shared_settings(labels)


def places(shots: Iterable[str | float]) -> dict[str | float, float]:
    """Return where shots stand on the x axis, in doublings: 0 left of the fewest, `all` right of the most."""
    found = set(shots)
    numbers = sorted(float(x) for x in found if x not in (0, ALL)) or [1.0]
    ends = {0: math.log2(numbers[0]) - ASIDE, ALL: math.log2(numbers[-1]) + ASIDE}
    return {x: ends[x] if x in ends else math.log2(float(x)) for x in found}


def _draw_line(axes: Axes, line: Sequence[Point], at: dict[str | float, float], look: Look) -> None:
    xs, means = [at[point.x] for point in line], [point.mean or 0.0 for point in line]
    axes.plot(xs, means, color=look.colour, marker=look.marker, linestyle=look.dash, mew=0.3, mec="white", zorder=3)
    ends = [_band(point) for point in line]
    if len(line) == 1:  # a band needs two points
        axes.plot(xs * 2, ends[0], color=look.colour, linewidth=0.8, alpha=0.5)
    else:
        low, high = zip(*ends, strict=True)
        axes.fill_between(xs, low, high, color=look.colour, alpha=0.1, linewidth=0)
        for edge in (low, high):
            axes.plot(xs, edge, color=look.colour, linestyle=look.dash, linewidth=0.4, alpha=0.5)
    for point, after in zip(line, [*line[1:], None], strict=True):
        if point.marks and (after is None or after.marks != point.marks):
            place: dict[str, Any] = {"xytext": (3, 2), "textcoords": "offset points"}
            axes.annotate(point.marks, (at[point.x], point.mean or 0.0), size=SMALL, color=look.colour, **place)


def _band(point: Point) -> tuple[float, float]:
    """Return the ends of a point's band: its interval, or else one deviation to each side."""
    if point.low is not None and point.high is not None:
        return point.low, point.high
    mean, reach = point.mean or 0.0, point.std or 0.0
    return mean - reach, mean + reach


def draw(page: Page, data: FigureData) -> None:
    """Draw each panel: lines with markers over the logarithm of the shots, and the bands around them."""
    draw_at(page, data, places(point.x for point in data.points))


def draw_at(page: Page, data: FigureData, at: dict[str | float, float]) -> None:
    """Draw each panel with the values of x at given places."""
    ticks = sorted(at, key=at.__getitem__)
    panels = page.stacked(len(data.panels), [HEIGHT] * len(data.panels))
    for axes, panel in zip(panels, data.panels, strict=True):
        for name, style in data.series.items():
            line = sorted(data.of(panel.name, name), key=lambda point: at[point.x])
            if known := [point for point in line if point.mean is not None]:
                _draw_line(axes, known, at, page.look(style))
        axes.set_xticks([at[x] for x in ticks], [str(x) for x in ticks])
        axes.set_xlim(min(at.values()) - 0.3, max(at.values()) + 0.4)
        axes.set_title(panel.title)
        page.y_title(axes, panel.y_title)
    panels[-1].set_xlabel(data.panels[-1].x_title)
    page.legend_of_lines(data)
