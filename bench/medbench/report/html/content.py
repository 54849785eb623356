"""The content of the report, collected from a run store; `render_page` turns it into HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from medbench import cards
from medbench.cards import PaperCard
from medbench.errors import MedbenchError
from medbench.progress import bar
from medbench.records import Record, store
from medbench.records.groups import Group, GroupKey, collect
from medbench.records.store import gc_paused
from medbench.report.figures import draw as figures
from medbench.report.figures.figure import FigureData
from medbench.report.html import plots
from medbench.report.html.answers import Answer, answer
from medbench.report.html.run_page import Facts, Page, Pictures, anchor, facts, page_of
from medbench.report.html.tabs import Picture
from medbench.report.robustness.corruption_table import corruption_table
from medbench.report.robustness.shift_table import shift_table
from medbench.report.tables.dataset_table import dataset_table
from medbench.report.tables.marks import interval
from medbench.report.tables.paper_table import paper_table
from medbench.report.tables.table import Row, Table

DATA = ("split", "split_digest", "digest", "licence")
"""What the report shows of a data set's provenance."""
DPI = 200
"""Of the figures."""


@dataclass(frozen=True)
class PaperTableView:
    """A paper's table, and how many of its cells were run."""

    table: Table
    run: int
    cells: int


@dataclass(frozen=True)
class Failure:
    """A unit that failed and has not been completed since."""

    folder: str
    error: str


@dataclass(frozen=True)
class Origin:
    """Software and machine, weights, or data that `n` records share."""

    facts: Facts
    n: int


@dataclass(frozen=True)
class Content:
    """The report.

    Attributes:
        records: How many records there are.
        answers: One per data set: which run is best, by how much, and how sure that is.
        tables: One per data set, with a plot of its first column; then those of domain shift and of corruptions.
        papers: Papers' tables of which something was run.
        figures: Papers' figures of which something was run, drawn as PNG.
        pages: One per group, but of corrupted images none.
        failures: Units that failed.
        unrun: (name, what runs it) of these papers' tables and figures that lack something.
        software: Where the numbers were made.
        weights: What the encoders were filled with.
        data: What they were tested on.
        licences: (data set, licence) of those of which thumbnails are shown.
    """

    records: int
    answers: tuple[Answer, ...]
    tables: tuple[tuple[Table, Picture | None], ...]
    papers: tuple[PaperTableView, ...]
    figures: tuple[tuple[FigureData, Picture], ...]
    pages: tuple[Page, ...]
    failures: tuple[Failure, ...]
    unrun: tuple[tuple[str, str], ...]
    software: tuple[Origin, ...]
    weights: tuple[Origin, ...]
    data: tuple[Origin, ...]
    licences: tuple[tuple[str, str], ...]


def collected(runs: Path, dataset: str, include_random: bool, pictures: Pictures | None, thumbnails: int) -> Content:
    """Read a run store, draw its figures and make the pages.

    Args:
        runs: The run store.
        dataset: A glob: only data sets of such names.
        include_random: Show random weights in papers' tables and figures too; tables of data sets always have them, in
            a section of their own.
        pictures: Gives thumbnails; None: the report has none.
        thumbnails: How many of the worst-classified images a page shows.

    Raises:
        MedbenchError: Nothing was run.
    """
    with gc_paused():
        records = [record for record in store.read_all(runs) if fnmatchcase(record.unit.dataset, dataset)]
    if not records:
        of = "" if dataset == "*" else f" on data sets called '{dataset}'"
        raise MedbenchError(f"nothing has been run{of} in {runs}", "medbench run …, or name the run store with --runs")
    groups = collect(record for record in records if record.corruption is None)  # the others are too many for pages
    own = {record.unit.dataset for record in records if record.test_on is None}
    tables = tuple(dataset_table(name, records, True, True) for name in sorted(own))
    corrupted = {record.unit.dataset for record in records if record.corruption is not None}
    elsewhere = {record.unit.dataset for record in records if record.test_on is not None and record.corruption is None}
    damage = {name: corruption_table(name, records, True) for name in sorted(corrupted)}
    drops = [*(shift_table(name, records, True) for name in sorted(elsewhere)), *damage.values()]
    views, data = _of_papers(records, include_random)
    pages = tuple(_pages(groups, tables, damage, runs, pictures, thumbnails))
    shown = {p.unit.dataset: p for p in pages if any(wrong.thumbnail for wrong in p.worst)}
    return Content(
        records=len(records),
        answers=tuple(_answers(tables, groups)),
        tables=(*((table, _ranking(table)) for table in tables), *((table, None) for table in drops)),
        papers=tuple(view for view in views if view.run),
        figures=tuple((one, _drawn(one)) for one in data if _has_ours(one)),
        pages=pages,
        failures=tuple(_failures(runs, dataset)),
        unrun=tuple(_unrun(views, data)),
        software=_origins(records, _software),
        weights=_origins(records, _weights),
        data=_origins(records, _data),
        licences=tuple((name, _licence(page.group.first)) for name, page in sorted(shown.items())),
    )


def _answers(tables: Iterable[Table], groups: Sequence[Group]) -> Iterable[Answer]:
    for table in tables:
        dataset = table.columns[0].dataset
        yield answer(table, [g for g in groups if g.first.unit.dataset == dataset and g.first.test_on is None])


def _of_papers(records: Sequence[Record], include_random: bool) -> tuple[list[PaperTableView], list[FigureData]]:
    """Return the tables and figures of the papers of which something was run: nobody asked for the others."""
    views: list[PaperTableView] = []
    data: list[FigureData] = []
    for paper in map(cards.find_paper, cards.names("papers")):
        tables = [_paper_view(paper, name, records, include_random) for name in paper.tables]
        drawn = [figures.paper_figure(paper, name, records, True, include_random) for name in paper.figures]
        if any(view.run for view in tables) or any(map(_has_ours, drawn)):
            views += tables
            data += drawn
    return views, data


def _pages(
    groups: Sequence[Group],
    tables: Iterable[Table],
    damage: Mapping[str, Table],
    runs: Path,
    pictures: Pictures | None,
    thumbnails: int,
) -> Iterable[Page]:
    """Yield the pages; intervals that a table already has are taken from it."""
    ends = [(key_of(table, row), row.cells[0]) for table in tables for row in table.rows]
    known = {key: (cell.low, cell.high) for key, cell in ends if cell.low is not None}
    with bar("pages", len(groups), "pages") as advance:
        for group in groups:
            own = known.get((*group.place[:3], group.first.group[:12])) or interval(group, group.first.metric)
            yield page_of(group, runs, own, pictures, thumbnails, damage.get(group.first.unit.dataset))
            advance()


def link_of(groups: Iterable[Group]) -> dict[GroupKey, str]:
    """Return (data set, model, protocol, beginning of the digest), as tables carry them, -> the id of the page."""
    return {(*group.place[:3], group.first.group[:12]): anchor(group) for group in groups}


def key_of(table: Table, row: Row) -> GroupKey:
    """Return what `link_of` knows the run of a table's row by."""
    about = row.about
    dataset = table.columns[0].dataset
    return dataset, str(about.get("model")), str(about.get("protocol")), str(about.get("group"))


def _ranking(table: Table) -> Picture | None:
    drawn = plots.ranking(table)
    title = f"{table.name}: mean, 95 % interval (line), ± one standard deviation over seeds (band)"
    return None if drawn is None else Picture(title, drawn)


def _drawn(data: FigureData) -> Picture:
    return Picture(f"{data.name}: {data.title}", figures.draw(data, "png", DPI))


def _paper_view(paper: PaperCard, name: str, records: Sequence[Record], include_random: bool) -> PaperTableView:
    table = paper_table(paper, name, records, True, include_random, False)
    cells = [cell for row in table.rows for cell in row.cells]
    return PaperTableView(table, sum(cell.value is not None for cell in cells), len(cells))


def _has_ours(data: FigureData) -> bool:
    return any(point.mean is not None for point in data.points)


def _unrun(views: Iterable[PaperTableView], data: Iterable[FigureData]) -> Iterable[tuple[str, str]]:
    """Yield (what, command) of the papers' tables and figures that lack something and can be run."""
    for view in views:
        if view.table.commands:
            yield f"{view.table.name}: {view.cells - view.run} of {view.cells} cells", view.table.commands[0]
    for one in data:
        lacking = sum(point.mean is None for point in one.points)
        if one.commands and lacking:
            yield f"{one.name}: {lacking} of {len(one.points)} values", one.commands[0]


def _failures(runs: Path, dataset: str) -> Iterable[Failure]:
    for folder, unit, error in store.failures(runs):
        if fnmatchcase(unit.dataset, dataset):
            yield Failure(folder.relative_to(runs).as_posix(), error)


def _origins(records: Iterable[Record], of: Any) -> tuple[Origin, ...]:
    """Return each different origin with the number of its records, the most frequent first."""
    counted = Counter(of(record) for record in records)
    order = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(Origin(found, n) for found, n in order)


def _software(record: Record) -> Facts:
    given = record.provenance
    versions = given.get("libraries", {})
    shown = {name: given.get(name) for name in ("medbench", "commit", "python", "device", "threads")}
    return facts({**shown, "libraries": ", ".join(f"{name} {v}" for name, v in versions.items())})


def _weights(record: Record) -> Facts:
    return (("model", record.unit.model), *facts(record.provenance.get("weights", {})))


def _data(record: Record) -> Facts:
    given = record.provenance.get("data", {})
    return (("data set", record.unit.dataset), *facts({name: given.get(name) for name in DATA}))


def _licence(record: Record) -> str:
    return str(record.provenance.get("data", {}).get("licence") or "unknown")
