"""Figures of all results on one data set, by kind: `dataset/NAME`, `dataset/NAME/KIND` or `NAME/KIND`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from medbench import cards
from medbench.cards.recipes import KINDS
from medbench.errors import CardError, unknown
from medbench.records.store import PREDICTIONS, gc_paused, records_of, unit_has
from medbench.report.figures import bars, corruption, shift, shots
from medbench.report.figures.figure import FigureData
from medbench.report.figures.predictions import sweeps
from medbench.report.figures.predictions.kinds import KINDS as OF_RUNS
from medbench.report.figures.predictions.kinds import refuse
from medbench.report.figures.predictions.runs import Selection
from medbench.report.tables.lookup import list_tables, run_on, table
from medbench.storage import paths

DATASET = "dataset/"
"""What the names of these figures begin with."""
FIRST = "bars"
"""The kind that a name without a kind means."""


def find(name: str, runs: Path | None = None) -> tuple[str, str] | None:
    """Return the data set and the kind of a figure's name; None: it names no such figure.

    Raises:
        CardError: Nothing was run on the data set, or there is no such kind.
    """
    own = name.startswith(DATASET)
    dataset, slash, kind = name.removeprefix(DATASET).partition("/")
    if not own and (kind not in ALL or dataset in cards.names("papers")):
        return None
    if dataset not in run_on(paths.runs_dir(runs)):
        raise unknown("figure", name, [known for known, _ in list_own(runs)], "All: medbench figure")
    if slash and kind not in ALL:
        raise CardError(f"unknown kind of figure '{kind}'", f"kinds: {', '.join(ALL)}")
    return dataset, kind or FIRST


def data_of(dataset: str, kind: str, runs: Path | None, include_random: bool, selection: Selection) -> FigureData:
    """Return the data of one figure.

    Raises:
        MedbenchError: There are no such results, or the kind cannot show what is selected.
    """
    refuse(kind, selection)
    if kind in OWN:
        return OWN[kind](dataset, runs, include_random)
    with gc_paused():
        return OF_RUNS[kind].make(dataset, records_of(paths.runs_dir(runs), dataset), include_random, selection)


def _bars(dataset: str, runs: Path | None, include_random: bool) -> FigureData:
    return bars.of_table(table(DATASET + dataset, runs, include_random=include_random, intervals=True))


def _few_shot(dataset: str, runs: Path | None, include_random: bool) -> FigureData:
    with gc_paused():
        return shots.of_records(dataset, records_of(paths.runs_dir(runs), dataset), include_random)


def _corruption(dataset: str, runs: Path | None, include_random: bool) -> FigureData:
    return corruption.of_table(table(f"corruption/{dataset}", runs, include_random=include_random))


def _shift(dataset: str, runs: Path | None, include_random: bool) -> FigureData:
    return shift.of_table(table(f"shift/{dataset}", runs, include_random=include_random))


OWN: dict[str, Callable[[str, Path | None, bool], FigureData]] = {
    FIRST: _bars,
    shots.KIND: _few_shot,
    shift.KIND: _shift,
    corruption.KIND: _corruption,
}
"""Kind -> what makes its data from (data set, run store, whether random weights are shown), of all runs."""
ALL = (*OWN, *OF_RUNS)
"""All kinds."""


def list_own(runs: Path | None = None) -> list[tuple[str, str]]:
    """Return (name, kind) of the figures of each data set with a finished unit.

    Args:
        runs: The run store; None: `MEDBENCH_RUNS` or `results/runs`.
    """
    found, place, tables = [], paths.runs_dir(runs), list_tables(runs)
    for name in (one for one in tables if one.startswith(DATASET)):
        dataset = name.removeprefix(DATASET)
        swept = _swept(dataset, place)
        kinds = [FIRST]
        kinds += [shots.KIND] * ("shots" in swept)
        kinds += [kind for kind in (shift.KIND, corruption.KIND) if f"{kind}/{dataset}" in tables]
        if next((place / dataset).glob(f"*/*/*/{PREDICTIONS}"), None):
            kinds += [kind for kind in OF_RUNS if kind not in (sweeps.DEPTHS, sweeps.EFFICIENCY)]
        kinds += [sweeps.DEPTHS] * bool(swept & {*sweeps.SWEPT})
        kinds += [sweeps.EFFICIENCY] * unit_has(place, dataset, sweeps.SHARE)
        found += [(name if kind == FIRST else f"{name}/{kind}", kind) for kind in kinds]
    return found


def _swept(dataset: str, runs: Path) -> set[str]:
    """Return the settings that the protocols run on a data set have several values of: shots, frozen or kept units."""
    protocols = {folder.name for folder in (runs / dataset).glob("*/*") if folder.is_dir()}
    known = [cards.find_protocol(name).kind for name in protocols & set(cards.names("protocols"))]
    return {KINDS[kind].sweep for kind in known}
