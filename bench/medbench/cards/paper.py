"""The paper card: published tables as data, and which unit fills which cell."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints, model_validator

from medbench.cards.base import Card, Name, Strict
from medbench.cards.figure import Figure, Gains, Ratios

Encoder = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9._-]*)?$", max_length=160)
]
"""A model's name, or `MODEL@PROTOCOL`: what that protocol has made of the model on the cell's own data set."""


class Column(Strict):
    """One column of a table: a data set under one metric."""

    dataset: Name
    metric: str
    title: str


class Row(Strict):
    """One row of a table: what fills it, and what the paper printed."""

    labels: list[str] = Field(min_length=1, description="Texts of the row's head cells, e.g. classifier, foundation.")
    model: Encoder
    protocol: Name
    set: dict[str, Any] = Field(default_factory=dict, description="Settings beyond the preset, as given to --set.")
    published: dict[Name, list[float]] = Field(
        default_factory=dict, description="Data set -> [mean, std], or [mean] where no std is printed."
    )
    gains: dict[Name, float] = Field(
        default_factory=dict, description="Data set -> printed gain, in points (hundredths), over `gain_over`."
    )
    average: float | None = Field(None, description="The printed mean of the row, as printed.")
    section: str = Field("", description="Heading of the block of rows it belongs to.")
    seeds: int | None = Field(None, gt=0, description="Repeats behind its cells, where they are not the table's.")
    note: str = Field("", description="A doubt about the printed row: a footnote beside published numbers.")


class PaperTable(Strict):
    """One table of a paper."""

    title: str
    source: str = Field(description="Where in the paper the numbers stand.")
    heads: list[str] = Field(min_length=1, description="Titles of the head columns.")
    columns: list[Column] = Field(min_length=1)
    rows: list[Row] = Field(min_length=1)
    seeds: int = Field(5, gt=0, description="Repeats behind each published cell.")
    preset: Name = "paper"
    splits: dict[Name, str] = Field(
        default_factory=dict, description="Data set -> the paper's split, as its card names it; others get a footnote."
    )
    gain_over: Name | None = Field(
        None, description="Table whose row of the same model and protocol the gains are measured from."
    )
    average: str = Field("", description="Title of a last column, the unweighted mean of the row; empty: none.")

    @model_validator(mode="after")
    def _shapes(self) -> PaperTable:
        known = {c.dataset for c in self.columns}
        for row in self.rows:
            if len(row.labels) != len(self.heads):
                raise ValueError(f"row {row.labels} has {len(row.labels)} labels for {len(self.heads)} heads")
            if extra := {*row.published, *row.gains} - known:
                raise ValueError(f"row {row.labels} publishes {', '.join(sorted(extra))}, which no column shows")
            if row.gains and self.gain_over is None:
                raise ValueError(f"row {row.labels} publishes gains, but gain_over names no table")
            if row.average is not None and not self.average:
                raise ValueError(f"row {row.labels} publishes an average, but the table has no such column")
        return self


class PaperCard(Card):
    """One paper."""

    tables: dict[Name, PaperTable] = Field(min_length=1)
    figures: dict[Name, Figure] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _gains(self) -> PaperCard:
        for name, table in self.tables.items():
            if table.gain_over is None:
                continue
            if table.gain_over not in self.tables:
                raise ValueError(f"table {name}: gain_over: '{table.gain_over}' is no table of this paper")
            for row in table.rows:
                if self.reference(name, row) is None:
                    raise ValueError(f"table {name}: {table.gain_over} has no row of {row.model} with {row.protocol}")
        return self

    @model_validator(mode="after")
    def _figures(self) -> PaperCard:
        for name, figure in self.figures.items():
            if not isinstance(figure, Gains | Ratios):
                continue
            of_tables = [figure.table] if isinstance(figure, Gains) else [p.table for p in figure.panels if p.table]
            for table in of_tables:
                if table not in self.tables:
                    raise ValueError(f"figure {name}: '{table}' is no table of this paper")
                if figure.reference not in [row.labels for row in self.tables[table].rows]:
                    raise ValueError(f"figure {name}: {table} has no row {figure.reference}")
        return self

    def reference(self, table: str, row: Row) -> Row | None:
        """Return the row that a row's gains are measured from: of `gain_over`, the same model and protocol."""
        over = self.tables[table].gain_over
        rows = self.tables[over].rows if over is not None else []
        return next((other for other in rows if (other.model, other.protocol) == (row.model, row.protocol)), None)
