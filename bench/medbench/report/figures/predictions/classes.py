"""A metric of each class against the rest, with its interval, for several runs."""

from __future__ import annotations

from medbench.errors import CardError
from medbench.metrics.measures import measure
from medbench.report.figures import dots
from medbench.report.figures.figure import FigureData, Panel, Point
from medbench.report.figures.names import short
from medbench.report.figures.predictions.runs import Run, Shown
from medbench.report.measured import by_class

KIND = "per-class"
USUAL = "auroc"
ALIKE = (
    "without a line: all bootstrap samples give the same value, for example if all of a few images are right; "
    "this does not mean that the value is certain"
)
MOST = 40
"""Most classes."""


def collect(shown: Shown, metric: str = "") -> FigureData:
    """Return the figure of some runs: a row for each class, with its number of test images.

    Args:
        shown: The runs.
        metric: A metric that is defined for each class; empty: AUROC.

    Raises:
        CardError: The metric is unknown, or not defined for each class.
    """
    one = measure((metric or USUAL).lower())
    if len(shown.classes) > MOST:
        raise CardError(
            f"the figure would show {len(shown.classes)} classes, more than {MOST}",
            f"show them as a table: medbench table dataset/{shown.dataset} --per-class",
        )
    points = tuple(point for run in shown.runs for point in _points(run, one.id))
    notes = [
        "lines: 95 % interval over test patients (images if patients are unknown) and seeds; in brackets: test images"
    ]
    notes += [f"{'temperature fitted' if one.scaled else 'threshold chosen'} on validation"] * one.on_validation
    notes += [ALIKE] * any(point.mean is not None and point.low is None for point in points)
    lacking = [
        f"no number: {run.name}" for run in shown.runs if all(p.mean is None for p in points if p.series == run.name)
    ]
    return FigureData(
        name=f"dataset/{shown.dataset}/{KIND}",
        kind=dots.KIND,
        title=f"{shown.title}: {one.id} of each class against the rest on the test split",
        panels=(Panel("", "", one.id),),
        series=shown.series,
        points=points,
        columns=1,
        width="column",
        notes=(*notes, *lacking, *shown.notes),
    )


def _points(run: Run, metric: str) -> list[Point]:
    records, points = (run.group.first.group[:12],), []
    for (name, images), numbers in zip(run.classes.items(), by_class(run.group, [metric]), strict=True):
        one, row = numbers[metric], f"{short(name)} ({images})"
        low, high = (one.low, one.high) if one.low != one.high else (None, None)
        points.append(Point("", run.name, row, None, one.value, one.std, one.n, records=records, low=low, high=high))
    return points
