"""Gains over one row of a table, averaged over its data sets and sorted; below them, how much each model had seen."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from medbench.cards.paper import Gains, PaperRow
from medbench.papers.cells import CellSpec, cells_of
from medbench.report.figures.figure import FigureData, Panel, Point
from medbench.report.figures.values import FigureRecords, Values, relative

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from medbench.report.figures.canvas import Page

GAIN, IMAGES = "gain", "images"


def collect(finder: FigureRecords, styles: dict[str, int]) -> FigureData:
    """Return the data of a figure of kind `gains`: 100 (m / m_reference - 1), the mean over the table's data sets.

    A row that lacks a data set has no gain: means over other data sets would not compare.
    """
    figure = finder.figure
    assert isinstance(figure, Gains)
    table = finder.card.tables[figure.table]
    cells = [[dataclasses.replace(c, preset=figure.preset) for c in line] for line in cells_of(table, finder.name)]
    base = next(i for i, row in enumerate(table.rows) if row.labels == figure.reference)
    found = [_find(finder, row, line) for row, line in zip(table.rows, cells, strict=True)]
    printed = [[finder.published_of(cell) for cell in line] for line in cells]
    points = [
        _point(row, values, found[base], _published(line, printed[base]))
        for row, values, line in zip(table.rows, found, printed, strict=True)
    ]
    points = sorted(points, key=_rank)
    for row, values in zip(table.rows, found, strict=True):
        if any(v.by_seed for v in values) and not all(v.by_seed for v in values):
            finder.say("no gain is shown, because not all data sets were run", " ".join(row.labels))
    sizes = [Point(IMAGES, point.series, point.x, published=figure.images.get(str(point.x))) for point in points]
    notes, commands = finder.closing(any(point.published is not None for point in points))
    groups = dict.fromkeys(row.labels[0] for row in table.rows)
    return FigureData(
        name=f"{finder.card.name}/{finder.name}",
        kind=figure.kind,
        title=figure.title,
        panels=(Panel(GAIN, "", y_title=figure.y_title), Panel(IMAGES, "", y_title="Images seen")),
        series={name: i for i, name in enumerate(groups)},
        points=(*points, *sizes),
        columns=1,
        width=figure.width,
        reference=" ".join(figure.reference),
        notes=notes,
        commands=commands,
    )


def _find(finder: FigureRecords, row: PaperRow, cells: list[CellSpec]) -> list[Values]:
    return [finder.find(cell, f"{' '.join(row.labels)} on {cell.dataset}") for cell in cells]


def _point(row: PaperRow, values: list[Values], reference: list[Values], published: float | None) -> Point:
    means = [one.mean for one in reference]
    known = [mean for mean in means if mean]
    mean, std, n = None, None, 0
    if len(known) == len(values) and all(one.by_seed for one in values):
        mean, std, n = relative(values, known)
    return Point(
        panel=GAIN,
        series=row.labels[0],
        x=row.labels[-1],
        mean=None if mean is None else 100 * (mean - 1),
        std=None if std is None else 100 * std,
        n=n,
        published=published,
        marks="".join(dict.fromkeys("".join(one.marks for one in values))),
        records=tuple(digest for one in values for digest in one.records),
    )


def _published(values: list[float | None], reference: list[float | None]) -> float | None:
    ratios = [v / r for v, r in zip(values, reference, strict=True) if v is not None and r]
    return 100 * (sum(ratios) / len(ratios) - 1) if ratios and len(ratios) == len(values) else None


def _rank(point: Point) -> tuple[bool, float, str, str]:
    """Order: ours ascending; then those not run, by the published gain."""
    value = point.mean if point.mean is not None else point.published
    return point.mean is None, math.inf if value is None else value, point.series, str(point.x)


def draw(page: Page, data: FigureData) -> None:
    """Draw the gains above, the sizes of the pre-training data hanging below them on a logarithmic axis."""
    above, below = page.stacked(2, (3, 1.5))
    for at, point in enumerate([] if page.nothing(data.of(GAIN)) else data.of(GAIN)):
        page.bar(above, at, 0.74, point, page.grouped(data.series[point.series]), label=False)
    above.axhline(0, color="0.2", linewidth=0.6)
    above.set_ylabel(data.panels[0].y_title)
    above.tick_params(axis="x", bottom=False, labelbottom=False)
    _draw_sizes(page, below, data)
    page.legend_of_groups(data)
    if page.nothing(data.of(GAIN)):
        page.empty(above)


def _draw_sizes(page: Page, axes: Axes, data: FigureData) -> None:
    points = data.of(IMAGES)
    known = [(at, p.published) for at, p in enumerate(points) if p.published is not None]
    axes.set_yscale("log")
    axes.set_ylim(1e10, 1e2)
    tops = [value - 1e2 for _, value in known]
    axes.bar([at for at, _ in known], tops, 0.74, bottom=1e2, color="0.75", edgecolor="0.2", linewidth=0.5)
    axes.set_yticks([1e2, 1e4, 1e6, 1e8, 1e10], labels=["10²", "10⁴", "10⁶", "10⁸", "10¹⁰"])
    axes.minorticks_off()
    axes.set_ylabel(data.panels[1].y_title)
    page.names(axes, [str(point.x) for point in points])
