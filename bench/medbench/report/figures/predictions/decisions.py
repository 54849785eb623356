"""Decision curves: net benefit of acting on a model, against acting on all or on none.

Vickers and Elkin, "Decision curve analysis: a novel method for evaluating prediction models" (Medical Decision Making
2006).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from medbench import stats
from medbench.errors import MedbenchError
from medbench.metrics.measures.class_sums import at_threshold
from medbench.metrics.scores import Array
from medbench.metrics.weighted_ranking import Weights
from medbench.report.figures.figure import FigureData, Panel, Point
from medbench.report.figures.lines import CURVE
from medbench.report.figures.predictions.runs import Run, Shown
from medbench.report.inference import DRAWS

KIND = "decision-curve"
ALL, NONE = "treat all", "treat none"
THRESHOLDS = np.arange(1, 100) / 100
"""Threshold probabilities."""


def collect(shown: Shown, class_name: str = "") -> FigureData:
    """Return the figure of some runs, for one class against the rest.

    Args:
        shown: The runs.
        class_name: The class; empty: class 1 of two.

    Raises:
        CardError: There is no such class.
        MedbenchError: There are several classes, and none is named.
    """
    k, first = shown.class_of(class_name), shown.runs[0]
    if k is None and not first.binary:
        raise MedbenchError(
            f"a decision curve shows one class, and {shown.dataset} has {len(shown.classes)}",
            f"name the class: --class CLASS, one of {', '.join(shown.classes)}",
        )
    k = 1 if k is None else k
    points = [point for run in shown.runs for point in _points(run, k)]
    share, odds = float(first.tests[0].has[:, k].mean()), THRESHOLDS / (1 - THRESHOLDS)
    for name, values in ((ALL, share - (1 - share) * odds), (NONE, np.zeros_like(odds))):
        points += [Point("", name, x, CURVE, y) for x, y in zip(THRESHOLDS.tolist(), values.tolist(), strict=True)]
    notes = [
        "net benefit: true positives − false positives · p / (1 − p), per image, at threshold probability p; "
        f"prevalence {share:.3f}",
        "bands: 95 % interval over test patients (images if patients are unknown) and seeds, separately at each p",
    ]
    return FigureData(
        name=f"dataset/{shown.dataset}/{KIND}",
        kind="lines",
        title=f"{shown.title}: decision curve of {shown.classes[k]} against the rest on the test split",
        panels=(Panel("", "", "threshold probability", "net benefit"),),
        series={**shown.series, ALL: -1, NONE: -2},
        points=tuple(points),
        columns=1,
        width="column",
        notes=(*notes, *shown.notes),
    )


def _points(run: Run, k: int) -> Iterator[Point]:
    """Yield the net benefit at each threshold: mean over seeds, with its interval."""
    limits, odds = np.log(THRESHOLDS) - np.log1p(-THRESHOLDS), THRESHOLDS / (1 - THRESHOLDS)
    plans = [
        at_threshold(
            "net_benefit", test.log_odds[:, [k]] >= limits, np.tile(test.has[:, [k]], len(limits)), odds[:, None]
        )
        for test in run.tests
    ]

    def values(weights: Weights) -> Array:
        return np.stack([plan(weights) for plan in plans], axis=1)

    drawn = stats.bootstrap_many(values, run.loaded.targets, run.loaded.groups, draws=DRAWS)
    for x, draws in zip(THRESHOLDS.tolist(), drawn, strict=True):
        ends = draws.interval()
        yield Point("", run.name, x, CURVE, draws.value, n=len(plans), low=ends.low, high=ends.high)
