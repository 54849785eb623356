"""One style for all figures: sizes, fonts, colours that colour-blind readers and grey prints tell apart."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

WIDTHS = {"column": 3.3, "text": 6.9}
"""Inches: one column of a two-column page, and both."""
SMALL = 5.8
"""Points of the small print."""
SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.titlepad": 4,
    "axes.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "legend.columnspacing": 1.2,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.4,
    "hatch.linewidth": 0.6,
    "text.parse_math": False,  # names and warnings may hold a dollar sign
    "svg.hashsalt": "medbench",  # ids in the file are the same each time
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class Look:
    """Style of one series: colour, marker, dash and hatch."""

    colour: str
    marker: str = "o"
    dash: Literal["-"] | tuple[float, tuple[float, ...]] = "-"
    hatch: str = ""


LOOKS = (  # colours after Okabe and Ito; grey in place of their yellow, which is too faint for a line on white
    Look("#0072B2", "o", "-"),
    Look("#000000", "s", (0, (4, 1.5))),
    Look("#7F7F7F", "D", (0, (1, 1))),
    Look("#E69F00", "^", (0, (5, 1, 1, 1))),
    Look("#009E73", "v", (0, (7, 1.5))),
    Look("#56B4E9", "P", (0, (3, 1, 1, 1, 1, 1))),
    Look("#D55E00", "X", "-"),
    Look("#CC79A7", "<", (0, (2, 1))),
)
NEUTRAL = Look("#A6A6A6")
GROUPS = (
    Look("#0072B2"),
    Look("#E69F00", hatch="/////"),
    Look("#009E73", hatch="....."),
    Look("#CC79A7", hatch="xxxxx"),
)
MAP = "viridis"
"""Its lightness grows evenly, so it reads in grey too."""


def context() -> AbstractContextManager[None]:
    """Return a context in which matplotlib has this style alone; afterwards its settings are as they were."""
    import matplotlib.style

    return matplotlib.style.context([SETTINGS], after_reset=True)
