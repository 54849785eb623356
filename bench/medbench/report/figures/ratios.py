"""Grouped bars of ratios to one row, averaged over data sets: training iterations, or times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medbench.cards.paper import RatioPanel, Ratios
from medbench.errors import unknown
from medbench.papers.cells import CellSpec
from medbench.records import Record
from medbench.report.figures.figure import FigureData, Panel, Point
from medbench.report.figures.values import FigureRecords, Measure, Values, relative

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from medbench.report.figures.canvas import Page

SAME = "same"
STEP = "step"
Line = tuple[str, str, str, str, dict[str, Any]]


def collect(finder: FigureRecords, ref: str = SAME) -> FigureData:
    """Return the data of a figure of kind `ratios`.

    Args:
        finder: Finds the records.
        ref: `same`: each panel is divided by its own reference row; or the name of the panel whose reference row
            divides all panels of its quantity.

    Raises:
        CardError: There is no such panel.
    """
    figure = finder.figure
    assert isinstance(figure, Ratios)
    by_name = {panel.name: panel for panel in figure.panels}
    if ref != SAME and ref not in by_name:
        raise unknown("reference", ref, [SAME, *by_name])
    points: list[Point] = []
    for panel in figure.panels:
        other = by_name.get(ref, panel)
        points += _panel(finder, figure, panel, other if other.quantity == panel.quantity else panel)
    label = " ".join(figure.reference)
    finder.note(f"1 is {label} {'of the same panel' if ref == SAME else f'of the panel {by_name[ref].title}'}")
    notes, commands = finder.closing(any_published=False)
    groups = dict.fromkeys(line[0] for panel in figure.panels for line in _lines(finder, panel))
    return FigureData(
        name=f"{finder.card.name}/{finder.name}",
        kind=figure.kind,
        title=figure.title,
        panels=tuple(
            Panel(panel.name, panel.title, y_title=f"relative to {figure.reference[1]}") for panel in figure.panels
        ),
        series={name: i for i, name in enumerate(groups)},
        points=tuple(points),
        columns=figure.columns,
        width=figure.width,
        reference=label,
        notes=notes,
        commands=commands,
    )


def _lines(finder: FigureRecords, panel: RatioPanel) -> list[Line]:
    """Return (group, label, model, protocol, settings) of each bar."""
    if panel.table is None:
        return [(row.group, row.label, row.model, row.protocol, row.set) for row in panel.rows]
    rows = finder.card.tables[panel.table].rows
    return [(row.labels[0], row.labels[-1], row.model, row.protocol, row.set) for row in rows]


def _panel(finder: FigureRecords, figure: Ratios, panel: RatioPanel, other: RatioPanel) -> list[Point]:
    found = {line[:2]: _find(finder, figure, panel, line) for line in _lines(finder, panel)}
    named = (figure.reference[0], figure.reference[1])
    if other is panel:
        base = found[named]
    else:
        line = next(line for line in _lines(finder, other) if line[:2] == named)
        base = _find(finder, figure, other, line)
    return [_point(finder, panel, group, label, values, base) for (group, label), values in found.items()]


def _find(finder: FigureRecords, figure: Ratios, panel: RatioPanel, line: Line) -> dict[str, Values]:
    """Return data set -> values of one bar."""
    group, label, model, protocol, settings = line
    return {
        dataset: finder.find(
            CellSpec(
                model=model,
                protocol=protocol,
                dataset=dataset,
                set=settings,
                preset=figure.preset,
                seeds=figure.seeds if panel.quantity == STEP else 1,
                split=figure.splits.get(dataset),
            ),
            f"{group} {label} on {dataset} ({panel.name})",
            _measure(panel.quantity),
        )
        for dataset in panel.datasets
    }


def _measure(quantity: str) -> Measure:
    def read(record: Record) -> float | None:
        value = record.chosen.get(STEP) if quantity == STEP else record.metrics.get(quantity)
        return None if value is None else float(value)

    return read


def _point(
    finder: FigureRecords, panel: RatioPanel, group: str, label: str, values: dict[str, Values], base: dict[str, Values]
) -> Point:
    both = [d for d in panel.datasets if values[d].by_seed and base[d].mean]
    mean, std, n = None, None, 0
    if len(both) == len(panel.datasets):
        mean, std, n = relative([values[d] for d in both], [base[d].mean or 1.0 for d in both])
    elif any(one.by_seed for one in values.values()):
        finder.say("no ratio is shown, because it or the reference was not run on all data sets", f"{group} {label}")
    return Point(
        panel=panel.name,
        series=group,
        x=label,
        mean=mean,
        std=std,
        n=n,
        marks="".join(dict.fromkeys("".join(one.marks for one in values.values()))),
        records=tuple(digest for one in values.values() for digest in one.records),
    )


def draw(page: Page, data: FigureData) -> None:
    """Draw each panel: labels on the x axis, the groups' bars side by side; a line at 1."""
    for at, (axes, panel) in enumerate(zip(page.grid(len(data.panels), data.columns), data.panels, strict=True)):
        _draw_panel(page, axes, data, panel, first=at % data.columns == 0)
    page.legend_of_groups(data)


def _draw_panel(page: Page, axes: Axes, data: FigureData, panel: Panel, first: bool) -> None:
    points = data.of(panel.name)
    page.bars(axes, data, points, numbers=False)
    axes.set_title(panel.title)
    page.y_title(axes, panel.y_title if first else "")
    if page.nothing(points):
        page.empty(axes)
        return
    axes.axhline(1, color="0.2", linewidth=0.6, linestyle=(0, (3, 2)), zorder=3)
    axes.set_ylim(bottom=0)
    page.room_for_values([axes] if any(point.marks for point in points) else [])
