"""A table as data: what every format is rendered from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

DASH = "–"
TIE_MARK = "≈"
Form = Literal["mean", "spread", "difference", "p", "number", "rank", "count"]
_MEAN = {"_mean": "value", "_std": "std", "_n": "n"}
_ENDS = {"_low": "low", "_high": "high"}
PARTS: dict[Form, dict[str, str]] = {
    "mean": _MEAN | _ENDS,
    "spread": _MEAN,
    "difference": {"": "value"} | _ENDS,
    "p": {"": "value"},
    "number": {"": "value"},
    "rank": {"": "value"} | _ENDS,
    "count": {"": "value"},
}
"""Form of a cell -> the columns it has in CSV: what is put behind the column's id, and the field of the cell."""


class Cell(NamedTuple):
    """One number with its spread and where it comes from. A tuple, because large tables have tens of thousands.

    Attributes:
        value: Mean over the seeds; None: not run, or undefined.
        std: Sample standard deviation over the seeds; None below two.
        n: Seeds behind the mean.
        published: The paper's number, where it is to be shown.
        published_std: The paper's deviation; None where it prints none.
        low: Lower end of the 95 % interval; None: not asked for, or no predictions are stored.
        high: Its upper end.
        gain: Points (hundredths) over the cell that the table measures gains from.
        published_gain: The same as printed.
        style: `ours`, `published` (the paper's number alone) or `missing`.
        show_n: Whether the number of seeds is part of the text.
        mark: Signs set behind the number, explained in the table's notes.
        rank: `best` or `second` of its column, or neither.
        tied: Whether a paired test does not separate it from the best of its column.
        command: What fills the cell, where it was not run and this version can.
        form: What kind of number it is: `mean` over seeds, with an interval; `spread`, a mean whose interval is not
            asked for; `difference`, signed, with an interval; `p`; a mean `rank`; a `count`; or another `number`.
    """

    value: float | None = None
    std: float | None = None
    n: int = 0
    published: float | None = None
    published_std: float | None = None
    low: float | None = None
    high: float | None = None
    gain: float | None = None
    published_gain: float | None = None
    show_n: bool = False
    mark: str = ""
    rank: Literal["", "best", "second"] = ""
    tied: bool = False
    command: str | None = None
    form: Form = "mean"

    @property
    def style(self) -> Literal["ours", "published", "missing"]:
        """Whose number the cell shows."""
        return "ours" if self.value is not None else "published" if self.published is not None else "missing"

    @property
    def difference(self) -> float | None:
        """Ours minus the published number."""
        return None if self.value is None or self.published is None else round(self.value - self.published, 12)

    @property
    def number(self) -> str:
        """Our mean and deviation, which formats set off for the best of a column; empty: nothing was run."""
        if self.value is None:
            return ""
        shown = {"difference": signed, "p": p_value, "count": "{:g}".format}.get(self.form)
        return mean_std(self.value, self.std) if shown is None else shown(self.value)

    def rest(self, intervals: bool = False) -> str:
        """Return what follows `number`: marks, interval, seeds, gain, then the published number in parentheses."""
        parts = []
        if self.value is not None:
            if intervals and self.low is not None and self.high is not None:
                ends = [signed(x) if self.form == "difference" else decimal(x) for x in (self.low, self.high)]
                parts.append(f"[{', '.join(ends)}]")
            parts += [f"n={self.n}"] if self.show_n else []
            parts += [] if self.gain is None else [points(self.gain)]
        if self.published is not None:
            shown = mean_std(self.published, self.published_std)
            shown += "" if self.published_gain is None else " " + points(self.published_gain)
            shown += "" if self.difference is None else f", {self.difference:+.3f}"
            parts.append(f"({shown})")
        elif self.published_gain is not None:
            parts.append(f"({points(self.published_gain)})")
        lead = self.mark + (TIE_MARK if self.tied else "")
        return lead + "".join(f" {part}" for part in parts)

    @property
    def text(self) -> str:
        """The cell as plain text, without what sets off the best; a dash where there is no number."""
        return (self.number + self.rest()).strip() or DASH


@dataclass(frozen=True)
class Column:
    """One column of numbers.

    Attributes:
        id: Unique in the table; the stem of its CSV columns.
        title: Its head.
        metric: The metric's id.
        dataset: The data set's name.
        low_first: Whether low numbers are the best; None: as the metric says.
    """

    id: str
    title: str
    metric: str
    dataset: str
    low_first: bool | None = None


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        heads: Texts of the head cells.
        cells: One per column.
        about: What the row stands for, as CSV and JSON carry it.
        section: Heading of the part of the table it belongs to; empty: the main part.
    """

    heads: tuple[str, ...]
    cells: tuple[Cell, ...]
    about: dict[str, Any] = field(default_factory=dict)
    section: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: As users type it, e.g. `wacv2024/table1`.
        title: Its caption.
        heads: Titles of the head columns.
        columns: The columns of numbers.
        rows: The rows, those of one section together.
        notes: Footnotes.
        commands: What fills the cells that were not run.
        ranking: What `best` and `second` are chosen among, for the legend; empty: nothing is ranked.
        intervals: Whether texts show the 95 % intervals; CSV and JSON carry them in any case.
        lead: How many of the first columns of numbers a narrow terminal keeps longest.
    """

    name: str
    title: str
    heads: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    ranking: str = ""
    intervals: bool = False
    lead: int = 1

    def sections(self) -> list[tuple[str, list[Row]]]:
        """Return (heading, rows) of each part, the main part (no heading) first; of a table without rows that part."""
        names = dict.fromkeys(sorted((row.section for row in self.rows), key=bool) or [""])
        return [(name, [row for row in self.rows if row.section == name]) for name in names]

    def flat(self) -> tuple[list[str], list[list[Any]]]:
        """Return (names, rows) of plain values: what each row stands for, then the numbers of each column.

        They are mean, std, n, low and high; tables with gains carry those; tables with published numbers these, their
        deviation, the difference and published gains. Columns of other forms than means carry what these have.
        """
        about = list(dict.fromkeys(key for row in self.rows for key in row.about))
        cells = [cell for row in self.rows for cell in row.cells]
        more: dict[str, str] = {}
        if gains := any(cell.gain is not None or cell.published_gain is not None for cell in cells):
            more |= {"_gain": "gain"}
        if any(cell.published is not None for cell in cells):
            more |= {f"_{name}": name for name in ("published", "published_std", "difference")}
            more |= {"_published_gain": "published_gain"} if gains else {}
        forms: list[Form] = [self.rows[0].cells[i].form if self.rows else "mean" for i in range(len(self.columns))]
        parts = [PARTS[form] | more if form == "mean" else PARTS[form] for form in forms]
        read = [_values_of(tuple(ends.values())) for ends in parts]
        names = about + [f"{column.id}{end}" for column, ends in zip(self.columns, parts, strict=True) for end in ends]
        rows = [
            [row.about.get(key) for key in about]
            + [value for c, fields in zip(row.cells, read, strict=True) for value in fields(c)]
            for row in self.rows
        ]
        return names, rows

    def led_by(self, *ids: str) -> Table:
        """Return the table with some columns before the others, for where not all of them fit."""
        order = sorted(range(len(self.columns)), key=lambda i: self.columns[i].id not in ids)
        rows = tuple(replace(row, cells=tuple(row.cells[i] for i in order)) for row in self.rows)
        return replace(self, columns=tuple(self.columns[i] for i in order), rows=rows, lead=len(ids))

    def frame(self) -> pd.DataFrame:
        """Return the same as a DataFrame, one row per row of the table.

        The first column of numbers, which is the primary metric of a data set, stands behind model and protocol.
        """
        import pandas as pd

        names, rows = self.flat()
        heads = names[:2] if names[:2] == ["model", "protocol"] else []
        ends = [end for form in PARTS.values() for end in form]
        first = [name for name in names if heads and name.removeprefix(self.columns[0].id) in ends]
        order = [*heads, *first, *(name for name in names if name not in {*heads, *first})]
        return pd.DataFrame(rows, columns=names)[order]


def _values_of(fields: Sequence[str]) -> Callable[[Cell], tuple[Any, ...]]:
    """Return a function that reads some fields of a cell; fast, because a large table has tens of thousands."""
    return attrgetter(*fields) if len(fields) > 1 else lambda cell: (getattr(cell, fields[0]),)


def mean_std(mean: float, std: float | None) -> str:
    """Return `0.881 ± 0.002`, or the mean alone where there is no deviation."""
    return decimal(mean) if std is None else f"{decimal(mean)} ± {std:.3f}"


def decimal(value: float) -> str:
    """Return `-0.012`: three decimals; what prints as nothing has no sign."""
    text = f"{value:.3f}"
    return text if float(text) else text.removeprefix("-")


def points(gain: float) -> str:
    """Return `+1.4 pt`: a gain in hundredths of the metric's unit."""
    return f"{gain:+.1f} pt"


def signed(value: float) -> str:
    """Return `+0.012`; what prints as nothing has no sign."""
    text = f"{value:+.3f}"
    return text if float(text) else text[1:]


def p_value(p: float) -> str:
    """Return a p with three decimals, `<0.001` below that."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"
