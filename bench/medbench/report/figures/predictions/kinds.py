"""The kinds of figures that show chosen runs, and what each may be asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from medbench.errors import MedbenchError
from medbench.records import Record
from medbench.report.cache import counted
from medbench.report.figures import dots
from medbench.report.figures.figure import FigureData
from medbench.report.figures.predictions import classes, confusion, decisions, ranking, reliability, sweeps
from medbench.report.figures.predictions.runs import Selection, Shown, records_of, shown
from medbench.report.tables.choose import chosen
from medbench.report.tables.dataset_table import dataset_table

Make = Callable[[str, Sequence[Record], bool, Selection], FigureData]
"""(data set, its records, whether random weights are shown, what is selected) -> the figure's data."""


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    Attributes:
        make: Makes its data.
        by_class: Whether it can show one class against the rest.
        by_metric: Whether it can show another metric.
    """

    make: Make
    by_class: bool = False
    by_metric: bool = False


def _of_runs(collect: Callable[[Shown, Selection], FigureData]) -> Make:
    """Return what makes a figure of a few runs from their predictions."""

    def make(dataset: str, records: Sequence[Record], include_random: bool, selection: Selection) -> FigureData:
        found = shown(dataset, records, include_random, selection)
        with counted(f"{dataset}: intervals", 4 * len(found.runs)):
            return collect(found, selection)

    return make


def _interval(dataset: str, records: Sequence[Record], include_random: bool, selection: Selection) -> FigureData:
    """Return the forest plot of all runs, or of those that are selected."""
    metrics = [selection.metric] if selection.metric else []
    table = dataset_table(dataset, records_of(dataset, records, selection), include_random, True, metrics)
    return dots.of_table(chosen(table, metrics))


KINDS = {
    "roc": Kind(_of_runs(lambda runs, asked: ranking.collect(runs, ranking.ROC, asked.class_name)), by_class=True),
    "pr": Kind(_of_runs(lambda runs, asked: ranking.collect(runs, ranking.PRECISION, asked.class_name)), by_class=True),
    reliability.KIND: Kind(
        _of_runs(lambda runs, asked: reliability.collect(runs, asked.class_name, asked.metric)), True, True
    ),
    confusion.KIND: Kind(_of_runs(lambda runs, asked: confusion.collect(runs))),
    classes.KIND: Kind(_of_runs(lambda runs, asked: classes.collect(runs, asked.metric)), by_metric=True),
    sweeps.DEPTHS: Kind(sweeps.depths, by_metric=True),
    sweeps.EFFICIENCY: Kind(sweeps.efficiency, by_metric=True),
    dots.INTERVAL: Kind(_interval, by_metric=True),
    decisions.KIND: Kind(_of_runs(lambda runs, asked: decisions.collect(runs, asked.class_name)), by_class=True),
}


def refuse(kind: str, selection: Selection) -> None:
    """Refuse what a kind cannot show.

    Raises:
        MedbenchError: The selection has a class or a metric, and the figure shows none, or it shows all runs.
    """
    known = KINDS.get(kind)
    if selection.class_name and not (known and known.by_class):
        fitting = [name for name, one in KINDS.items() if one.by_class]
        raise MedbenchError(
            f"--class: the figure '{kind}' does not show one class", f"figures that do: {', '.join(fitting)}"
        )
    if selection.metric and not (known and known.by_metric):
        fitting = [name for name, one in KINDS.items() if one.by_metric]
        raise MedbenchError(
            f"--metric: the figure '{kind}' has a fixed metric", f"figures with --metric: {', '.join(fitting)}"
        )
    if known is None and (selection.models or selection.protocols):
        raise MedbenchError(
            f"--model and --protocol: the figure '{kind}' shows all runs",
            f"figures with --model and --protocol: {', '.join(KINDS)}",
        )
