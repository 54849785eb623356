"""The page a figure is drawn on: panels, bars, lines, maps, legend and the small print below."""

from __future__ import annotations

import io
import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from medbench.report.figures.figure import FigureData, Point
from medbench.report.figures.style import GROUPS, LOOKS, MAP, NEUTRAL, SMALL, WIDTHS, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

GREY = "0.45"
ASIDE = 0.22  # how far right of ours published values of a curve stand
NUMBER = 0.3  # inches from bar to bar at least, if their numbers are to stand side by side
LETTER = 0.055  # inches, a letter of an axis
HANDLE = 0.45  # inches, the symbol of a legend's entry and the space around it
SHORT = 12  # letters of a name that the height of a panel leaves room for
MARGIN = 0.04  # inches, next to the small print
LINES = 14  # of small print; what is left out is said on the command line
METADATA: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}


class Page:
    """One picture in the making; to be used inside `style.context()`."""

    def __init__(self, data: FigureData) -> None:
        from matplotlib.figure import Figure

        self.data = data
        self.width = WIDTHS[data.width]
        self.figure = Figure(figsize=(self.width, 3), layout="constrained")
        self._axes: list[Axes] = []
        self._height = 3.0
        self._legend = self._names = 0.0

    @staticmethod
    def look(style: int) -> Look:
        """Return how a model's series looks; a negative style stands for no model: -1 solid, -2 dashed.

        Styles that have a colour in common, those n and n + 8, differ in marker and dash.
        """
        if style < 0:
            return NEUTRAL if style == -1 else replace(NEUTRAL, dash=LOOKS[1].dash)
        n = len(LOOKS)
        form = LOOKS[(style + style // n) % n]
        return replace(LOOKS[style % n], marker=form.marker, dash=form.dash)

    @staticmethod
    def grouped(style: int) -> Look:
        """Return how one of several bars of a label looks."""
        return GROUPS[style % len(GROUPS)]

    def grid(self, n: int, columns: int, square: bool = False) -> list[Axes]:
        """Return n panels, so many next to each other, in reading order."""
        rows = math.ceil(n / columns)
        side = (self.width - 1.5) / columns
        self._height = rows * (side + 0.25) + 0.7 if square else rows * 1.55 + 0.5
        found = self.figure.subplots(rows, columns, squeeze=False).flat
        self._axes = list(found)
        for axes in self._axes[n:]:
            axes.remove()
        self._axes = self._axes[:n]
        return self._axes

    def stacked(self, n: int, heights: Sequence[float]) -> list[Axes]:
        """Return panels above each other that share their x axis."""
        self._height = 0.72 * sum(heights)
        found = self.figure.subplots(n, 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})
        self._axes = list(found.flat)
        return self._axes

    def pairs(self, n: int, columns: int) -> list[tuple[Axes, Axes]]:
        """Return n pairs of a square panel and a low one below it with the same x axis, in reading order."""
        rows = math.ceil(n / columns)
        side = (self.width - 0.5) / columns - 0.35
        self._height = rows * (1.25 * side + 0.75) + 0.25
        ratios = [4, 1] * rows
        found = self.figure.subplots(
            2 * rows, columns, sharex=True, squeeze=False, gridspec_kw={"height_ratios": ratios}
        )
        places = [divmod(i, columns) for i in range(rows * columns)]
        pairs = [(found[2 * row][column], found[2 * row + 1][column]) for row, column in places]
        for axes in (axes for pair in pairs[n:] for axes in pair):
            axes.remove()
        self._axes = [axes for pair in pairs[:n] for axes in pair]
        return pairs[:n]

    def maps(self, n: int, columns: int, rows: int, height: float) -> list[Axes]:
        """Return n panels with so many rows of cells each, which are `height` inches high."""
        lines = math.ceil(n / columns)
        self._height = (height * rows + 0.35) * lines + 0.9
        found = list(self.figure.subplots(lines, columns, squeeze=False).flat)
        for axes in found[n:]:
            axes.remove()
        self._axes = found[:n]
        return self._axes

    def squares(self, rows: int, columns: int) -> list[list[Axes]]:
        """Return a grid of square panels."""
        side = (self.width - 1.3) / columns - 0.1
        self._height = (side + 0.1) * rows + 0.55
        found = self.figure.subplots(rows, columns, squeeze=False)
        self._axes = list(found.flat)
        return [list(line) for line in found]

    def bar(self, axes: Axes, at: float, width: float, point: Point, look: Look, label: bool = True) -> None:
        """Draw one bar: ours solid with its deviation, the paper's hollow; neither: `not run`."""
        edge: dict[str, Any] = {"edgecolor": "0.1", "linewidth": 0.5}
        if point.mean is not None:
            axes.bar(at, point.mean, width, color=look.colour, hatch=look.hatch, **edge)
            reach = self._reach(point)
            if reach is not None:
                axes.errorbar(at, point.mean, reach, color="0.1", elinewidth=0.7, capsize=1.5, capthick=0.7)
            if point.published is not None:
                axes.plot(at, point.published, "D", markersize=3.2, mfc="white", mec="0.1", mew=0.7, zorder=4)
            self._value(axes, at, point, label)
        elif point.published is not None:
            axes.bar(at, point.published, width, facecolor="white", edgecolor=look.colour, hatch=look.hatch, lw=0.8)
        else:
            across = axes.get_xaxis_transform()
            axes.text(
                at, 0.03, "not run", rotation=90, ha="center", va="bottom", color=GREY, transform=across, size=SMALL
            )

    def _reach(self, point: Point) -> list[list[float]] | None:
        """Return how far a bar's line reaches down and up: its interval, or in figures without intervals its std."""
        if point.mean is not None and point.low is not None and point.high is not None:
            return [[max(point.mean - point.low, 0.0)], [max(point.high - point.mean, 0.0)]]
        if point.std is None or any(other.low is not None for other in self.data.points):
            return None
        return [[point.std], [point.std]]

    def bars(self, axes: Axes, data: FigureData, points: Sequence[Point], numbers: bool = True) -> None:
        """Draw a panel's bars over their labels, those of one label side by side, with numbers if these have room."""
        labels = list(dict.fromkeys(str(point.x) for point in points))
        self.names(axes, labels)
        if self.nothing(points):
            return
        width = 0.84 / len(data.series) if data.grouped else 0.74
        pitch = (self.width / data.columns - 0.45) / len(labels) * (width if data.grouped else 1)
        for point in points:
            beside = [p.series for p in points if p.x == point.x]
            at = labels.index(str(point.x)) + (beside.index(point.series) - (len(beside) - 1) / 2) * width
            style = data.series[point.series]
            look = self.grouped(style) if data.grouped else self.look(style)
            self.bar(axes, at, width * (0.95 if data.grouped else 1), point, look, numbers and pitch > NUMBER)

    def _value(self, axes: Axes, at: float, point: Point, label: bool) -> None:
        assert point.mean is not None
        number = self._number(point) if label else ""
        if number + point.marks:
            reach = self._reach(point)
            top = max(point.mean + (reach[1][0] if reach else 0.0), point.published or 0.0, 0.0)
            place: dict[str, Any] = {"xytext": (0, 2.5), "textcoords": "offset points", "ha": "center", "va": "bottom"}
            axes.annotate(number + point.marks, (at, top), size=SMALL, annotation_clip=False, **place)

    def _number(self, point: Point) -> str:
        """Return a bar's number; changes have a sign, and what they are measured from is 0."""
        assert point.mean is not None
        if not self.data.reference:
            return f"{point.mean:.3f}"
        own = point.x == self.data.reference and point.mean == 0
        return "0" if own else f"{round(point.mean, 1) + 0.0:+.1f}".replace("-", "−")

    @staticmethod
    def room_for_values(panels: Sequence[Axes]) -> None:
        """Leave room above the bars for their numbers or marks."""
        for axes in panels:
            low, high = axes.get_ylim()
            axes.set_ylim(low, high + 0.08 * (high - low))

    def outer(self, at: int) -> tuple[bool, bool]:
        """Tell whether panel number `at` of a grid is in the first column, and whether no panel is below it."""
        return at % self.data.columns == 0, at + self.data.columns >= len(self._axes)

    @staticmethod
    def same_height(panels: Sequence[Axes]) -> None:
        """Give panels the same y axis."""
        ends = [axes.get_ylim() for axes in panels]  # read before any is set
        for axes in panels:
            axes.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))

    @staticmethod
    def y_title(axes: Axes, text: str) -> None:
        """Name the y axis, in two lines where one would be higher than a panel."""
        axes.set_ylabel("\n".join(textwrap.wrap(text, max(20, math.ceil(len(text) / 2) + 2))))

    def names(self, axes: Axes, labels: Sequence[str]) -> None:
        """Name the places 0, 1, … of the x axis; long names are slanted, and the page grows with them."""
        longest = max(map(len, labels), default=0)
        self._names = max(self._names, LETTER * math.sqrt(0.5) * (longest - SHORT))
        wide = longest > 2
        turn: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if wide else {}
        axes.set_xticks(range(len(labels)), labels, **turn)
        axes.set_xlim(-0.6, len(labels) - 0.4)

    def line(self, axes: Axes, points: Sequence[Point], look: Look, shift: float = 0.0) -> None:
        """Draw one line with its markers and deviations; published values as hollow markers in its colour.

        `shift` to the right keeps deviations of several lines apart.
        """
        places = [int(point.x) + shift for point in points]
        means = [math.nan if point.mean is None else point.mean for point in points]
        spread = [point.std or 0.0 for point in points]
        if not all(map(math.isnan, means)):
            axes.errorbar(
                places, means, spread, color=look.colour, marker=look.marker, linestyle=look.dash, elinewidth=0.6,
                capsize=1.2, capthick=0.6, markeredgewidth=0.3, markeredgecolor="white",
            )  # fmt: skip
        for point, after in zip(points, [*points[1:], None], strict=True):
            if point.published is not None:
                hollow: dict[str, Any] = {"mfc": "white", "mec": look.colour, "mew": 0.9, "ms": 4.4, "zorder": 4}
                axes.plot(int(point.x) + ASIDE + shift, point.published, look.marker, **hollow)
            if point.marks and point.mean is not None and (after is None or after.marks != point.marks):
                place: dict[str, Any] = {"xytext": (2, 2), "textcoords": "offset points"}
                axes.annotate(point.marks, (int(point.x) + shift, point.mean), size=SMALL, color=look.colour, **place)

    @staticmethod
    def empty(axes: Axes) -> None:
        """Hatch a panel in which nothing was run; its y axis would have no meaning."""
        from matplotlib.patches import Rectangle

        axes.add_patch(
            Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, hatch="////", edgecolor="0.85", lw=0)
        )
        axes.text(
            0.5, 0.5, "not run", transform=axes.transAxes, ha="center", va="center", color=GREY, size=SMALL,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
        axes.grid(visible=False)
        axes.set_yticks([])

    @staticmethod
    def nothing(points: Sequence[Point]) -> bool:
        """Tell whether a panel has no value at all."""
        return all(point.mean is None and point.published is None for point in points)

    def heat(self, axes: Axes, points: Sequence[Point]) -> AxesImage | None:
        """Draw one map of integer places, the origin below on the left."""
        known = [point for point in points if point.mean is not None]
        axes.grid(visible=False)
        axes.set_box_aspect(1)
        if not known:
            self.empty(axes)
            axes.set_xticks([])
            return None
        xs, ys = [int(point.x) for point in known], [int(point.y or 0) for point in known]
        cells = [[math.nan] * (max(xs) + 1) for _ in range(max(ys) + 1)]
        for x, y, point in zip(xs, ys, known, strict=True):
            cells[y][x] = point.mean if point.mean is not None else math.nan
        axes.set_xticks(_few(max(xs)))
        axes.set_yticks(_few(max(ys)))
        return axes.imshow(cells, vmin=0, vmax=1, cmap=MAP, origin="lower", aspect="auto", interpolation="nearest")

    def matrix(self, axes: Axes, points: Sequence[Point], labels: Sequence[str]) -> AxesImage | None:
        """Draw one square of pairs with the numbers in it; pairs that are missing are dashes."""
        at = {label: i for i, label in enumerate(labels)}
        axes.grid(visible=False)
        axes.set_box_aspect(1)
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
        if self.nothing(points):
            self.empty(axes)
            axes.set_xlim(-0.5, len(labels) - 0.5)
            axes.set_yticks(range(len(labels)), labels)
            axes.set_ylim(len(labels) - 0.5, -0.5)
            return None
        axes.set_yticks(range(len(labels)), labels)
        cells = [[math.nan] * len(labels) for _ in labels]
        for point in points:
            row, column = at[point.series], at[str(point.x)]
            cells[row][column] = math.nan if point.mean is None else point.mean
            text = "–" if point.mean is None else f"{round(point.mean, 2) + 0.0:.2f}{point.marks}".replace("-", "−")
            dark = point.mean is not None and point.mean < 0.6
            axes.text(column, row, text, ha="center", va="center", size=SMALL - 0.6, color="white" if dark else "black")
        return axes.imshow(cells, vmin=0, vmax=1, cmap=MAP, interpolation="nearest")

    def scale(self, image: AxesImage | None, title: str) -> None:
        """Add the colour scale of all maps."""
        if image is not None:
            bar = self.figure.colorbar(image, ax=self._axes, shrink=0.6, aspect=28, pad=0.02)
            bar.set_label(title)
            bar.outline.set_linewidth(0.4)

    def legend_of_lines(
        self, data: FigureData, entries: Mapping[str, str] | None = None, markers: bool = True, lines: bool = True
    ) -> None:
        """Name the lines above the panels.

        Args:
            data: What is drawn.
            entries: Series -> its entry; None: the series' name.
            markers: Whether the series have markers.
            lines: Whether they have lines.
        """
        from matplotlib.lines import Line2D

        handles = []
        for name, style in data.series.items():
            look, entry = self.look(style), name if entries is None else entries[name]
            form: dict[str, Any] = {"marker": look.marker if markers else None, "linestyle": look.dash if lines else ""}
            handles.append(Line2D([], [], color=look.colour, label=entry, **form))
        self._add_legend(handles)

    def legend_of_groups(self, data: FigureData) -> None:
        """Name the groups of bars above the panels, if there are several."""
        from matplotlib.patches import Patch

        if len(data.series) < 2:
            return
        looks = {name: self.grouped(style) for name, style in data.series.items()}
        self._add_legend([Patch(fc=k.colour, hatch=k.hatch, ec="0.1", lw=0.5, label=name) for name, k in looks.items()])

    def _add_legend(self, handles: list[Any]) -> None:
        columns = min(len(handles), 8 if self.data.width == "text" else 4)
        names = [len(str(handle.get_label())) for handle in handles]
        while columns > 1 and _legend_width(names, columns) > self.width:
            columns -= 1
        self.figure.legend(handles=handles, loc="outside upper center", ncols=columns)
        self._legend = 0.17 * math.ceil(len(handles) / columns)

    def save(self, form: str, dpi: float) -> bytes:
        """Return the picture's bytes, the caption and the small print below it."""
        caption = self._wrapped(f"{self.data.name}. {self.data.title}.", "bold")
        lines: list[str] = []
        for note in self.data.notes:
            lines += self._wrapped(note, "normal") if len(lines) <= LINES else []
        if len(lines) > LINES:
            lines = [*lines[: LINES - 1], f"… more: medbench figure {self.data.name}"]
        high = SMALL * 1.25 / 72
        foot = high * (len(caption) + len(lines)) + 0.12
        total = self._height + self._legend + self._names + foot
        self.figure.set_size_inches(self.width, total)
        engine = self.figure.get_layout_engine()
        assert engine is not None
        engine.set(rect=(0, foot / total, 1, 1 - foot / total))  # type: ignore[call-arg]
        for at, line in enumerate([*caption, *lines]):
            weight = "bold" if at < len(caption) else "normal"
            place = (MARGIN / self.width, (foot - 0.06 - high * at) / total)
            self.figure.text(*place, line, size=SMALL, weight=weight, va="top")
        out = io.BytesIO()
        self.figure.savefig(out, format=form, dpi=dpi, metadata=METADATA[form])
        return out.getvalue()

    def _wrapped(self, text: str, weight: str) -> list[str]:
        """Return the lines of a text that fit the page's width as they are drawn, the later ones indented."""
        from matplotlib.font_manager import FontProperties
        from matplotlib.textpath import TextToPath

        font, measure = FontProperties(size=SMALL, weight=weight), TextToPath().get_text_width_height_descent
        lines: list[str] = []
        for word in text.split():
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and measure(longer, font, ismath=False)[0] > 72 * (self.width - 2 * MARGIN):
                longer, lines = f"   {word}", [*lines, ""]
            lines = [*lines[:-1], longer]
        return lines


def _legend_width(names: Sequence[int], columns: int) -> float:
    """Return the approximate width of a legend in inches; its entries fill column by column.

    Args:
        names: Letters of each entry.
        columns: Its columns.
    """
    rows, more = divmod(len(names), columns)
    ends = [rows * i + min(i, more) for i in range(columns + 1)]
    return sum(HANDLE + LETTER * max(names[at:end]) for at, end in itertools.pairwise(ends))


def _few(last: int) -> list[int]:
    """Return the ticks 0, middle and last of a map's side."""
    return sorted({0, (last + 1) // 2, last})
