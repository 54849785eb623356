"""The paper card: published tables as data, and which unit fills which cell."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from medbench.cards.base import Card, Name, Strict


class Column(Strict):
    """One column of a table: a data set under one metric."""

    dataset: Name
    metric: str
    title: str


class Row(Strict):
    """One row of a table: what fills it, and what the paper printed."""

    labels: list[str] = Field(min_length=1, description="Texts of the row's head cells, e.g. classifier, foundation.")
    model: Name
    protocol: Name
    set: dict[str, Any] = Field(default_factory=dict, description="Settings beyond the preset, as given to --set.")
    published: dict[Name, list[float]] = Field(
        default_factory=dict, description="Data set -> [mean, std], or [mean] where no std is printed."
    )


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

    @model_validator(mode="after")
    def _shapes(self) -> PaperTable:
        known = {c.dataset for c in self.columns}
        for row in self.rows:
            if len(row.labels) != len(self.heads):
                raise ValueError(f"row {row.labels} has {len(row.labels)} labels for {len(self.heads)} heads")
            if extra := set(row.published) - known:
                raise ValueError(f"row {row.labels} publishes {', '.join(sorted(extra))}, which no column shows")
        return self


class PaperCard(Card):
    """One paper."""

    tables: dict[Name, PaperTable] = Field(min_length=1)
