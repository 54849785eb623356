"""The figures of a paper card: which records stand behind which bar, line or map. One schema per kind of figure."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from medbench.cards.base import Name, Strict


class FigurePanel(Strict):
    """One panel: a data set under one metric."""

    dataset: Name
    title: str
    metric: str = Field("", description="Metric on the test split; empty for kinds that show no metric.")


class FigureRow(Strict):
    """One bar, line or map of each panel: the unit that stands behind it, its data set apart."""

    label: str = Field(description="Its name in the picture, e.g. the foundation.")
    group: str = Field("", description="What sets bars of one label apart, e.g. the classifier.")
    model: Name
    protocol: Name
    set: dict[str, Any] = Field(default_factory=dict, description="Settings beyond the preset, as given to --set.")


class PaperFigure(Strict):
    """What every figure declares."""

    title: str
    source: str = Field(description="Where in the paper it stands.")
    seeds: int = Field(5, gt=0, description="Repeats behind each value of the paper.")
    preset: Name = "paper"
    splits: dict[Name, str] = Field(
        default_factory=dict, description="Data set -> the paper's split, as its card names it; others get a note."
    )
    width: Literal["column", "text"] = Field("text", description="One column of a two-column page, or the whole page.")
    columns: int = Field(2, gt=0, description="Panels beside each other.")
    notes: list[str] = Field(default_factory=list, description="What the paper leaves open and how it is drawn here.")


class Gains(PaperFigure):
    """Bars sorted by gain over one row, averaged over the data sets of a table; the size of what was seen below."""

    kind: Literal["gains"]
    table: Name = Field(description="The table of the same card whose rows are the bars.")
    reference: list[str] = Field(description="Labels of the row that is 0.")
    y_title: str = "Relative performance gain (%)"
    images: dict[str, float] = Field(description="Last label of a row -> images of its pre-training, by the paper.")


class Bars(PaperFigure):
    """One panel per data set, one bar per row."""

    kind: Literal["bars"]
    panels: list[FigurePanel] = Field(min_length=1)
    rows: list[FigureRow] = Field(min_length=1)
    relative_to: str | None = Field(None, description="Label of the row that is 0: bars are changes in per cent.")

    @model_validator(mode="after")
    def _reference_is_a_row(self) -> Bars:
        if self.relative_to is not None and self.relative_to not in [row.label for row in self.rows]:
            raise ValueError(f"relative_to: no row is called '{self.relative_to}'")
        return self


class RatioPanel(Strict):
    """One quantity in units of one row's, averaged over data sets."""

    name: Name
    title: str
    quantity: str = Field(description="`step` (iterations to the best epoch), or a metric's id, e.g. `latency_ms`.")
    datasets: list[Name] = Field(min_length=1)
    table: Name | None = Field(None, description="The table of the same card whose rows are the bars; or `rows`.")
    rows: list[FigureRow] = Field(default_factory=list)

    @model_validator(mode="after")
    def _rows_or_table(self) -> RatioPanel:
        if (self.table is None) == (not self.rows):
            raise ValueError(f"panel {self.name} needs either table or rows")
        return self


class Ratios(PaperFigure):
    """Grouped bars of ratios to one row."""

    kind: Literal["ratios"]
    panels: list[RatioPanel] = Field(min_length=1)
    reference: list[str] = Field(min_length=2, max_length=2, description="Group and label of the row that is 1.")


class CurvePanel(FigurePanel):
    """One panel of curves: what is run between the ends, and what stands at them."""

    protocol: Name = Field(description="The protocol between the ends, one record per value of the option.")
    first: Name | None = Field(None, description="The protocol at 0; none: the curve starts at 1.")
    last: Name | None = Field(None, description="The protocol at the model's number of units.")


class Curve(Strict):
    """One model's line."""

    label: str
    model: Name
    units: int = Field(gt=1, description="How many units (blocks or stages) the model has.")


class Curves(PaperFigure):
    """A metric over a count of a model's units: how many are frozen, kept and so on."""

    kind: Literal["curves"]
    option: str = Field(description="The setting that counts the units.")
    x_title: str
    shift: int = Field(0, description="Added to the count on the x axis: -1 shows the index of the last unit.")
    panels: list[CurvePanel] = Field(min_length=1)
    lines: list[Curve] = Field(min_length=1)


class HeatPanel(Strict):
    """One panel of a heat map per model."""

    dataset: Name
    title: str
    set: dict[str, Any] = Field(default_factory=dict)


class Heatmaps(PaperFigure):
    """Layer by layer similarity of a network after and before training: one map per row and panel."""

    kind: Literal["heatmaps"]
    panels: list[HeatPanel] = Field(min_length=1)
    rows: list[FigureRow] = Field(min_length=1)
    across: Literal["panels", "rows"] = Field("panels", description="What stands side by side.")
    x_title: str = "layer before training"
    y_title: str = "layer after training"


class Similarity(PaperFigure):
    """Similarity of models to each other on the same images: one square per data set."""

    kind: Literal["similarity"]
    panels: list[FigurePanel] = Field(min_length=1)
    rows: list[FigureRow] = Field(min_length=2)


Figure = Annotated[Gains | Bars | Ratios | Curves | Heatmaps | Similarity, Field(discriminator="kind")]
"""Any figure; `kind` tells which."""
