"""Tables from records: one per data set, and those of papers."""

from __future__ import annotations

from pathlib import Path

from medbench import cards
from medbench.errors import unknown
from medbench.papers.matching import paper_records
from medbench.records import store
from medbench.records.store import gc_paused, records_of
from medbench.report.tables.dataset_table import dataset_table
from medbench.report.tables.paper_table import paper_table
from medbench.report.tables.shift_table import shift_table
from medbench.report.tables.table import Table
from medbench.storage import paths


def list_tables(runs: Path | None = None) -> list[str]:
    """Return the names of all tables: the papers', then `dataset/<name>` of each data set with a finished unit.

    Args:
        runs: The run store; None: `MEDBENCH_RUNS` or `results/runs`.
    """
    papers = [f"{paper}/{name}" for paper in cards.names("papers") for name in cards.find_paper(paper).tables]
    folders = sorted(path for path in paths.runs_dir(runs).glob("*") if path.is_dir())
    run = [f.name for f in folders if next(f.glob(f"*/*/*/{store.RECORD}"), None)]
    return papers + [f"dataset/{name}" for name in run]


def table(
    name: str,
    runs: Path | None = None,
    published: bool = False,
    include_random: bool = False,
    intervals: bool = False,
    preset: str | None = None,
) -> Table:
    """Return a table by name; arguments and errors are those of `medbench.table` and `medbench table`.

    Raises:
        CardError: There is no such table.
        MedbenchError: Nothing was run on the data set.
    """
    place = paths.runs_dir(runs)
    kind, _, rest = name.partition("/")
    with gc_paused():
        if kind == "dataset" and (rest in cards.names("datasets") or name in list_tables(runs)):
            return dataset_table(rest, records_of(place, rest), include_random, intervals)
        if kind == "shift" and f"dataset/{rest}" in list_tables(runs):
            return shift_table(rest, records_of(place, rest), include_random)
        if kind in cards.names("papers") and rest in (paper := cards.find_paper(kind)).tables:
            records = paper_records(paper, place, [rest])
            return paper_table(paper, rest, records, published, include_random, intervals, preset)
    raise unknown("table", name, list_tables(runs), "All: medbench table")
