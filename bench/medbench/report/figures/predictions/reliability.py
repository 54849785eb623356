"""Reliability diagrams: how often predictions of each confidence are right, before and after temperature scaling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from medbench.errors import MedbenchError
from medbench.metrics.log_odds import probabilities
from medbench.metrics.measures import Measure, Predictions, measure, temperature
from medbench.report.figures.figure import FigureData, Panel, Point
from medbench.report.figures.names import in_lines
from medbench.report.figures.predictions.bins import Bins, binned, confidence_of
from medbench.report.figures.predictions.runs import Run, Shown
from medbench.report.figures.style import SMALL, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from medbench.report.figures.canvas import Page

KIND = "reliability"
RAW, SCALED = "as predicted", "after temperature scaling"
STYLES = {RAW: 0, SCALED: 6}
BIN, IMAGES, ECE = "bin", "share of predictions", "ece"
"""Kinds of points."""


def collect(shown: Shown, class_name: str = "", metric: str = "") -> FigureData:
    """Return the figure of some runs, one panel each.

    Args:
        shown: The runs.
        class_name: Show the probability of this class; empty: of the predicted class, or of all labels.
        metric: A calibration error, whose id says the bins: `ece:10`, `ece:mass:10`; empty: `ece`.

    Raises:
        CardError: There is no such class or metric.
        MedbenchError: The metric is no calibration error, or the id says the scaling.
    """
    k, first = shown.class_of(class_name), shown.runs[0]
    binning = measure((metric or ECE).lower(), first.task)
    if binning.name != ECE or binning.scaled:
        raise MedbenchError(
            f"--metric {metric}: a reliability diagram shows the bins of a calibration error",
            "choose one of: ece, ece:10 (10 bins), ece:mass:10 (bins with equal numbers of predictions)",
        )
    points = [point for run in shown.runs for point in _points(run, binning, k)]
    what = "the labels" if first.multilabel else "the predicted class"
    what = what if k is None else f"'{shown.classes[k]}'"
    titles = ("probability", "observed share") if k is not None or first.multilabel else ("confidence", "share right")
    notes = [
        f"{binning.size} bins of equal {'mass' if binning.mass else 'width'}, predictions of all seeds pooled; "
        f"{_ece(binning, k)}: mean over seeds with its 95 % interval",
        "lines: 95 % interval of the share, with patients (images if patients are unknown) as sampling units "
        "(Wilson, Rao-Scott)",
        "bars at the bottom: share of the predictions in each bin",
    ]
    scaled = any(point.series == SCALED for point in points)
    fitted = "temperature: fitted on validation" + ", one for each label" * first.multilabel
    notes.append(fitted if scaled else f"'{SCALED}' is not shown: these runs have no validation predictions")
    return FigureData(
        name=f"dataset/{shown.dataset}/{KIND}",
        kind=KIND,
        title=f"{shown.title}: reliability of the probabilities of {what} on the test split",
        panels=tuple(Panel(run.name, run.name, *titles) for run in shown.runs),
        series={name: style for name, style in STYLES.items() if scaled or name == RAW},
        points=tuple(points),
        columns=min(3, len(shown.runs)),
        width="text" if len(shown.runs) > 1 else "column",
        notes=(*notes, *shown.notes),
    )


def _ece(binning: Measure, k: int | None) -> str:
    return binning.id if k is None else binning.id.replace("_macro", "")


def _points(run: Run, binning: Measure, k: int | None) -> Iterator[Point]:
    yield from _of_tests(run, RAW, run.tests, binning, k)
    if run.validations:
        scaled = [
            Predictions(temperature.scaled(test.log_odds, fitted, multilabel=test.multilabel), test.targets)
            for test, held in zip(run.tests, run.validations, strict=True)
            for fitted in [temperature.fit(held.log_odds, held.targets)]
        ]
        yield from _of_tests(run, SCALED, scaled, binning, k)


def _of_tests(run: Run, series: str, tests: Sequence[Predictions], binning: Measure, k: int | None) -> Iterator[Point]:
    """Yield the calibration error, then of each bin that is not empty its share right and its share of predictions."""
    metric = _ece(binning, k) + "@temperature" * (series == SCALED)
    yield run.summary(metric, ECE, k, run.name, series)
    seeds = [confidence_of(probabilities(test.log_odds), test.targets, k) for test in tests]
    found = binned(seeds, run.loaded.groups, binning.size, binning.mass)
    for i in range(binning.size):
        if found.count[i]:
            yield _point(run, series, found, i)
            x = float(found.mean[i]) if binning.mass else (i + 0.5) / binning.size
            yield Point(run.name, series, x, IMAGES, float(found.count[i] / found.count.sum()))


def _point(run: Run, series: str, found: Bins, i: int) -> Point:
    share, low, high = (float(values[i]) for values in (found.share, found.low, found.high))
    return Point(run.name, series, float(found.mean[i]), BIN, share, n=run.group.n, low=low, high=high)


def draw(page: Page, data: FigureData) -> None:
    """Draw each panel: the diagonal, the bins with their intervals, and below it the shares of predictions."""
    pairs = page.pairs(len(data.panels), data.columns)
    for at, ((axes, below), panel) in enumerate(zip(pairs, data.panels, strict=True)):
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.6, linestyle=":")
        for place, (name, style) in enumerate(data.series.items()):
            line = data.of(panel.name, name)
            _draw_bins(axes, [point for point in line if point.y == BIN], page.look(style))
            _draw_shares(below, [point for point in line if point.y == IMAGES], page.look(style), place)
        axes.set(xlim=(0, 1), ylim=(-0.02, 1.02))
        lines = [_entry(point) for point in data.of(panel.name) if point.y == ECE]
        axes.set_title("\n".join([in_lines(panel.title), *filter(None, lines)]), size=SMALL + 0.6)
        below.set_xlabel(panel.x_title)
        if at % data.columns == 0:
            axes.set_ylabel(panel.y_title)
            below.set_ylabel("share")
    page.legend_of_lines(data)


def _draw_bins(axes: Axes, points: Sequence[Point], look: Look) -> None:
    xs, ys = [float(point.x) for point in points], [point.mean or 0.0 for point in points]
    reach = [
        [max(y - (point.low or 0.0), 0.0) for y, point in zip(ys, points, strict=True)],
        [max((point.high or 0.0) - y, 0.0) for y, point in zip(ys, points, strict=True)],
    ]
    axes.errorbar(
        xs, ys, reach, color=look.colour, marker=look.marker, linestyle=look.dash, elinewidth=0.6, capsize=1.2,
        capthick=0.6, markeredgewidth=0.3, markeredgecolor="white", linewidth=0.8,
    )  # fmt: skip


def _draw_shares(axes: Axes, points: Sequence[Point], look: Look, place: int) -> None:
    """Draw bars, those of two series side by side."""
    xs, ys = [float(point.x) for point in points], [point.mean or 0.0 for point in points]
    width = 0.9 / max(len(points), 15)
    shift = (place - 0.5) * width / 2
    axes.bar([x + shift for x in xs], ys, width / 2, color=look.colour, linewidth=0)


def _entry(point: Point) -> str:
    """Return the line of a panel's title that has a calibration error."""
    if point.mean is None:
        return ""
    ends = "" if point.low is None or point.high is None else f" [{point.low:.3f}, {point.high:.3f}]"
    return f"{'scaled' if point.series == SCALED else point.x} {point.mean:.3f}{ends}"
