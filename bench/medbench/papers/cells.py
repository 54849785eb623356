"""What a paper's tables and figures need: (model, protocol, data set) with settings, each once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from medbench.cards.catalogues.medmnist import medmnist_names
from medbench.cards.find import names, trained
from medbench.cards.paper import Bars, Curves, Gains, Heatmaps, PaperCard, PaperFigure, PaperTable, Ratios, Similarity
from medbench.storage import files


@dataclass(frozen=True)
class CellSpec:
    """The repeats behind one cell of a table, or one value of a figure.

    Attributes:
        model: A model's name, or `MODEL@PROTOCOL` for the network that this protocol trained on the same data set.
        protocol: The protocol's name.
        dataset: The data set's name.
        set: Settings on top of the preset.
        preset: The preset.
        seeds: Number of repeats.
        split: The paper's split of the data set, with `{seed}` for the seed of each repeat; None: the paper has none.
        metric: The metric shown; empty: none.
        sweep: (setting, n): one unit for each value from 1 to n - 1 of the setting; None: no sweep.
        places: The tables and figures that show it.
    """

    model: str
    protocol: str
    dataset: str
    set: Mapping[str, Any] = field(default_factory=dict)
    preset: str = "paper"
    seeds: int = 5
    split: str | None = None
    metric: str = ""
    sweep: tuple[str, int] | None = None
    places: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What distinguishes cells; the number of repeats does not count."""
        swept = [dict(self.set), self.sweep, self.split]
        return self.dataset, self.model, self.protocol, self.preset, files.canonical(swept)

    @property
    def name(self) -> str:
        """The name shown to users."""
        changed = "".join(f", {key}={value}" for key, value in self.set.items())
        return f"{self.model} · {self.protocol} · {self.dataset}{changed}"

    def parts(self) -> list[CellSpec]:
        """Return one cell for each value of the sweep; without a sweep, the cell itself."""
        if self.sweep is None:
            return [self]
        setting, n = self.sweep
        return [dataclasses.replace(self, set={**self.set, setting: i}, sweep=None) for i in range(1, n)]


def wanted_of(card: PaperCard, only: Iterable[str] | None = None) -> list[CellSpec]:
    """Return the cells of a paper's tables and figures, each once, with the largest number of repeats asked for.

    Args:
        card: The paper.
        only: Names of tables and figures; None: all.
    """
    chosen = {*card.tables, *card.figures} if only is None else set(only)
    found: dict[tuple[str, ...], CellSpec] = {}
    for one in _each(card, chosen):
        same = found.get(one.key)
        if same is not None:
            places = tuple(dict.fromkeys(same.places + one.places))
            one = dataclasses.replace(
                same, seeds=max(same.seeds, one.seeds), places=places, metric=same.metric or one.metric
            )
        found[one.key] = one
    return list(found.values())


def lacking(wanted: CellSpec, known: Mapping[str, set[str]] | None = None) -> list[tuple[str, str]]:
    """Return (kind, name) of the cards that a cell needs and this version does not have.

    Args:
        wanted: The cell.
        known: Kind -> names of the cards of this version; None: look them up. The sets of MedMNIST have no card files.
    """
    if known is None:
        known = {kind: set(names(kind)) for kind in ("models", "protocols", "datasets")}
    model, start = trained(wanted.model)
    needed = [("models", model), *([("protocols", start)] if start else [])]
    needed += [("protocols", wanted.protocol)]
    needed += [] if wanted.dataset in medmnist_names() else [("datasets", wanted.dataset)]
    return [(kind, name) for kind, name in needed if name not in known[kind]]


def cells_of(table: PaperTable, place: str) -> list[list[CellSpec]]:
    """Return the cells of a table: one list per row, in the order of the columns."""
    return [
        [
            CellSpec(
                model=column.model or row.model,
                protocol=row.protocol,
                dataset=column.dataset + row.suffix,
                set={key: value for key, value in row.set.items() if key != "split"},
                preset=row.preset or table.preset,
                seeds=row.seeds or table.seeds,
                split=row.set.get("split", table.splits.get(column.dataset)),
                metric=column.metric,
                places=(place,),
            )
            for column in table.columns
        ]
        for row in table.rows
    ]


def _each(card: PaperCard, chosen: set[str]) -> Iterator[CellSpec]:
    for name in card.tables:
        if name in chosen:
            yield from _of_table(card, name, name)
    for name, figure in card.figures.items():
        if name in chosen:
            yield from _of_figure(card, name, figure)


def _of_table(card: PaperCard, table: str, place: str) -> Iterator[CellSpec]:
    for row in cells_of(card.tables[table], place):
        yield from row
    if over := card.tables[table].gain_over:
        starts = [card.reference(table, row) for row in card.tables[table].rows]
        for start, cells in zip(card.tables[over].rows, cells_of(card.tables[over], place), strict=True):
            if start in starts:
                yield from cells


def _of_figure(card: PaperCard, place: str, figure: PaperFigure) -> Iterator[CellSpec]:
    if isinstance(figure, Gains):
        yield from _of_table(card, figure.table, place)
    elif isinstance(figure, Ratios):
        yield from _of_ratios(card, figure, place)
    elif isinstance(figure, Curves):
        yield from _of_curves(figure, place)
    elif isinstance(figure, Heatmaps):
        for heat in figure.panels:
            for row in figure.rows:
                yield _unit(figure, place, row.model, row.protocol, heat.dataset, {**row.set, **heat.set})
    elif isinstance(figure, (Bars, Similarity)):
        for panel in figure.panels:
            for row in figure.rows:
                yield _unit(figure, place, row.model, row.protocol, panel.dataset, row.set, metric=panel.metric)


def _of_ratios(card: PaperCard, figure: Ratios, place: str) -> Iterator[CellSpec]:
    for panel in figure.panels:
        if panel.table is not None:
            yield from (one for one in _of_table(card, panel.table, place) if one.dataset in panel.datasets)
        for row in panel.rows:
            for dataset in panel.datasets:
                yield _unit(figure, place, row.model, row.protocol, dataset, row.set)


def _of_curves(figure: Curves, place: str) -> Iterator[CellSpec]:
    for panel in figure.panels:
        for line in figure.lines:
            sweep = (figure.option, line.units)
            yield _unit(figure, place, line.model, panel.protocol, panel.dataset, {}, metric=panel.metric, sweep=sweep)
            for end in filter(None, (panel.first, panel.last)):
                yield _unit(figure, place, line.model, end, panel.dataset, {}, metric=panel.metric)


def _unit(
    figure: PaperFigure, place: str, model: str, protocol: str, dataset: str, changes: Mapping[str, Any], **more: Any
) -> CellSpec:
    return CellSpec(
        model=model,
        protocol=protocol,
        dataset=dataset,
        set=dict(changes),
        preset=figure.preset,
        seeds=figure.seeds,
        split=figure.splits.get(dataset),
        places=(place,),
        **more,
    )
