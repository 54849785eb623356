"""The critical-difference diagram of a study (Demšar 2006): mean ranks on an axis, with bars."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from medbench.errors import MedbenchError
from medbench.report.figures.figure import FigureData, Panel, Point
from medbench.report.ranks.ranks_table import RankedStudy
from medbench.stats.ranks import bars

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from medbench.report.figures.canvas import Page

KIND = "ranks"
RANKS, TEST = "ranks", "test"
CRITICAL = "critical difference"
LETTER = 0.052  # inches, a letter of a label
LONGEST = 44  # letters of a name that are shown
LEVEL, GAP = 0.17, 0.1  # inches from label to label and from bar to bar
TOP = 0.55  # inches above the axis
WIDE: dict[str, Any] = {"linewidth": 3.0, "solid_capstyle": "butt", "color": "0.1"}
THIN: dict[str, Any] = {"linewidth": 0.6, "color": "0.1"}


def of_study(study: RankedStudy) -> FigureData:
    """Return the diagram of a study.

    Raises:
        MedbenchError: Too little was run for a ranking.
    """
    ranking, name = study.ranking, study.table.name
    if ranking is None:
        commands = "; ".join(study.table.commands[:1]) or f"see: medbench table {name}"
        raise MedbenchError(f"{name}: two entrants with numbers on the same two data sets are needed", commands)
    labels = [study.card.entrants[i].name for i in ranking.entrants]
    rows = zip(labels, ranking.mean_ranks, ranking.repeats or [None] * len(labels), strict=True)
    points = [
        Point(
            RANKS, label, label, mean=mean, n=len(ranking.columns), low=own.low if own else None,
            high=own.high if own else None,
        )
        for label, mean, own in rows
    ]  # fmt: skip
    test = ranking.test
    points += [
        Point(TEST, "Friedman", "p", mean=None if math.isnan(test.p) else test.p),
        Point(TEST, "Nemenyi", CRITICAL, mean=test.difference),
    ]
    return FigureData(
        name=name,
        kind=KIND,
        title=study.table.title,
        panels=(Panel(RANKS, ""),),
        series={label: i for i, label in enumerate(labels)},
        points=tuple(points),
        columns=1,
        notes=(
            "bars connect entrants whose mean ranks differ by less than Nemenyi's critical difference (CD) at 0.05; "
            "in brackets: 95 % interval of the mean rank over patients and seeds on these data sets",
            *study.table.notes,
        ),
        commands=study.table.commands,
    )


def draw(page: Page, data: FigureData) -> None:
    """Draw the axis with the critical difference above it, bars below it, and a label for each entrant."""
    points = sorted((p for p in data.of(RANKS) if p.mean is not None), key=lambda p: p.mean or 0.0)
    means = [point.mean or 0.0 for point in points]
    difference = next(p.mean for p in data.of(TEST) if p.x == CRITICAL) or 0.0
    groups = bars(means, difference)
    left = math.ceil(len(points) / 2)
    depth = 0.12 + GAP * len(groups)
    height = TOP + depth + LEVEL * left + 0.1
    axes = page.stacked(1, (height / 0.72,))[0]
    axes.set_axis_off()
    labels = [_label(point) for point in points]
    sides = [LETTER * max(map(len, part), default=0) + 0.1 for part in (labels[:left], labels[left:])]
    last = max(len(points), 2)
    unit = (page.width - sum(sides)) / (last - 1)
    axes.set_xlim(1 - sides[0] / unit, last + sides[1] / unit)
    axes.set_ylim(depth + LEVEL * left + 0.1, -TOP)  # inches below the axis
    _draw_axis(axes, last, difference)
    for at, group in enumerate(groups):
        ends = [means[i] for i in (group[0], group[-1])]
        axes.plot([ends[0] - 0.03, ends[1] + 0.03], [0.1 + GAP * at] * 2, **WIDE)
    for i, (mean, label) in enumerate(zip(means, labels, strict=True)):
        first = i < left
        level = depth + LEVEL * ((i if first else len(points) - 1 - i) + 0.5)
        end = 1 - 0.05 / unit if first else last + 0.05 / unit
        axes.plot([mean, mean, end], [0, level, level], **THIN)
        axes.text(end, level, f"{label} " if first else f" {label}", ha="right" if first else "left", va="center")


def _draw_axis(axes: Axes, last: int, difference: float) -> None:
    """Draw the axis of ranks from 1, the best, to the last; above it the length of the critical difference."""
    axes.plot([1, last], [0, 0], **THIN)
    for half in range(2, 2 * last + 1):
        whole = half % 2 == 0
        axes.plot([half / 2] * 2, [-0.06 if whole else -0.03, 0], **THIN)
        if whole:
            axes.text(half / 2, -0.08, str(half // 2), ha="center", va="bottom")
    end = min(1 + difference, last)
    axes.plot([1, end], [-0.32, -0.32], linewidth=1.2, color="0.1")
    for x in (1.0, end) if 1 + difference <= last else (1.0,):
        axes.plot([x, x], [-0.35, -0.29], **THIN)
    over = " (longer than the axis)" if 1 + difference > last else ""
    axes.text((1 + end) / 2, -0.36, f"CD {difference:.3f}{over}", ha="center", va="bottom")


def _label(point: Point) -> str:
    name = point.series if len(point.series) <= LONGEST else f"{point.series[: LONGEST - 1]}…"
    ends = "" if point.low is None or point.high is None else f" [{point.low:.2f}, {point.high:.2f}]"
    return f"{name}  {point.mean:.2f}{ends}"
