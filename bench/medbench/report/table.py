"""A table as data: what every format is rendered from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

DASH = "–"


@dataclass(frozen=True)
class Cell:
    """One number with its spread and where it comes from.

    Attributes:
        value: Mean over the seeds; None: not run, or undefined.
        std: Sample standard deviation over the seeds; None below two.
        n: Seeds behind the mean.
        published: The paper's number, where it is to be shown.
        published_std: The paper's deviation; None where it prints none.
        style: `ours`, `published` (the paper's number alone) or `missing`.
        show_n: Whether the number of seeds is part of the text.
        mark: A sign set behind the number, explained in the table's notes.
        command: What fills the cell, where it was not run and this version can.
    """

    value: float | None = None
    std: float | None = None
    n: int = 0
    published: float | None = None
    published_std: float | None = None
    show_n: bool = False
    mark: str = ""
    command: str | None = None

    @property
    def style(self) -> Literal["ours", "published", "missing"]:
        """Whose number the cell shows."""
        return "ours" if self.value is not None else "published" if self.published is not None else "missing"

    @property
    def difference(self) -> float | None:
        """Ours minus the published number."""
        return None if self.value is None or self.published is None else round(self.value - self.published, 12)

    @property
    def text(self) -> str:
        """The cell for people: ours, then the published number and the difference in parentheses; else a dash."""
        parts = []
        if self.value is not None:
            parts.append(mean_std(self.value, self.std) + self.mark + (f" n={self.n}" if self.show_n else ""))
        if self.published is not None:
            gap = "" if self.difference is None else f", {self.difference:+.3f}"
            parts.append(f"({mean_std(self.published, self.published_std)}{gap})")
        return " ".join(parts) or DASH


@dataclass(frozen=True)
class Column:
    """One column of numbers.

    Attributes:
        id: Unique in the table; the stem of its CSV columns.
        title: Its head.
        metric: The metric's id.
        dataset: The data set's name.
    """

    id: str
    title: str
    metric: str
    dataset: str


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
    """

    name: str
    title: str
    heads: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()

    def sections(self) -> list[tuple[str, list[Row]]]:
        """Return (heading, rows) of each part, the main part first and also if it is empty."""
        names = dict.fromkeys(["", *(row.section for row in self.rows)])
        return [(name, [row for row in self.rows if row.section == name]) for name in names]

    def flat(self) -> tuple[list[str], list[list[Any]]]:
        """Return (names, rows) of plain values: what each row stands for, then mean, std and n of each column.

        Tables with published numbers carry those, their deviation and the difference as further columns.
        """
        about = list(dict.fromkeys(key for row in self.rows for key in row.about))
        parts = ["mean", "std", "n"]
        if any(cell.published is not None for row in self.rows for cell in row.cells):
            parts += ["published", "published_std", "difference"]
        names = about + [f"{column.id}_{part}" for column in self.columns for part in parts]
        rows = []
        for row in self.rows:
            values = [row.about.get(key) for key in about]
            for cell in row.cells:
                numbers = (cell.value, cell.std, cell.n, cell.published, cell.published_std, cell.difference)
                values += numbers[: len(parts)]
            rows.append(values)
        return names, rows

    def frame(self) -> pd.DataFrame:
        """Return the same as a DataFrame, one row per row of the table."""
        import pandas as pd

        names, rows = self.flat()
        return pd.DataFrame(rows, columns=names)


def mean_std(mean: float, std: float | None) -> str:
    """Return `0.881 ± 0.002`, or the mean alone where there is no deviation."""
    return f"{mean:.3f}" if std is None else f"{mean:.3f} ± {std:.3f}"
