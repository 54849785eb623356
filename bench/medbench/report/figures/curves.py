"""Curves: a metric over how many of a model's units are frozen or kept, one line per model."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from medbench.cards.paper import Curve, CurvePanel, Curves
from medbench.papers.cells import CellSpec
from medbench.report.figures.figure import FigureData, Panel, Point
from medbench.report.figures.values import FigureRecords

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from medbench.report.figures.canvas import Page


SPREAD = 0.24  # from the first line's markers to the last one's, in units


def collect(finder: FigureRecords, styles: dict[str, int]) -> FigureData:
    """Return the data of a figure of kind `curves`: the sweep between the ends, which other protocols give."""
    figure = finder.figure
    assert isinstance(figure, Curves)
    points = [
        point
        for i, panel in enumerate(figure.panels)
        for line in figure.lines
        for point in _line(finder, figure, panel, line, _name(figure, i))
    ]
    if any(_gaps(line) for line in _lines(points)):
        finder.note("faint lines: values in between were not run")
    notes, commands = finder.closing(any(point.published is not None for point in points))
    return FigureData(
        name=f"{finder.card.name}/{finder.name}",
        kind=figure.kind,
        title=figure.title,
        panels=tuple(Panel(_name(figure, i), p.title, figure.x_title) for i, p in enumerate(figure.panels)),
        series={line.label: styles[line.label] for line in figure.lines},
        points=tuple(points),
        columns=figure.columns,
        width=figure.width,
        notes=notes,
        commands=commands,
    )


def _name(figure: Curves, i: int) -> str:
    """Return a panel's name: its data set, and its protocol where the data set has several panels."""
    panel = figure.panels[i]
    alone = sum(other.dataset == panel.dataset for other in figure.panels) == 1
    return panel.dataset if alone else f"{panel.dataset} {panel.protocol}"


def _line(finder: FigureRecords, figure: Curves, panel: CurvePanel, line: Curve, name: str) -> list[Point]:
    points = []
    for count in range(line.units + 1):
        ends = {0: panel.first, line.units: panel.last}
        protocol = ends.get(count, panel.protocol)
        if protocol is None:
            continue
        wanted = CellSpec(
            model=line.model,
            protocol=protocol,
            dataset=panel.dataset,
            set={} if count in ends else {figure.option: count},
            preset=figure.preset,
            seeds=figure.seeds,
            split=figure.splits.get(panel.dataset),
            metric=panel.metric,
        )
        values = finder.find(wanted, f"{line.label} · {protocol} on {panel.dataset}")
        mean, std, n = values.summary
        points.append(
            Point(
                panel=name,
                series=line.label,
                x=count + figure.shift,
                mean=mean,
                std=std,
                n=n,
                published=finder.published_of(wanted),
                marks=values.marks,
                records=values.records,
            )
        )
    return points


def _lines(points: list[Point]) -> list[list[Point]]:
    found: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        found.setdefault((point.panel, point.series), []).append(point)
    return list(found.values())


def _gaps(line: list[Point]) -> list[tuple[Point, Point]]:
    """Return the pairs of values of one line between which others are missing."""
    there = [i for i, point in enumerate(line) if point.mean is not None]
    return [(line[i], line[j]) for i, j in itertools.pairwise(there) if j > i + 1]


def draw(page: Page, data: FigureData) -> None:
    """Draw each panel: lines with markers and error bars, faint where values are missing; published values hollow.

    Lines stand a little aside of each other, so that their deviations can be distinguished. Panels of one data set have
    the same y axis.
    """
    panels = page.grid(len(data.panels), data.columns)
    for at, (axes, panel) in enumerate(zip(panels, data.panels, strict=True)):
        _draw_panel(page, axes, data, panel)
        axes.set_xlabel(panel.x_title if page.outer(at)[1] else "")
    datasets = [panel.name.split()[0] for panel in data.panels]
    for dataset in dict.fromkeys(datasets):
        page.same_height([axes for axes, own in zip(panels, datasets, strict=True) if own == dataset and axes.lines])
    page.legend_of_lines(data)


def _draw_panel(page: Page, axes: Axes, data: FigureData, panel: Panel) -> None:
    points = data.of(panel.name)
    for at, (name, style) in enumerate(data.series.items()):
        shift = SPREAD * (at / max(len(data.series) - 1, 1) - 0.5)
        line, look = data.of(panel.name, name), page.look(style)
        page.line(axes, line, look, shift)
        for one, other in _gaps(line):
            ends = [(int(point.x) + shift, point.mean or 0.0) for point in (one, other)]
            axes.plot(*zip(*ends, strict=True), color=look.colour, linewidth=0.6, alpha=0.45, zorder=1)
    if page.nothing(points):
        page.empty(axes)
    places = [int(point.x) for point in points]
    axes.set_xlim(min(places) - 0.4, max(places) + 0.5)
    axes.set_xticks(range(min(places), max(places) + 1, 1 if max(places) < 15 else 4))
    axes.set_title(panel.title)
