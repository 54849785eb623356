"""Small line and bar plots as lean SVG: at most `POINTS` points a line, one decimal, styles by class alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from medbench.report.html.markup import Html, tag

POINTS = 100
"""Points drawn of one line."""

WIDTH, HEIGHT = 340, 220  # of the whole plot, in units of the view box
LEFT, RIGHT, TOP, BOTTOM = 42, 10, 10, 36  # margins
COLOURS = 8
"""Classes `c0` … `c7` of the style sheet: Okabe and Ito's colours, each with a dash of its own."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        points: (x, y); a point whose y is nan breaks nothing, it is left out.
        style: Classes of the style sheet: `c0` to `c7`, `grey`, and `thick` for the one that matters.
        marks: Points shown as dots.
    """

    points: Sequence[Point]
    style: str
    marks: Sequence[Point] = ()


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        title: What it shows.
        low: Its lower end.
        high: Its upper end.
        log: Whether steps are factors; both ends are above 0 then.
    """

    title: str
    low: float
    high: float
    log: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies, 0 at the lower and 1 at the upper end."""
        low, high, v = (math.log(t) for t in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        return 0.5 if high == low else (v - low) / (high - low)

    def ticks(self) -> list[float]:
        """Return about four round values, or powers of ten, within the ends."""
        if self.log:
            powers = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
            return [10.0**p for p in powers] if len(powers) > 1 else [self.low, self.high]
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        rough = span / 4
        base = 10 ** math.floor(math.log10(rough))
        step = next(base * m for m in (1, 2, 5, 10) if base * m >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


UNIT = (0.0, 1.0)


def span(title: str, values: Sequence[float], log: bool = False) -> Axis:
    """Return the axis that holds all values, a little wider unless it is logarithmic.

    Args:
        title: What it shows.
        values: Those to hold; nan and infinite ones do not count.
        log: Whether steps are factors.
    """
    known = [v for v in values if math.isfinite(v)] or list(UNIT)
    low, high = min(known), max(known)
    rim = 0.0 if log else (0.04 * (high - low) or 0.5)
    return Axis(title, low - rim, high + rim, log)


def plot(
    name: str, x: Axis, y: Axis, lines: Sequence[Line], *, bars: Sequence[float] = (), diagonal: bool = False
) -> Html:
    """Return a plot.

    Args:
        name: What it shows, for those who do not see it.
        x: The axis across.
        y: The axis upwards.
        lines: What is drawn, the last on top.
        bars: Heights of bars that share the width of the axis; nan: none there.
        diagonal: Whether the line from corner to corner is drawn below the others.
    """
    parts = [_grid(x, y)]
    if bars:
        parts.append(tag("path", class_="bars", d=_bars(bars, y)))
    if diagonal:
        parts.append(tag("path", class_="rule", d=f"M{LEFT} {HEIGHT - BOTTOM}L{WIDTH - RIGHT} {TOP}"))
    for line in lines:
        parts.append(tag("path", class_=f"line {line.style}", d=_path(line.points, x, y)))
        parts += [tag("circle", class_=line.style, r="3.5", cx=a, cy=b) for a, b in _placed(line.marks, x, y)]
    size = {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "width": WIDTH, "height": HEIGHT}
    return tag("svg", *parts, class_="plot", role="img", aria_label=name, **size)


def thinned(points: Sequence[Point], limit: int = POINTS) -> list[Point]:
    """Return at most `limit` points, evenly taken, the first and the last among them."""
    known = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if len(known) <= limit:
        return known
    return [known[round(i * (len(known) - 1) / (limit - 1))] for i in range(limit)]


def _placed(points: Sequence[Point], x: Axis, y: Axis) -> list[tuple[str, str]]:
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    return [(_short(LEFT + wide * x.share(a)), _short(HEIGHT - BOTTOM - high * y.share(b))) for a, b in thinned(points)]


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _path(points: Sequence[Point], x: Axis, y: Axis) -> str:
    return "M" + "L".join(f"{a} {b}" for a, b in _placed(points, x, y)) if len(points) else ""


def _bars(heights: Sequence[float], y: Axis) -> str:
    step = (WIDTH - LEFT - RIGHT) / len(heights)
    high, foot = HEIGHT - TOP - BOTTOM, HEIGHT - BOTTOM
    parts = []
    for i, value in enumerate(heights):
        if math.isfinite(value):
            left, top = LEFT + i * step + 0.5, foot - high * y.share(value)
            parts.append(f"M{_short(left)} {foot}V{_short(top)}h{_short(step - 1)}V{foot}z")
    return "".join(parts)


def _grid(x: Axis, y: Axis) -> Html:
    """Return the frame, the ticks and the titles."""
    foot, middle = HEIGHT - BOTTOM, TOP + (HEIGHT - TOP - BOTTOM) / 2
    across = [(LEFT + (WIDTH - LEFT - RIGHT) * x.share(t), t) for t in x.ticks()]
    upwards = [(foot - (foot - TOP) * y.share(t), t) for t in y.ticks()]
    rules = [f"M{_short(at)} {TOP}V{foot}" for at, _ in across] + [
        f"M{LEFT} {_short(at)}H{WIDTH - RIGHT}" for at, _ in upwards
    ]
    frame = f"M{LEFT} {TOP}V{foot}H{WIDTH - RIGHT}"
    parts = [tag("path", class_="ticks", d="".join(rules)), tag("path", class_="frame", d=frame)]
    parts += [_label(at, foot + 13, f"{t:g}") for at, t in ((a, round(t, 12)) for a, t in across)]
    parts += [_label(LEFT - 5, at + 4, f"{round(t, 12):g}", "end") for at, t in upwards]
    parts.append(_label(LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 5, x.title))
    turned = f"rotate(-90 11 {_short(middle)})"
    parts.append(tag("text", y.title, x=11, y=_short(middle), text_anchor="middle", transform=turned))
    return tag("g", *parts)


def _label(x: float, y: float, content: str, anchor: str = "middle") -> Html:
    return tag("text", content, x=_short(x), y=_short(y), text_anchor=anchor)
