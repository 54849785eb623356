"""The plots of one run's page, as bytes of PNG files: curves, confusion, ROC, calibration."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from medbench.records import Record
from medbench.records.store import HISTORY
from medbench.report.figures.names import short
from medbench.report.figures.style import LOOKS, MAP, context
from medbench.report.html import diagnostics
from medbench.report.inference import Predicted
from medbench.report.tables.table import Table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SIZE = (2.75, 2.3)  # inches
MARGINS = (0.19, 0.16, 0.97, 0.97)  # left, bottom, right, top
DPI = 160
COLOURS = 128
LEGEND = 5.5
"""Points of the letters of a legend."""
LETTER, ROW = 0.05, 0.13  # inches, of a legend
NAMED = len(LOOKS)
"""Up to so many lines have a colour and a name each; if there are more, all but the mean are grey."""
SHOWN = 20  # most classes of a confusion matrix
LONG = 50  # letters of a row's name


class Canvas:
    """A plot: draw on `axes`; `png` holds the bytes afterwards."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self.png = b""


@contextmanager
def canvas(x: str, y: str, width: float = 1.0, height: float = 1.0, names: bool = False) -> Iterator[Canvas]:
    """Yield an empty plot with titled axes in the style of the figures.

    Args:
        x: Title of the horizontal axis.
        y: Title of the vertical axis.
        width: Relative to the usual width.
        height: Relative to the usual height.
        names: Whether the ticks are names, for which room is measured (50 % slower).
    """
    from matplotlib.figure import Figure

    with context():
        figure = Figure(figsize=(SIZE[0] * width, SIZE[1] * height), layout="constrained" if names else None)
        if not names:
            figure.subplots_adjust(*MARGINS)
        made = Canvas(figure.subplots())
        made.axes.set(xlabel=x, ylabel=y)
        yield made
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=DPI)
        made.png = _small(out)


def _small(png: io.BytesIO) -> bytes:
    """Return a picture with at most `COLOURS` colours, which a plot needs no more of: about a third of the bytes."""
    from PIL import Image

    out = io.BytesIO()
    Image.open(png).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(out, format="png", optimize=True)
    return out.getvalue()


def _name_lines(axes: Axes, title: str = "") -> None:
    """Name what is drawn above the plot, which grows by the rows of the legend: nothing is covered."""
    handles, names = axes.get_legend_handles_labels()
    across = max(1, int(SIZE[0] / (0.4 + LETTER * max(map(len, names)))))
    high = ROW * (math.ceil(len(names) / across) + bool(title))
    figure = axes.get_figure(root=True)
    assert figure is not None
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + high)
    figure.subplots_adjust(bottom=MARGINS[1] * height / (height + high), top=MARGINS[3] * height / (height + high))
    how: dict[str, Any] = {"title": title or None, "fontsize": LEGEND, "title_fontsize": LEGEND, "borderaxespad": 0.1}
    figure.legend(handles, names, loc="upper center", ncols=across, **how)


def curves(records: Sequence[Record], metric: str) -> bytes | None:
    """Return validation (or, without one, loss) over the epochs or the grid, mean over seeds; None without a history.

    Args:
        records: The seeds; those without a history file are ignored.
        metric: The metric of the validation values.
    """
    frame = _histories(records)
    if frame is None:
        return None
    across = "epoch" if "epoch" in frame.columns else str(frame.columns[1])  # k, or C; the first column is the seed
    shown = next((name for name in ("val", "loss") if name in frame.columns), None)
    if shown is None or across in ("candidate", shown):
        return None
    frame = frame.dropna(subset=[across, shown])
    if frame[across].nunique() < 2:
        return None
    title = "epoch, from 0" if across == "epoch" else across
    with canvas(title, f"validation {metric}" if shown == "val" else shown) as made:
        if "candidate" in frame.columns:
            _candidates(made.axes, frame, shown, {record.chosen.get("learning_rate") for record in records})
        else:
            mean = frame.groupby(across)[shown].mean()
            made.axes.plot(mean.index, mean, color=LOOKS[0].colour, marker="o")
            if frame[across].min() > 0 and frame[across].max() / frame[across].min() >= 20:
                made.axes.set_xscale("log")
                made.axes.xaxis.set_major_formatter("{x:g}")  # the style draws no mathematics, such as powers of 10
                made.axes.minorticks_off()
    return made.png


def _candidates(axes: Axes, frame: pd.DataFrame, shown: str, chosen: set[object]) -> None:
    """Draw one line per candidate (mean over its seeds), the chosen ones thick."""
    from matplotlib.ticker import MaxNLocator

    lines = list(frame.groupby("candidate", sort=True))
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    for i, (name, part) in enumerate(lines):
        mean = part.groupby("epoch")[shown].mean()
        look = LOOKS[i % len(LOOKS)]
        best = name in chosen
        label = f"{name:g}" if isinstance(name, float) else str(name)
        axes.plot(
            mean.index, mean, color=look.colour if len(lines) <= NAMED else "0.6", linestyle=look.dash,
            linewidth=1.9 if best else 0.9, label=f"{label} (chosen)" if best else label,
            marker="o" if len(mean) == 1 else None,
        )  # fmt: skip
    _name_lines(axes, "candidate")


def _histories(records: Sequence[Record]) -> pd.DataFrame | None:
    import pandas as pd

    frames = []
    for record in records:
        file = None if record.path is None else record.path / HISTORY
        if file is None or not file.is_file():
            continue
        try:
            frame = pd.read_csv(file)
        except (ValueError, OSError):  # an empty file (a protocol without epochs) or a damaged one
            continue
        numbers = [name for name in frame.columns if name != "candidate"]
        frame[numbers] = frame[numbers].apply(pd.to_numeric, errors="coerce")  # of a damaged line: nan
        if len(frame) and len(frame.columns):
            frame.insert(0, "seed", record.unit.seed)
            frames.append(frame)
    return pd.concat(frames) if frames else None


def confusion(found: Predicted, classes: Sequence[str]) -> bytes | None:
    """Return truth by prediction as shares of each true class; None for several labels or too many classes."""
    if found.targets.ndim == 2 or len(classes) > SHOWN:
        return None
    counts = diagnostics.confusion(found)
    with np.errstate(invalid="ignore"):
        shares = counts / counts.sum(axis=1, keepdims=True)
    names = [short(name) for name in classes]
    with canvas("predicted", "truth", names=True) as made:
        axes = made.axes
        axes.imshow(shares, vmin=0, vmax=1, cmap=MAP)
        axes.grid(visible=False)
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=5.5)
        axes.set_yticks(range(len(names)), names, fontsize=5.5)
        for (i, j), share in np.ndenumerate(shares):
            if len(names) <= SHOWN // 2 and not np.isnan(share):
                colour = "white" if share < 0.6 else "black"
                axes.text(j, i, f"{counts[i, j]:.0f}", ha="center", va="center", fontsize=5.5, color=colour)
    return made.png


def by_label(found: Predicted, classes: Sequence[str]) -> bytes | None:
    """Return the AUROC of each label, mean and range over the seeds; None for tasks with one class an image."""
    if found.targets.ndim != 2:
        return None
    values = diagnostics.aurocs(found)
    known = ~np.isnan(values).any(axis=0)
    with canvas("AUROC", "", names=True) as made:
        axes, at = made.axes, np.flatnonzero(known)
        mean = values[:, at].mean(axis=0)
        reach = np.abs(np.stack([values[:, at].min(axis=0), values[:, at].max(axis=0)]) - mean)
        axes.errorbar(mean, at, xerr=reach, fmt="o", color=LOOKS[0].colour, elinewidth=0.8, capsize=1.5)
        axes.axvline(0.5, color="0.5", linewidth=0.6, linestyle=":")
        axes.set_yticks(range(len(classes)), [short(name) for name in classes], fontsize=5.5)
        axes.set_ylim(len(classes) - 0.5, -0.5)
        axes.grid(visible=True, axis="x")
    return made.png


def roc(found: Predicted, classes: Sequence[str]) -> bytes | None:
    """Return the ROC curve of each class against the rest (of two classes, of the second); None where undefined."""
    return _ranking_curves(found, classes, diagnostics.ROC)


def precision(found: Predicted, classes: Sequence[str]) -> bytes | None:
    """Return precision over recall of each class against the rest (of two classes, of the second)."""
    return _ranking_curves(found, classes, diagnostics.PRECISION)


def _ranking_curves(found: Predicted, classes: Sequence[str], kind: diagnostics.Curve) -> bytes | None:
    """Return one line for each class, its area in the legend; of many classes their mean alone has a colour."""
    wanted = [1] if len(classes) == 2 and found.targets.ndim == 1 else range(len(classes))
    lines = [(k, curve) for k in wanted if (curve := diagnostics.curve(found, k, kind)) is not None]
    if not lines:
        return None
    areas = diagnostics.areas(found, kind)
    named = len(lines) <= NAMED
    with canvas(*kind.titles) as made:
        axes = made.axes
        if kind is diagnostics.ROC:
            axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.6, linestyle=":")
        for i, (k, points) in enumerate(lines):
            look = LOOKS[i % len(LOOKS)]
            label = f"{short(classes[k])}: {kind.area} {areas[k]:.3f}"
            style = {"color": look.colour, "linestyle": look.dash, "label": label} if named else {"color": "0.8"}
            axes.plot(points[:, 0], points[:, 1], **style)
        if not named:
            mean = np.mean([points for _, points in lines], axis=0)
            label = f"mean of {len(lines)}: {kind.area} {np.mean([areas[k] for k, _ in lines]):.3f}"
            axes.plot(mean[:, 0], mean[:, 1], color=LOOKS[0].colour, linewidth=1.8, label=label)
        _name_lines(axes)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    return made.png


def reliability(found: Predicted, _: Sequence[str]) -> bytes | None:
    """Return the share of correct predictions in each bin of confidence, and the share of predictions in the bin."""
    bins = diagnostics.reliability(found)
    count = bins.count
    if not count.any():
        return None
    several = found.targets.ndim == 2
    with canvas("score of the label" if several else "confidence", "observed share" if several else "share right") as m:
        low = np.arange(diagnostics.BINS) / diagnostics.BINS
        m.axes.bar(
            low, count / count.sum(), 1 / diagnostics.BINS, align="edge", color="0.85", label="share of predictions"
        )
        m.axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.6, linestyle=":")
        known = count > 0
        reach = np.abs(np.stack([bins.low, bins.high]) - bins.share)[:, known]
        m.axes.errorbar(bins.mean[known], bins.share[known], reach, color=LOOKS[0].colour, fmt="o-", elinewidth=0.6,
                        label="observed, with 95 % intervals")  # fmt: skip
        _name_lines(m.axes)
        m.axes.set(xlim=(0, 1), ylim=(0, 1.02))
    return m.png


def ranking(table: Table) -> bytes | None:
    """Return the first column of a data set's table: each row's mean, 95 % interval and standard deviation over seeds.

    None for fewer than two rows with a number. Random weights are grey. Where two data sets go by one name, the rows of
    the first one are shown.
    """
    rows = [row for row in table.rows if row.cells[0].value is not None]
    rows = [row for row in rows if row.about.get("data") == rows[0].about.get("data")]
    if len(rows) < 2:
        return None
    with canvas(table.columns[0].title, "", 2.3, 0.2 + 0.075 * len(rows), names=True) as made:
        for at, row in enumerate(rows):
            cell, colour = row.cells[0], "0.55" if row.about.get("weights") == "random" else LOOKS[0].colour
            assert cell.value is not None
            if cell.low is not None and cell.high is not None:
                made.axes.plot([cell.low, cell.high], [at, at], color=colour, linewidth=1.2)
            if cell.std is not None:
                reach = [cell.value - cell.std, cell.value + cell.std]
                made.axes.plot(reach, [at, at], color=colour, linewidth=3.6, alpha=0.35, solid_capstyle="butt")
            made.axes.plot(cell.value, at, "D" if cell.rank == "best" else "o", color=colour, markeredgecolor="0.1")
        names = [" · ".join(filter(None, (*row.heads[:2], row.about.get("options")))) for row in rows]
        made.axes.set_yticks(range(len(rows)), [name if len(name) <= LONG else f"{name[:LONG]}…" for name in names])
        made.axes.set_ylim(len(rows) - 0.5, -0.5)
        made.axes.grid(visible=True, axis="x")
        made.axes.grid(visible=False, axis="y")
    return made.png
