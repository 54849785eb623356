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
    """One column of a table: a data set under one metric."""

    dataset: Name = Field(description="Name of the data set's card.")
    metric: str = Field(description="Id of the metric on the test split.")
    title: str = Field(description="Head of the column.")
    model: Encoder | None = Field(None, description="The model of all its cells; none: that of each row.")


class PaperRow(Strict):
    """One row of a table: what fills it, and what the paper printed."""

    labels: list[str] = Field(min_length=1, description="Texts of the row's head cells, e.g. classifier, foundation.")
    model: Encoder = Field(description="The model, or MODEL@PROTOCOL: what that protocol made of it on the data set.")
    protocol: ProtocolName = Field(description="Name of the protocol's card.")
    preset: Name | None = Field(None, description="Preset of this row; none: the table's.")
    set: dict[str, Any] = Field(default_factory=dict, description="Settings beyond the preset, as given to --set.")
    suffix: str = Field(
        "", description="Added to the names of the columns' data sets in this row: `_64` for MedMNIST's 64 pixels."
    )
    published: dict[Name, list[float]] = Field(
        default_factory=dict,
        description="Column's data set -> [mean, std], or [mean] where no std is printed; or a list, one per column.",
    )
    gains: dict[Name, float] = Field(
        default_factory=dict, description="Data set -> printed gain, in points (hundredths), over `gain_over`."
    )
    average: float | None = Field(None, description="The printed mean of the row, as printed.")
    average_std: float | None = Field(None, description="The deviation printed with it.")
    over: list[str] = Field(
        default_factory=list,
        description="Labels of another row of the table, with whose mean this row's mean is compared.",
    )
    average_gain: float | None = Field(
        None, description="The published gain of the row's mean over that of the row `over`, in points (hundredths)."
    )
    section: str = Field("", description="Heading of the block of rows it belongs to.")
    seeds: int | None = Field(None, gt=0, description="Repeats behind its cells, where they are not the table's.")
    note: str = Field("", description="A doubt about the printed row: a footnote beside published numbers.")


class PaperTable(Strict):
    """One table of a paper."""

    title: str = Field(description="Heading of the table.")
    source: str = Field(description="Where in the paper the numbers stand.")
    heads: list[str] = Field(min_length=1, description="Titles of the head columns.")
    columns: list[PaperColumn] = Field(min_length=1, description="The columns of numbers.")
    rows: list[PaperRow] = Field(min_length=1, description="The rows, from the top.")
    seeds: int = Field(5, gt=0, description="Repeats behind each published cell.")
    preset: Name = Field("paper", description="Preset of the protocols.")
    splits: dict[Name, str] = Field(
        default_factory=dict, description="Data set -> the paper's split, as its card names it; others get a footnote."
    )
    gain_over: Name | None = Field(
        None, description="Table whose row of the same model and protocol the gains are measured from."
    )
    average: str = Field("", description="Title of a last column, the unweighted mean of the row; empty: none.")
    read_off: float | None = Field(
        None, gt=0, description="The published numbers were measured in a figure: the reading error. None: printed."
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
    """One panel: a data set under one metric."""

    dataset: Name = Field(description="Name of the data set's card.")
    title: str = Field(description="Title of the panel.")
    metric: str = Field("", description="Metric on the test split; empty for kinds that show no metric.")


class FigureRow(Strict):
    """One bar, line or map of each panel: the unit that stands behind it, its data set apart."""

    label: str = Field(description="Its name in the picture, e.g. the foundation.")
    group: str = Field("", description="What sets bars of one label apart, e.g. the classifier.")
    model: Name = Field(description="Name of the model's card.")
    protocol: ProtocolName = Field(description="Name of the protocol's card.")
    set: dict[str, Any] = Field(default_factory=dict, description="Settings beyond the preset, as given to --set.")


class PaperFigure(Strict):
    """What every figure declares."""

    title: str = Field(description="Title of the figure.")
    source: str = Field(description="Where in the paper it stands.")
    seeds: int = Field(5, gt=0, description="Repeats behind each value of the paper.")
    preset: Name = Field("paper", description="Preset of the protocols.")
    splits: dict[Name, str] = Field(
        default_factory=dict, description="Data set -> the paper's split, as its card names it; others get a note."
    )
    width: Literal["column", "text"] = Field("text", description="One column of a two-column page, or the whole page.")
    columns: int = Field(2, gt=0, description="Panels beside each other.")
    notes: list[str] = Field(default_factory=list, description="What the paper leaves open and how it is drawn here.")


class Gains(PaperFigure):
    """Bars sorted by gain over one row, averaged over the data sets of a table; the size of what was seen below."""

    kind: Literal["gains"] = Field(description="Bars of gains.")
    table: Name = Field(description="The table of the same card whose rows are the bars.")
    reference: list[str] = Field(description="Labels of the row that is 0.")
    y_title: str = Field("Relative performance gain (%)", description="Title of the y axis.")
    images: dict[str, float] = Field(description="Last label of a row -> images of its pre-training, by the paper.")


class Bars(PaperFigure):
    """One panel per data set, one bar per row."""

    kind: Literal["bars"] = Field(description="Bars of a metric.")
    panels: list[FigurePanel] = Field(min_length=1, description="The panels, in order.")
    rows: list[FigureRow] = Field(min_length=1, description="The bars of each panel.")
    relative_to: str | None = Field(None, description="Label of the row that is 0: bars are changes in per cent.")

    @model_validator(mode="after")
    def _reference_is_a_row(self) -> Bars:
        if self.relative_to is not None and self.relative_to not in [row.label for row in self.rows]:
            raise ValueError(f"relative_to: no row is called '{self.relative_to}'")
        return self


class RatioPanel(Strict):
    """One quantity in units of one row's, averaged over data sets."""

    name: Name = Field(description="Its name in the data file of the figure.")
    title: str = Field(description="Title of the panel.")
    quantity: str = Field(description="`step` (iterations to the best epoch), or a metric's id, e.g. `latency_ms`.")
    datasets: list[Name] = Field(min_length=1, description="The data sets averaged over.")
    table: Name | None = Field(None, description="The table of the same card whose rows are the bars; or `rows`.")
    rows: list[FigureRow] = Field(default_factory=list, description="The bars, where no `table` has them.")

    @model_validator(mode="after")
    def _rows_or_table(self) -> RatioPanel:
        if (self.table is None) == (not self.rows):
            raise ValueError(f"panel {self.name} needs either table or rows")
        return self


class Ratios(PaperFigure):
    """Grouped bars of ratios to one row."""

    kind: Literal["ratios"] = Field(description="Bars of ratios.")
    panels: list[RatioPanel] = Field(min_length=1, description="The panels, in order.")
    reference: list[str] = Field(min_length=2, max_length=2, description="Group and label of the row that is 1.")


class CurvePanel(FigurePanel):
    """One panel of curves: what is run between the ends, and what stands at them."""

    protocol: ProtocolName = Field(description="The protocol between the ends, one record per value of the option.")
    first: ProtocolName | None = Field(None, description="The protocol at 0; none: the curve starts at 1.")
    last: ProtocolName | None = Field(None, description="The protocol at the model's number of units.")


class Curve(Strict):
    """One model's line."""

    label: str = Field(description="Its name in the legend.")
    model: Name = Field(description="Name of the model's card.")
    units: int = Field(gt=1, description="How many units (blocks or stages) the model has.")


class Curves(PaperFigure):
    """A metric over a count of a model's units: how many are frozen, kept and so on."""

    kind: Literal["curves"] = Field(description="Lines.")
    option: str = Field(description="The setting that counts the units.")
    x_title: str = Field(description="Title of the x axis.")
    shift: int = Field(0, description="Added to the count on the x axis: -1 shows the index of the last unit.")
    panels: list[CurvePanel] = Field(min_length=1, description="The panels, in order.")
    lines: list[Curve] = Field(min_length=1, description="One line per model.")


class HeatPanel(Strict):
    """One panel of a heat map per model."""

    dataset: Name = Field(description="Name of the data set's card.")
    title: str = Field(description="Title of the panel.")
    set: dict[str, Any] = Field(default_factory=dict, description="Settings beyond the preset, as given to --set.")


class Heatmaps(PaperFigure):
    """Layer by layer similarity of a network after and before training: one map per row and panel."""

    kind: Literal["heatmaps"] = Field(description="Maps of similarity.")
    panels: list[HeatPanel] = Field(min_length=1, description="The maps of each row.")
    rows: list[FigureRow] = Field(min_length=1, description="One row of maps per model.")
    across: Literal["panels", "rows"] = Field("panels", description="What stands side by side.")
    x_title: str = Field("layer before training", description="Title of the x axis.")
    y_title: str = Field("layer after training", description="Title of the y axis.")


class Similarity(PaperFigure):
    """Similarity of models to each other on the same images: one square per data set."""

    kind: Literal["similarity"] = Field(description="Squares of similarity.")
    panels: list[FigurePanel] = Field(min_length=1, description="One square per data set.")
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
