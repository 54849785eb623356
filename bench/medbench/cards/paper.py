"""The paper card: published tables as data, and which unit fills which cell."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from medbench.cards.base import Card, Name, ProtocolName, Strict

Encoder = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9._-]*)?$", max_length=160)
]
"""A model's name, or `MODEL@PROTOCOL`: what that protocol has made of the model on the cell's own data set."""


class PaperColumn(Strict):
    """One column of a table: a data set and a metric."""

    dataset: Name = Field(description="Name of the data set's card.")
    metric: str = Field(description="Id of the metric on the test split.")
    title: str = Field(description="Column header.")
    model: Encoder | None = Field(None, description="Model of all cells of the column; default: the model of each row.")


class PaperRow(Strict):
    """One row of a table: which runs fill it, and the published values."""

    labels: list[str] = Field(min_length=1, description="Row headers, e.g. classifier, foundation model.")
    model: Encoder = Field(description="Model, or MODEL@PROTOCOL: the model trained by that protocol on the data set.")
    protocol: ProtocolName = Field(description="Name of the protocol's card.")
    preset: Name | None = Field(None, description="Preset of this row; default: that of the table.")
    set: dict[str, Any] = Field(
        default_factory=dict, description="Settings that differ from the preset, as given to --set."
    )
    suffix: str = Field(
        "",
        description="Text added to the data set names of the columns in this row, such as `_64` for MedMNIST at "
        "64 pixels.",
    )
    published: dict[Name, list[float]] = Field(
        default_factory=dict,
        description="Data set of the column -> published [mean, std], or [mean] if no std is published; or a list "
        "with one entry per column.",
    )
    gains: dict[Name, float] = Field(
        default_factory=dict, description="Data set -> published gain over `gain_over`, in percentage points."
    )
    average: float | None = Field(None, description="Published mean of the row.")
    average_std: float | None = Field(None, description="Published standard deviation of that mean.")
    over: list[str] = Field(
        default_factory=list,
        description="Row headers of another row of the table; this row's mean is compared with that row's mean.",
    )
    average_gain: float | None = Field(
        None, description="Published gain of this row's mean over the mean of the row `over`, in percentage points."
    )
    section: str = Field("", description="Heading of the block of rows that this row belongs to.")
    seeds: int | None = Field(
        None, gt=0, description="Number of seeds behind the published values of this row; default: that of the table."
    )
    note: str = Field("", description="Note about the published row, such as a doubt; shown as a footnote.")


class PaperTable(Strict):
    """One table of a paper."""

    title: str = Field(description="Title of the table.")
    source: str = Field(description="Source in the paper, such as `Table 1`.")
    heads: list[str] = Field(min_length=1, description="Titles of the columns of row headers.")
    columns: list[PaperColumn] = Field(min_length=1, description="Columns with numbers.")
    rows: list[PaperRow] = Field(min_length=1, description="Rows, from the top.")
    seeds: int = Field(5, gt=0, description="Number of seeds behind each published value.")
    preset: Name = Field("paper", description="Preset of the protocols.")
    splits: dict[Name, str] = Field(
        default_factory=dict,
        description="Data set -> name of the paper's split in its card; results on other splits get a footnote.",
    )
    gain_over: Name | None = Field(
        None, description="Table with the reference for gains: its row of the same model and protocol."
    )
    average: str = Field(
        "", description="Title of a last column with the unweighted mean of each row; empty: no such column."
    )
    read_off: float | None = Field(
        None,
        gt=0,
        description="Reading error, if the published numbers were read off a figure. Default: the "
        "numbers are printed in the paper.",
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, fields: Any) -> Any:
        """Name the data sets of published numbers that are listed in the order of the columns."""
        if not isinstance(fields, dict) or not isinstance(fields.get("rows"), list):
            return fields
        columns = fields.get("columns")
        names = [c.get("dataset") for c in columns if isinstance(c, dict)] if isinstance(columns, list) else []
        rows = []
        for row in fields["rows"]:
            listed = row.get("published") if isinstance(row, dict) else None
            if isinstance(listed, list):
                if len(listed) != len(names) or len(set(names)) < len(names):
                    raise ValueError(f"row {row.get('labels')} lists {len(listed)} numbers for {len(names)} columns")
                row = {**row, "published": dict(zip(names, listed, strict=True))}
            rows.append(row)
        return {**fields, "rows": rows}

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
            if row.over and (not self.average or row.over not in [other.labels for other in self.rows]):
                raise ValueError(f"row {row.labels}: over: there is no row {row.over}, or the table has no average")
            if row.average_gain is not None and not row.over:
                raise ValueError(f"row {row.labels} has an average_gain, but no row is named in over")
        return self


class FigurePanel(Strict):
    """One panel: a data set and a metric."""

    dataset: Name = Field(description="Name of the data set's card.")
    title: str = Field(description="Title of the panel.")
    metric: str = Field("", description="Metric on the test split; empty if the figure shows no metric.")


class FigureRow(Strict):
    """One bar, line or map of each panel, with the run that it shows; the panel gives the data set."""

    label: str = Field(description="Label in the figure, e.g. the foundation model.")
    group: str = Field("", description="Group of bars with the same label, e.g. the classifier.")
    model: Name = Field(description="Name of the model's card.")
    protocol: ProtocolName = Field(description="Name of the protocol's card.")
    set: dict[str, Any] = Field(
        default_factory=dict, description="Settings that differ from the preset, as given to --set."
    )


class PaperFigure(Strict):
    """Fields of all figures."""

    title: str = Field(description="Title of the figure.")
    source: str = Field(description="Source in the paper, such as `Figure 2`.")
    seeds: int = Field(5, gt=0, description="Number of seeds behind each value of the paper.")
    preset: Name = Field("paper", description="Preset of the protocols.")
    splits: dict[Name, str] = Field(
        default_factory=dict,
        description="Data set -> name of the paper's split in its card; results on other splits get a note.",
    )
    width: Literal["column", "text"] = Field(
        "text", description="Width of the figure: one column of a two-column page, or the full page width."
    )
    columns: int = Field(2, gt=0, description="Number of panels in a row.")
    notes: list[str] = Field(
        default_factory=list, description="Notes on what the paper does not specify, and how it is drawn here."
    )


class Gains(PaperFigure):
    """Bars sorted by gain over a reference row, averaged over the data sets of a table; below: size of pre-training."""

    kind: Literal["gains"] = Field(description="Bars of gains.")
    table: Name = Field(description="Table of this card whose rows are the bars.")
    reference: list[str] = Field(description="Row headers of the reference row, which is at 0.")
    y_title: str = Field("Relative performance gain (%)", description="Title of the y axis.")
    images: dict[str, float] = Field(
        description="Last header of a row -> number of images in its pre-training, according to the paper."
    )


class Bars(PaperFigure):
    """One panel per data set, one bar per row."""

    kind: Literal["bars"] = Field(description="Bars of a metric.")
    panels: list[FigurePanel] = Field(min_length=1, description="The panels, in order.")
    rows: list[FigureRow] = Field(min_length=1, description="The bars of each panel.")
    relative_to: str | None = Field(
        None, description="Label of the reference row at 0: bars are relative changes in per cent."
    )

    @model_validator(mode="after")
    def _reference_is_a_row(self) -> Bars:
        if self.relative_to is not None and self.relative_to not in [row.label for row in self.rows]:
            raise ValueError(f"relative_to: no row is called '{self.relative_to}'")
        return self


class RatioPanel(Strict):
    """One quantity relative to the reference row, averaged over data sets."""

    name: Name = Field(description="Name of the panel in the data file of the figure.")
    title: str = Field(description="Title of the panel.")
    quantity: str = Field(description="`step` (iterations to the best epoch), or a metric's id, e.g. `latency_ms`.")
    datasets: list[Name] = Field(min_length=1, description="Data sets over which the quantity is averaged.")
    table: Name | None = Field(None, description="Table of this card whose rows are the bars; instead of `rows`.")
    rows: list[FigureRow] = Field(default_factory=list, description="The bars; instead of `table`.")

    @model_validator(mode="after")
    def _rows_or_table(self) -> RatioPanel:
        if (self.table is None) == (not self.rows):
            raise ValueError(f"panel {self.name} needs either table or rows")
        return self


class Ratios(PaperFigure):
    """Grouped bars: ratios to a reference row."""

    kind: Literal["ratios"] = Field(description="Bars of ratios.")
    panels: list[RatioPanel] = Field(min_length=1, description="The panels, in order.")
    reference: list[str] = Field(
        min_length=2, max_length=2, description="Group and label of the reference row, which is at 1."
    )


class CurvePanel(FigurePanel):
    """One panel of curves: the protocol between the ends, and the protocols at the ends."""

    protocol: ProtocolName = Field(
        description="Protocol between the two ends of the curve, with one record per value of the option."
    )
    first: ProtocolName | None = Field(None, description="Protocol at 0; default: the curve starts at 1.")
    last: ProtocolName | None = Field(None, description="The protocol at the model's number of units.")


class Curve(Strict):
    """One model's line."""

    label: str = Field(description="Label in the legend.")
    model: Name = Field(description="Name of the model's card.")
    units: int = Field(gt=1, description="Number of units (blocks or stages) of the model.")


class Curves(PaperFigure):
    """A metric against a number of units of the model: units that are frozen, kept and so on."""

    kind: Literal["curves"] = Field(description="Lines.")
    option: str = Field(description="Setting that is the number of units.")
    x_title: str = Field(description="Title of the x axis.")
    shift: int = Field(0, description="Number added to the count on the x axis; -1 shows the index of the last unit.")
    panels: list[CurvePanel] = Field(min_length=1, description="The panels, in order.")
    lines: list[Curve] = Field(min_length=1, description="One line per model.")


class HeatPanel(Strict):
    """One panel of a heat map per model."""

    dataset: Name = Field(description="Name of the data set's card.")
    title: str = Field(description="Title of the panel.")
    set: dict[str, Any] = Field(
        default_factory=dict, description="Settings that differ from the preset, as given to --set."
    )


class Heatmaps(PaperFigure):
    """Similarity of a network's layers before and after training: one map per row and panel."""

    kind: Literal["heatmaps"] = Field(description="Maps of similarity.")
    panels: list[HeatPanel] = Field(min_length=1, description="The maps of each row.")
    rows: list[FigureRow] = Field(min_length=1, description="One row of maps per model.")
    across: Literal["panels", "rows"] = Field("panels", description="Whether panels or rows are placed side by side.")
    x_title: str = Field("layer before training", description="Title of the x axis.")
    y_title: str = Field("layer after training", description="Title of the y axis.")


class Similarity(PaperFigure):
    """Similarity between models on the same images: one matrix per data set."""

    kind: Literal["similarity"] = Field(description="Matrices of similarity.")
    panels: list[FigurePanel] = Field(min_length=1, description="One matrix per data set.")
    rows: list[FigureRow] = Field(min_length=2, description="The models.")


Figure = Annotated[Gains | Bars | Ratios | Curves | Heatmaps | Similarity, Field(discriminator="kind")]
"""Any figure; `kind` tells which."""


class PaperCard(Card):
    """One paper."""

    tables: dict[Name, PaperTable] = Field(min_length=1, description="Name -> table: `medbench table PAPER/NAME`.")
    figures: dict[Name, Figure] = Field(
        default_factory=dict, description="Name -> figure: `medbench figure PAPER/NAME`; `kind` tells its form."
    )

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

    def reference(self, table: str, row: PaperRow) -> PaperRow | None:
        """Return the row that a row's gains are measured from: of `gain_over`, the same model and protocol."""
        over = self.tables[table].gain_over
        rows = self.tables[over].rows if over is not None else []
        return next((other for other in rows if (other.model, other.protocol) == (row.model, row.protocol)), None)
