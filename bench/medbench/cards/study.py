"""The study card: entrants that are ranked over several data sets."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from medbench.cards.base import Card, Name, ProtocolName, Strict
from medbench.cards.paper import Encoder, PaperCard, PaperColumn, PaperRow, PaperTable

RANKS = "ranks"
"""What the names of studies' tables and figures begin with: `ranks/NAME`."""


class Entrant(Strict):
    """One row of the study: a model or setting that is ranked."""

    label: str = Field("", description="Name in tables and figures; default: the model.")
    model: Encoder | None = Field(
        None,
        description="Model, or MODEL@PROTOCOL; default: the model of each column, in studies that compare settings.",
    )
    protocol: ProtocolName | None = Field(None, description="Name of the protocol's card; default: that of the study.")
    preset: Name | None = Field(None, description="Preset of this row; default: that of the study.")
    set: dict[str, Any] = Field(
        default_factory=dict, description="Settings that differ from the study's, as given to --set."
    )

    @property
    def name(self) -> str:
        """Its name in tables and figures."""
        return self.label or self.model or ""


class StudyData(Strict):
    """One column: a data set and a metric."""

    dataset: Name = Field(description="Name of the data set's card.")
    metric: str | None = Field(
        None,
        description="Id of a metric on the test split, of records or on demand; default: the data set's primary one.",
    )
    model: Encoder | None = Field(None, description="Model of all entrants, in studies that compare settings.")
    title: str = Field("", description="Column header; default: the data set, and the column's model if it has one.")

    @property
    def head(self) -> str:
        """The head of the column."""
        return self.title or " · ".join(filter(None, (self.dataset, self.model)))


class StudyCard(Card):
    """One study: models or settings (the entrants) are ranked over several data sets."""

    entrants: list[Entrant] = Field(min_length=2, description="The entrants that are ranked: at least two.")
    data: list[StudyData] = Field(min_length=2, description="The columns: data sets with a metric, at least two.")
    protocol: ProtocolName | None = Field(None, description="Protocol of all entrants without a protocol.")
    preset: Name = Field("paper", description="Preset of the protocols.")
    set: dict[str, Any] = Field(
        default_factory=dict, description="Settings of all entrants that differ from the preset, as given to --set."
    )
    seeds: int = Field(5, gt=0, description="Number of seeds of each cell; protocols without randomness have one.")

    @model_validator(mode="after")
    def _complete(self) -> StudyCard:
        for one in self.entrants:
            if one.protocol is None and self.protocol is None:
                raise ValueError(f"entrant '{one.name}' names no protocol, and neither does the study")
            if not one.name:
                raise ValueError("an entrant without a model needs a label")
            for column in self.data:
                if one.model is None and column.model is None:
                    raise ValueError(f"entrant '{one.name}' names no model, and neither does the column {column.head}")
                if one.model is not None and column.model is not None:
                    raise ValueError(f"entrant '{one.name}' and the column {column.head} both name a model")
        for field, named in (("label", [x.name for x in self.entrants]), ("title", [x.head for x in self.data])):
            if twice := [name for name in named if named.count(name) > 1]:
                raise ValueError(f"two have the name '{twice[0]}': give one of them another {field}")
        return self

    def as_paper(self, metrics: dict[str, str]) -> PaperCard:
        """Return the study as a paper whose one table has no printed numbers, so that it is run and filled like one.

        Args:
            metrics: Head of a column -> its metric.
        """
        columns = [
            PaperColumn(dataset=x.dataset, metric=metrics[x.head], title=x.head, model=x.model) for x in self.data
        ]
        rows = [
            PaperRow(
                labels=[one.name],
                model=one.model or self.data[0].model or "",  # a column's model comes first
                protocol=one.protocol or self.protocol or "",
                preset=one.preset,
                set={**self.set, **one.set},
            )
            for one in self.entrants
        ]
        table = PaperTable(
            title=self.title or self.name,
            source="study",
            heads=["entrant"],
            columns=columns,
            rows=rows,
            seeds=self.seeds,
            preset=self.preset,
        )
        return PaperCard(name=RANKS, tables={self.name: table})
