"""Confusion matrices: one panel for each run, with counts and the shares of each true class with their intervals.

Tasks with several labels an image have a row for each label instead: sensitivity, specificity, PPV and NPV.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medbench.errors import MedbenchError
from medbench.metrics.measures.thresholds import Rule, thresholds
from medbench.report.figures.figure import FigureData, Panel, Point
from medbench.report.figures.names import in_lines, short
from medbench.report.figures.predictions.runs import Run, Shown
from medbench.report.figures.style import MAP, SMALL
from medbench.stats.proportions import shares

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

    from medbench.report.figures.canvas import Page

KIND = "confusion"
COUNT, SHARE = "count", "share"
"""Kinds of points."""
OF_LABELS = ("sensitivity", "specificity", "ppv", "npv")
LINE = 0.11
"""Inches, a line of a cell's text."""
MOST = 20
"""Most classes."""
ENDS, COUNTS = 5, 10
"""Up to so many classes cells have intervals, and counts."""


def collect(shown: Shown) -> FigureData:
    """Return the figure of some runs.

    Raises:
        MedbenchError: There are too many classes.
    """
    first = shown.runs[0]
    if len(shown.classes) > MOST:
        raise MedbenchError(
            f"a confusion matrix of {len(shown.classes)} classes is not readable",
            f"show the classes one by one: medbench figure dataset/{shown.dataset}/per-class",
        )
    make = _of_labels if first.multilabel else of_classes
    points = tuple(point for run in shown.runs for point in make(run))
    x_title, y_title = ("", "label") if first.multilabel else ("predicted", "truth")
    notes = [
        "each label at the threshold with the highest sensitivity + specificity on validation"
        if first.multilabel
        else "above: number of test images, mean over seeds; per cent: share of the true class",
        "in brackets: 95 % interval over test patients (images if patients are unknown; Wilson, Rao-Scott), "
        "predictions of all seeds pooled",
    ]
    return FigureData(
        name=f"dataset/{shown.dataset}/{KIND}",
        kind=KIND,
        title=f"{shown.title}: confusion on the test split",
        panels=tuple(Panel(run.name, run.name, x_title, y_title) for run in shown.runs),
        series=dict.fromkeys(shown.classes, 0),
        points=points,
        columns=min(3, len(shown.runs)),
        width="text" if len(shown.runs) > 1 else "column",
        notes=(*notes, *shown.notes),
    )


def of_classes(run: Run) -> Iterator[Point]:
    """Yield count and share of each pair of true and predicted class."""
    names, called = list(run.classes), np.stack([test.log_odds.argmax(axis=1) for test in run.tests])
    for i, own in enumerate(names):
        rows = run.loaded.targets == i
        for j, name in enumerate(names):
            yield from _cell(run, own, name, (called == j) & rows, np.tile(rows, (len(called), 1)))


def _of_labels(run: Run) -> Iterator[Point]:
    """Yield the shares of each label, at thresholds from validation."""
    for k, name in enumerate(run.classes):
        limits = [thresholds(Rule(), held.log_odds[:, [k]], held.has[:, [k]])[0] for held in run.validations]
        if not limits or np.isnan(limits).any():
            yield from (Point(run.name, name, metric, SHARE) for metric in OF_LABELS)
            continue
        called = np.stack([test.log_odds[:, k] >= limit for test, limit in zip(run.tests, limits, strict=True)])
        has = np.tile(run.tests[0].has[:, k], (len(called), 1))
        sides = {
            "sensitivity": (called, has),
            "specificity": (~called, ~has),
            "ppv": (has, called),
            "npv": (~has, ~called),
        }
        for metric, (right, among) in sides.items():
            yield from _cell(run, name, metric, right & among, among)


def _cell(run: Run, row: str, column: str, hits: NDArray[np.bool_], trials: NDArray[np.bool_]) -> Iterator[Point]:
    """Yield count and share of (s, n) hits among trials, the seeds together, with patients as units."""
    groups = np.arange(hits.shape[1]) if run.loaded.groups is None else run.loaded.groups
    units = np.unique(groups, return_inverse=True)[1]
    right, among = (np.bincount(units, one.mean(axis=0))[None].astype(np.float64) for one in (hits, trials))
    share, low, high = (None if np.isnan(value) else float(value[0]) for value in shares(right, among))
    s = len(hits)
    yield Point(run.name, row, column, COUNT, float(hits.sum() / s), n=s)
    yield Point(run.name, row, column, SHARE, share, n=s, low=low, high=high)


def draw(page: Page, data: FigureData) -> None:
    """Draw each panel as a map of shares."""
    rows, columns = list(data.series), list(dict.fromkeys(str(point.x) for point in data.points))
    lines = (rows == columns) + (len(columns) <= COUNTS) + (len(columns) <= ENDS)
    panels = page.maps(len(data.panels), data.columns, len(rows), 0.06 + LINE * max(lines, 1))
    below, beside = ([short(name) for name in names] for names in (columns, rows))
    image = None
    for at, (axes, panel) in enumerate(zip(panels, data.panels, strict=True)):
        left, bottom = page.outer(at)
        image = _draw_map(axes, data.of(panel.name), rows, columns)
        turned: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(len(columns)), below if bottom else [""] * len(columns), **turned)
        axes.set_yticks(range(len(rows)), beside if left else [""] * len(rows))
        axes.set_title(in_lines(panel.title))
        axes.set_xlabel(panel.x_title if bottom else "")
        axes.set_ylabel(panel.y_title if left else "")
    page.scale(image, "share of the true class" if columns == rows else "value")


def _draw_map(axes: Axes, points: Sequence[Point], rows: Sequence[str], columns: Sequence[str]) -> AxesImage:
    cells = np.full((len(rows), len(columns)), np.nan)
    texts: dict[tuple[int, int], list[str]] = {}
    for point in points:
        place = rows.index(point.series), columns.index(str(point.x))
        if point.y == SHARE and point.mean is not None:
            cells[place] = point.mean
        texts.setdefault(place, []).extend(_lines(point, len(columns)) if point.y == SHARE or rows == columns else [])
    for (row, column), lines in texts.items():
        colour = "white" if cells[row, column] < 0.6 else "black"
        axes.text(column, row, "\n".join(lines), ha="center", va="center", size=SMALL - 1, color=colour)
    axes.grid(visible=False)
    return axes.imshow(cells, vmin=0, vmax=1, cmap=MAP, interpolation="nearest", aspect="auto")


def _lines(point: Point, columns: int) -> list[str]:
    """Return what a cell says of a point: as much as cells of so many columns have room for."""
    if point.mean is None:
        return ["–"] * (point.y == SHARE)
    if point.y == COUNT:
        return [f"{point.mean:.4g}"] * (columns <= COUNTS)
    ends = point.low is not None and point.high is not None and columns <= ENDS
    percent = [f"{100 * point.mean:.0f} %"] * (columns <= COUNTS)
    return percent + ([f"[{100 * (point.low or 0):.0f}, {100 * (point.high or 0):.0f}]"] if ends else [])
