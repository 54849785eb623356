"""The leaderboard: static pages of a run store, an index of all data sets and one page for each."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from medbench.errors import MedbenchError
from medbench.records import Record, store
from medbench.records.groups import FLAW, FLAW_MARK, SEEN, SEEN_MARK, natural
from medbench.records.store import gc_paused
from medbench.report.tables.dataset_table import RANDOM, dataset_table
from medbench.report.tables.marks import SPLIT_MARK
from medbench.report.tables.render_html import render_html
from medbench.report.tables.table import Cell, Column, Row, Table
from medbench.storage import files, html_pages

WRITTEN = "pages.json"
"""In the folder: the sha256 of each page that was written, so that the next call knows which are medbench's."""
HEADS = ("model", "protocol", "settings", "weights", "licence", "seeds", "medbench", "origin")
SPLIT = "tested on other images than most rows of the data set, so not comparable with them"
MARKS = {SEEN_MARK: SEEN, FLAW_MARK: FLAW, SPLIT_MARK: f"{SPLIT_MARK} {SPLIT}"}
Kind = Literal["results", "toy", "random"]
NUMBERS = "primary metric of each data set, test split, mean ± sample standard deviation over seeds"
TITLES: dict[Kind, str] = {"results": "Results", "toy": "Toy data: no result about medicine", "random": RANDOM}


@dataclass
class _Entry:
    """One row of the index.

    Attributes:
        name: Model, protocol and settings.
        kind: The part of the index it belongs to.
        cells: Column -> the primary metric.
        records: What the cells are made of.
    """

    name: tuple[str, str, str]
    kind: Kind
    cells: dict[Column, Cell] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)


def write_leaderboard(runs: Path, to: Path, include_random: bool = False) -> list[Path]:
    """Write `index.html` and `datasets/NAME.html` to a folder and return the files; same records, same bytes.

    A page that an earlier call wrote is deleted if its data set has no results any more.

    Args:
        runs: The run store.
        to: The folder; other files in it stay.
        include_random: Show random weights too, apart from the others.

    Raises:
        MedbenchError: Nothing has been run.
        OutputError: The folder is read-only or full.
    """
    with gc_paused():
        records = [record for record in store.read_all(runs, selection=False) if record.test_on is None]
    names = sorted({record.unit.dataset for record in records}, key=natural)
    tables = [dataset_table(name, records, include_random, intervals=True) for name in names]
    tables = [table for table in tables if table.rows]
    if not tables:
        hint = (
            "--random shows results of random weights" if records else "medbench run …, or name the store with --runs"
        )
        raise MedbenchError(f"no results in {runs}", hint)
    pages = {Path("datasets", f"{table.columns[0].dataset}.html"): _page(table) for table in tables}
    pages[Path("index.html")] = _index(tables, records)
    for name, text in pages.items():
        files.write_text(to / name, text)
    _delete_old(to, pages)
    files.write_json(to / WRITTEN, {name.as_posix(): files.sha256_file(to / name) for name in pages})
    return [to / name for name in pages]


def _delete_old(to: Path, pages: Collection[Path]) -> None:
    """Delete the pages of data sets that an earlier call wrote and this one did not, unless somebody changed them."""
    try:
        known = dict(json.loads((to / WRITTEN).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return
    for path in to.glob("datasets/*.html"):
        name = path.relative_to(to)
        written = known.get(name.as_posix())
        if name not in pages and written is not None and path.is_file() and written == files.sha256_file(path):
            path.unlink()


def _page(table: Table) -> str:
    title = f"{table.columns[0].dataset}: all results"
    return _rendered(title, {"results": table}, "../index.html", [])


def _index(tables: Sequence[Table], records: Sequence[Record]) -> str:
    entries = _entries(tables, records)
    boards = {kind: _board(kind, [entry for entry in entries if entry.kind == kind]) for kind in TITLES}
    shown = {kind: board for kind, board in boards.items() if board.rows}
    return _rendered("Leaderboard", shown, "", [table.columns[0].dataset for table in tables])


def _rendered(title: str, boards: dict[Kind, Table], back: str, datasets: Sequence[str]) -> str:
    parts = [(kind, html_pages.markup(render_html(board))) for kind, board in boards.items()]
    return html_pages.render("leaderboard.html", title=title, boards=parts, back=back, datasets=datasets)


def _entries(tables: Sequence[Table], records: Iterable[Record]) -> list[_Entry]:
    """Return the rows of the index, in the order of the first data set that has them."""
    behind: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        unit = record.unit
        behind.setdefault((unit.dataset, unit.model, unit.protocol, record.group[:12]), []).append(record)
    found: dict[tuple[str, ...], _Entry] = {}
    for table in tables:
        for row in table.rows:
            about = {key: str(value) for key, value in row.about.items()}
            kind: Kind = "toy" if row.about["toy"] else "random" if about["weights"] == "random" else "results"
            settings = "; ".join(filter(None, (about["preset"], about["options"])))
            name = (about["model"], about["protocol"], settings)
            entry = found.setdefault((*name, about["weights"], kind), _Entry(name, kind))
            column = _column(table, row)
            entry.cells[column] = row.cells[[own.metric for own in table.columns].index(column.metric)]
            entry.records += behind[table.columns[0].dataset, about["model"], about["protocol"], about["group"]]
    return list(found.values())


def _column(table: Table, row: Row) -> Column:
    """Return the column of a row's number: its data set, the content if the name has several, the primary metric."""
    first = table.columns[0]
    metric = str(row.about.get("metric", first.metric))
    title = next(column.title for column in table.columns if column.metric == metric)
    name = " ".join(filter(None, (first.dataset, str(row.about.get("data", "")))))
    return Column(f"{name} {metric}", f"{name}: {title}", metric, first.dataset)


def _board(kind: Kind, entries: Sequence[_Entry]) -> Table:
    columns = tuple(dict.fromkeys(column for entry in entries for column in entry.cells))
    rows = tuple(
        Row((*entry.name, *_provenance(entry.records)), tuple(entry.cells.get(column, Cell()) for column in columns))
        for entry in entries
    )
    marks = "".join(cell.mark for row in rows for cell in row.cells)
    return Table(
        name=f"leaderboard/{kind}",
        title=f"{TITLES[kind]}: {NUMBERS}",
        heads=HEADS,
        columns=columns,
        rows=rows,
        notes=tuple(text for mark, text in MARKS.items() if mark in marks),
        ranking="its data set, among comparable runs",
    )


def _provenance(records: Sequence[Record]) -> tuple[str, ...]:
    """Return weights, their licence, seeds, medbench with its commit, and from whom the records are."""
    weights = [record.provenance.get("weights", {}) for record in records]
    code = [record.provenance for record in records]
    return (
        _each(
            f"{r.unit.weights} {str(w.get('sha256') or '')[:8]}".strip() for r, w in zip(records, weights, strict=True)
        ),
        _each(str(w.get("licence") or "unknown") for w in weights),
        _each(str(seed) for seed in sorted({record.unit.seed for record in records})),
        _each(f"{c.get('medbench') or 'unknown'} {str(c.get('commit') or '')[:8]}".strip() for c in code),
        _each(record.origin or "own" for record in records),
    )


def _each(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))
