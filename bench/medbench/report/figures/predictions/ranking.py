"""ROC and precision-recall curves: one line for each run, with the area and its interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from medbench.metrics.measures.thresholds import RECORDED, Rule, thresholds
from medbench.metrics.scores import Array
from medbench.report.figures.figure import FigureData, Panel, Point
from medbench.report.figures.lines import AREA, CURVE, SIGNS
from medbench.report.figures.predictions.averages import FALSE_RATES, RECALLS, At, averaged, precision_at, roc_at
from medbench.report.figures.predictions.runs import Run, Shown


@dataclass(frozen=True)
class Ranking:
    """A kind of curve.

    Attributes:
        kind: The kind of figure.
        metric: The area below the curve.
        places: Where curves are read.
        at: Reads them.
        titles: Of the x and the y axis.
        reference: Name of the line of a score without information.
    """

    kind: str
    metric: str
    places: Array
    at: At
    titles: tuple[str, str]
    reference: str

    @property
    def name(self) -> str:
        """What captions call it."""
        return "ROC curves" if self.kind == "roc" else "precision-recall curve"


ROC = Ranking("roc", "auroc", FALSE_RATES, roc_at, ("false positive rate (1 − specificity)", "sensitivity"), "chance")
PRECISION = Ranking("pr", "ap", RECALLS, precision_at, ("recall (sensitivity)", "precision (PPV)"), "prevalence")


def collect(shown: Shown, how: Ranking, class_name: str = "") -> FigureData:
    """Return the figure of some runs: of one class against the rest, or the mean over classes.

    Args:
        shown: The runs.
        how: ROC or precision.
        class_name: The class; empty: class 1 of two classes, else the mean over all classes.

    Raises:
        CardError: There is no such class.
    """
    k, first = shown.class_of(class_name), shown.runs[0]
    one = 1 if k is None and first.binary else k
    columns = list(range(len(shown.classes))) if one is None else [one]
    points = [point for run in shown.runs for point in _points(run, how, columns, k)]
    what = "mean over classes, each against the rest" if one is None else f"{shown.classes[one]} against the rest"
    notes = [f"{how.metric} with its 95 % interval over test patients (images if patients are unknown) and seeds"]
    several = any(run.group.n > 1 for run in shown.runs)
    notes += ["lines: mean over seeds; bands: from the lowest to the highest seed"] * several
    kinds = {point.y for point in points}
    if signs := [f"{SIGNS[rule.kind]} {rule}" for rule in RECORDED if str(rule) in kinds]:
        notes.append(f"{', '.join(signs)}: thresholds chosen on validation, applied to test")
    return FigureData(
        name=f"dataset/{shown.dataset}/{how.kind}",
        kind="lines",
        title=f"{shown.title}: {how.name} on the test split, {what}",
        panels=(Panel("", "", *how.titles),),
        series={**shown.series, how.reference: -1},
        points=(*points, *_reference(first, how, columns)),
        columns=1,
        width="column",
        notes=(*notes, *shown.notes),
    )


def _points(run: Run, how: Ranking, columns: Sequence[int], k: int | None) -> Iterator[Point]:
    """Yield the area, the curve and, for one class, the points at thresholds that were chosen on validation."""
    curves = averaged(how.at, [(test.log_odds, test.has) for test in run.tests], columns)
    if curves is None:
        return
    yield run.summary(how.metric, AREA, k)
    if how is ROC:
        yield Point("", run.name, 0.0, CURVE, 0.0, low=0.0, high=0.0)
    for x, values in zip(how.places.tolist(), curves.T, strict=True):
        yield Point("", run.name, x, CURVE, float(values.mean()), low=float(values.min()), high=float(values.max()))
    for rule in RECORDED if len(columns) == 1 and run.validations else ():
        if (place := _operating(run, how, rule, columns[0])) is not None:
            yield Point("", run.name, place[0], str(rule), place[1])


def _operating(run: Run, how: Ranking, rule: Rule, k: int) -> tuple[float, float] | None:
    """Return where a rule's thresholds from validation lie on test, mean over the seeds that have one."""
    places = []
    for test, validation in zip(run.tests, run.validations, strict=True):
        (limit,) = thresholds(rule, validation.log_odds[:, [k]], validation.has[:, [k]])
        has, called = test.has[:, k], test.log_odds[:, k] >= limit
        true, false = int((called & has).sum()), int((called & ~has).sum())
        if not np.isnan(limit) and (how is ROC or true + false):
            recall = true / has.sum()
            places.append((false / (~has).sum(), recall) if how is ROC else (recall, true / (true + false)))
    if not places:
        return None
    x, y = np.mean(places, axis=0).tolist()
    return x, y


def _reference(run: Run, how: Ranking, columns: Sequence[int]) -> list[Point]:
    """Return the line of a score without information: the diagonal, or the share of images that have the class."""
    shares = run.tests[0].has[:, columns].mean(axis=0)
    ends = (0.0, 1.0) if how is ROC else (float(shares[shares > 0].mean()),) * 2 if shares.any() else ()
    return [Point("", how.reference, x, CURVE, y) for x, y in zip((0.0, 1.0), ends, strict=False)]
