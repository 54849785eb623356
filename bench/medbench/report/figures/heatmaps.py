"""Heat maps: layer by layer similarity of a network after and before training, one map per model and panel."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING

from medbench.cards.paper import FigureRow, Heatmaps, HeatPanel
from medbench.papers.cells import CellSpec
from medbench.records import Record
from medbench.report.figures.figure import FigureData, Panel, Point
from medbench.report.figures.values import FigureRecords, Values

if TYPE_CHECKING:
    from medbench.report.figures.canvas import Page

FILE = "cka.csv"
DIAGONAL = "cka_diagonal_mean"


def collect(finder: FigureRecords, styles: dict[str, int]) -> FigureData:
    """Return the data of a figure of kind `heatmaps`: x the layer before training, y the layer after it."""
    figure = finder.figure
    assert isinstance(figure, Heatmaps)
    points = [
        point
        for i, panel in enumerate(figure.panels)
        for row in figure.rows
        for point in _map(finder, figure, panel, row, _name(figure, i))
    ]
    notes, commands = finder.closing(any_published=False)
    return FigureData(
        name=f"{finder.card.name}/{finder.name}",
        kind=figure.kind,
        title=figure.title,
        panels=tuple(
            Panel(_name(figure, i), p.title, figure.x_title, figure.y_title) for i, p in enumerate(figure.panels)
        ),
        series={row.label: styles[row.label] for row in figure.rows},
        points=tuple(points),
        columns=len(figure.panels) if figure.across == "panels" else len(figure.rows),
        width=figure.width,
        notes=notes,
        commands=commands,
    )


def _name(figure: Heatmaps, i: int) -> str:
    """Return a panel's name: its data set, and its settings where it has some."""
    panel = figure.panels[i]
    return " ".join([panel.dataset, *(str(value) for value in panel.set.values())])


def _map(finder: FigureRecords, figure: Heatmaps, panel: HeatPanel, row: FigureRow, name: str) -> list[Point]:
    wanted = CellSpec(
        model=row.model,
        protocol=row.protocol,
        dataset=panel.dataset,
        set={**row.set, **panel.set},
        preset=figure.preset,
        seeds=figure.seeds,
        split=figure.splits.get(panel.dataset),
    )
    who = f"{row.label} on {name}"
    values = finder.find(wanted, who, lambda record: record.metrics.get(DIAGONAL, math.nan))
    maps = _maps(values)
    if values.group and not maps:
        finder.say(f"no {FILE} in its records' folders", who)
    if not maps:
        return [Point(name, row.label, "", marks=values.marks)]
    return [
        _point(name, row.label, place, [m[place] for m in maps if place in m], values)
        for place in sorted({place for found in maps for place in found})
    ]


def _maps(values: Values) -> list[dict[tuple[int, int], float]]:
    """Return (layer after, layer before) -> similarity of each seed; values that are not defined are left out."""
    records: tuple[Record, ...] = values.group.records if values.group else ()
    files = [record.path / FILE for record in records if record.path is not None]
    return [_read(file) for file in files if file.is_file()]


def _read(file: Path) -> dict[tuple[int, int], float]:
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    found = {(int(row["tuned_layer"]), int(row["start_layer"])): float(row["cka"] or "nan") for row in rows}
    return {place: value for place, value in found.items() if math.isfinite(value)}


def _point(panel: str, series: str, place: tuple[int, int], seeds: list[float], values: Values) -> Point:
    from medbench import stats

    mean, std, n = stats.summary(seeds)
    return Point(panel, series, place[1], place[0], mean, std, n, marks=values.marks, records=values.records)


def draw(page: Page, data: FigureData) -> None:
    """Draw one square per model and panel on a scale from 0 to 1, dark to light."""
    across = list(data.series) if data.columns == len(data.series) != len(data.panels) else None
    panels = {panel.name: panel for panel in data.panels}
    rows = list(panels) if across else list(data.series)
    columns = across or list(panels)
    grid = page.squares(len(rows), len(columns))
    image = None
    for i, first in enumerate(rows):
        for j, second in enumerate(columns):
            axes = grid[i][j]
            panel, series = (first, second) if across else (second, first)
            points = data.of(panel, series)
            image = page.heat(axes, points) or image
            marks = "".join(dict.fromkeys("".join(point.marks for point in points)))
            head, side = (series, panels[panel].title) if across else (panels[panel].title, series)
            axes.set_title((head if i == 0 else "") + marks)
            axes.set_xlabel(panels[panel].x_title if i == len(rows) - 1 else "")
            axes.set_ylabel(f"{side}\n{panels[panel].y_title}" if j == 0 else "")
            axes.tick_params(labelbottom=i == len(rows) - 1, labelleft=j == 0)
    page.scale(image, "CKA")
