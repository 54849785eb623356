"""Tables from records: one per data set, and those of papers and studies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medbench.errors import CardError, unknown
from medbench.records import store
from medbench.records.store import gc_paused, records_of
from medbench.report.figures.predictions.runs import Selection
from medbench.report.figures.predictions.runs import records_of as selected
from medbench.report.robustness.corruption_table import corruption_table
from medbench.report.robustness.shift_table import shift_table
from medbench.report.subgroups.by import By
from medbench.report.tables.class_table import class_table
from medbench.report.tables.dataset_table import dataset_table
from medbench.report.tables.table import Table
from medbench.storage import paths


def list_tables(runs: Path | None = None) -> list[str]:
    """Return the names of all tables: of papers and studies, then `dataset/<name>` of data sets with a finished unit.

    `shift/<name>` and `corruption/<name>` follow where models that were trained on it were tested on another data set,
    or on corrupted images.

    Args:
        runs: The run store; None: `MEDBENCH_RUNS` or `results/runs`.
    """
    from medbench import cards
    from medbench.cards.study import RANKS

    papers = [f"{paper}/{name}" for paper in cards.names("papers") for name in cards.find_paper(paper).tables]
    papers += [f"{RANKS}/{study}" for study in cards.names("studies")]
    place, own = paths.runs_dir(runs), []
    for name in run_on(place):
        own += [f"{kind}/{name}" for kind in ("dataset", *sorted(store.tested_elsewhere(place, name), reverse=True))]
    return papers + own


def run_on(runs: Path) -> list[str]:
    """Return the names of the data sets with a finished unit, sorted."""
    folders = sorted(path for path in runs.glob("*") if path.is_dir())
    return [folder.name for folder in folders if next(folder.glob(f"*/*/*/{store.RECORD}"), None)]


def table(
    name: str,
    runs: Path | None = None,
    published: bool = False,
    include_random: bool = False,
    intervals: bool = False,
    preset: str | None = None,
    metrics: Sequence[str] = (),
    per_class: bool = False,
    by: By | None = None,
    selection: Selection | None = None,
) -> Table:
    """Return a table by name; arguments and errors are those of `medbench.table` and `medbench table`.

    Raises:
        CardError: There is no such table or metric.
        MedbenchError: Nothing was run on the data set.
    """
    if per_class and not name.startswith("dataset/"):
        raise CardError(
            f"'{name}' has no table of classes",
            "only data sets have such a table: medbench table dataset/NAME --per-class",
        )
    if by is not None and (per_class or not name.startswith("dataset/")):
        if per_class:
            raise CardError("--by and --per-class cannot be combined", "remove one of them")
        raise CardError(
            f"'{name}' has no table of subgroups",
            "only data sets have such a table: medbench table dataset/NAME --by COLUMN,…",
        )
    if selection is not None and not name.startswith("dataset/"):
        raise CardError(
            f"--model and --protocol have no effect on '{name}'",
            "they select rows of data sets: medbench table dataset/NAME --model MODEL",
        )
    with gc_paused():  # until `_table` has returned: its records are gone by then
        found = _table(
            name, paths.runs_dir(runs), published, include_random, intervals, preset, metrics, per_class, by, selection
        )
    if found is None:
        raise unknown("table", name, list_tables(runs), "All: medbench table")
    return found


def _table(
    name: str,
    runs: Path,
    published: bool,
    include_random: bool,
    intervals: bool,
    preset: str | None,
    metrics: Sequence[str],
    per_class: bool,
    by: By | None,
    selection: Selection | None,
) -> Table | None:
    """Return a table by name; None if there is no such table."""
    kind, _, rest = name.partition("/")
    if kind in ("dataset", "shift", "corruption") and rest in run_on(runs):
        records = records_of(runs, rest)
        if kind != "dataset":
            make = shift_table if kind == "shift" else corruption_table
            return make(rest, records, include_random, metrics)
        if selection is not None:
            records = selected(rest, records, selection)
        if by is not None:
            from medbench.report.subgroups.subgroup_table import subgroup_table  # which imports the cards, see below

            return subgroup_table(rest, records, by, include_random, metrics)
        if per_class:
            return class_table(rest, records, include_random, metrics)
        return dataset_table(rest, records, include_random, intervals, metrics, costs=True)
    from medbench import cards  # only here: they take longer to import than all else that a data set's table needs

    if kind == "dataset" and rest in cards.names("datasets"):
        return dataset_table(rest, [], include_random, intervals)  # which says that nothing has been run
    from medbench.cards.study import RANKS

    if kind == RANKS and rest in cards.names("studies"):
        from medbench.report.ranks.ranks_table import ranked_study

        return ranked_study(rest, runs, include_random, intervals, preset, metrics).table
    if kind not in cards.names("papers") or rest not in (paper := cards.find_paper(kind)).tables:
        return None
    from medbench.papers.matching import paper_records
    from medbench.report.tables.paper_table import paper_table

    return paper_table(
        paper, rest, paper_records(paper, runs, [rest]), published, include_random, intervals, preset, metrics
    )
