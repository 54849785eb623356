"""Lines over a continuous axis: ROC, precision and net benefit, with bands, marked points and lines of reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medbench.report.figures.figure import FigureData, Point
from medbench.report.figures.style import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from medbench.report.figures.canvas import Page

CURVE, AREA = "curve", "area"
"""Kinds of points, in their field `y`; other kinds are rules of thresholds, whose points are marked."""
SIGNS = {"youden": "●", "specificity": "▼", "sensitivity": "▲"}
"""Kind of a rule -> its sign in notes."""
MARKERS = {"youden": "o", "specificity": "v", "sensitivity": "^"}
"""Kind of a rule -> its marker in the picture, which looks like its sign."""


def draw(page: Page, data: FigureData) -> None:
    """Draw each panel; the legend has the areas with their intervals."""
    panels = page.grid(len(data.panels), data.columns, square=True)
    for axes, panel in zip(panels, data.panels, strict=True):
        for name, style in data.series.items():
            line = data.of(panel.name, name)
            _draw_line(axes, line, page.look(style), reference=style < 0)
        axes.set_title(panel.title)
        axes.set_xlabel(panel.x_title)
        axes.grid(visible=True, axis="both")
        page.y_title(axes, panel.y_title)
        _limit(axes, data.of(panel.name))
    page.legend_of_lines(data, {name: _entry(data, name) for name in data.series}, markers=False)


def _draw_line(axes: Axes, line: Sequence[Point], look: Look, reference: bool) -> None:
    curve = [point for point in line if point.y == CURVE and point.mean is not None]
    xs, ys = [float(point.x) for point in curve], [point.mean or 0.0 for point in curve]
    width = 0.7 if reference else 1.0
    axes.plot(xs, ys, color=look.colour, linestyle=look.dash, linewidth=width, zorder=2 if reference else 3)
    if any(point.low is not None and point.low != point.high for point in curve):
        low, high = ([getattr(point, end) for point in curve] for end in ("low", "high"))
        axes.fill_between(xs, low, high, color=look.colour, alpha=0.15, linewidth=0)
    for point in line:
        if point.y not in (CURVE, AREA) and point.mean is not None:
            marker = MARKERS[str(point.y).partition("=")[0]]
            axes.plot(float(point.x), point.mean, marker, color=look.colour, mec="white", mew=0.4, ms=4.2, zorder=4)


def _limit(axes: Axes, points: Sequence[Point]) -> None:
    """Show rates from 0 to 1; what goes below 0 is cut where it is of no use."""
    highest = max((point.mean or 0.0 for point in points if point.y == CURVE), default=1.0)
    negative = any((point.mean or 0.0) < 0 for point in points if point.y == CURVE)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim((-0.25 * highest, 1.1 * highest) if negative else (-0.01, 1.01))


def _entry(data: FigureData, name: str) -> str:
    """Return a line's entry in the legend, with its area."""
    for point in data.points:
        if point.series == name and point.y == AREA and point.mean is not None:
            ends = "" if point.low is None or point.high is None else f" [{point.low:.3f}, {point.high:.3f}]"
            return f"{name}  {point.x} {point.mean:.3f}{ends}"
    return name
