"""A figure as data: what is drawn, and what its CSV file contains."""

from __future__ import annotations

import csv
import dataclasses
import io
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """One value of a figure, or its absence.

    Attributes:
        panel: Name of its panel.
        series: Name of its series: a model, a classifier, …
        x: Where it stands: a bar's label, a count of units, a layer, a rate.
        y: The second place, in maps. In panels with several kinds of points: which kind it is.
        mean: Mean over the seeds; None: not run, or undefined.
        std: Sample standard deviation over the seeds; None below two.
        n: Seeds behind the mean.
        published: The paper's value, where it is to be shown and can be had from printed numbers.
        marks: Signs that the notes explain.
        records: Digests (beginnings) of the groups of records behind it.
        low: Lower end of the 95 % interval, where the figure shows one.
        high: Its upper end.
    """

    panel: str
    series: str
    x: str | float
    y: str | int | None = None
    mean: float | None = None
    std: float | None = None
    n: int = 0
    published: float | None = None
    marks: str = ""
    records: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Panel:
    """One panel: its name in the points, and its texts."""

    name: str
    title: str
    x_title: str = ""
    y_title: str = ""


@dataclass(frozen=True)
class FigureData:
    """All that a picture shows.

    Attributes:
        name: As users type it, e.g. `wacv2024/figure4`.
        kind: Which drawing it takes.
        title: Its caption.
        panels: In reading order.
        series: Name -> number of its style: the same model looks the same in all figures of a paper.
        points: The values, in drawing order.
        columns: Panels next to each other.
        width: `column` or `text`.
        reference: The series or label that the others are measured by; empty: none.
        notes: Small print.
        commands: What runs the values that are missing.
    """

    name: str
    kind: str
    title: str
    panels: tuple[Panel, ...]
    series: dict[str, int]
    points: tuple[Point, ...]
    columns: int = 2
    width: str = "text"
    reference: str = ""
    notes: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()

    def of(self, panel: str, series: str | None = None) -> list[Point]:
        """Return the points of a panel, or of one series in it, in order."""
        return [p for p in self.points if p.panel == panel and series in (None, p.series)]

    @property
    def grouped(self) -> bool:
        """Whether the bars of a label are side by side, one for each series."""
        return any(point.series != point.x for point in self.points)

    def csv(self) -> str:
        """Return one line per value, numbers in full precision; the same records give the same text.

        Intervals have columns where the figure shows some.
        """
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        intervals = any(point.low is not None for point in self.points)
        names = [field.name for field in dataclasses.fields(Point) if intervals or field.name not in ("low", "high")]
        writer.writerow(names)
        for point in self.points:
            writer.writerow([_text(getattr(point, name)) for name in names])
        return out.getvalue()


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return repr(value) if isinstance(value, float) else str(value)
