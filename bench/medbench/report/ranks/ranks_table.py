"""The table of a study: its entrants on its data sets, and their ranks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medbench import cards
from medbench.cards import StudyCard
from medbench.papers.cells import cells_of
from medbench.papers.matching import RecordIndex, paper_records
from medbench.papers.studies import paper_of, under
from medbench.records import Record
from medbench.records.groups import spelt
from medbench.records.store import gc_paused
from medbench.report.ranks.ranking import Entry, Ranking, ranking_of
from medbench.report.tables.marks import UNRANKED
from medbench.report.tables.paper_table import paper_table
from medbench.report.tables.table import TIE_MARK, Cell, Column, Row, Table, p_value
from medbench.storage import paths

HEADS = {"mean_rank": "mean rank", "wins": "wins", "first": "first"}


@dataclass(frozen=True)
class RankedStudy:
    """A study with what was run for it.

    Attributes:
        card: The study.
        table: Its table, the best mean rank first.
        ranking: Its ranking; None: too little was run.
    """

    card: StudyCard
    table: Table
    ranking: Ranking | None


def ranked_study(
    name: str,
    runs: Path | None = None,
    include_random: bool = False,
    intervals: bool = False,
    preset: str | None = None,
    metrics: Sequence[str] = (),
) -> RankedStudy:
    """Return a study by its name, with the records of a run store.

    Args:
        name: The study's.
        runs: The run store; None: `MEDBENCH_RUNS` or `results/runs`.
        include_random: Show random weights, marked; they are not ranked.
        intervals: Give the 95 % intervals of the metrics, too; those of mean ranks are always there.
        preset: Show what was run under another preset.
        metrics: Rank by these metrics on each of the data sets, not by the study's own.

    Raises:
        CardError: There is no such study, or a metric does not fit its data set.
    """
    card = under(cards.find_study(name), metrics)
    with gc_paused():
        records = paper_records(paper_of(card), paths.runs_dir(runs), [name])
        return ranked(card, records, include_random, intervals, preset)


def ranked(
    card: StudyCard,
    records: Iterable[Record],
    include_random: bool = False,
    intervals: bool = False,
    preset: str | None = None,
) -> RankedStudy:
    """Return a study with the records that fill its cells, which are picked as for a paper's table."""
    paper, records = paper_of(card), list(records)
    base = paper_table(paper, card.name, records, False, include_random, intervals, preset)
    index = RecordIndex(records)
    rows = []
    for line, row in zip(cells_of(paper.tables[card.name], card.name), base.rows, strict=True):
        entries = []
        for wanted, cell in zip(line, row.cells, strict=True):
            one = replace(wanted, preset=preset or wanted.preset)
            compares = cell.value is not None and not set(cell.mark) & set(UNRANKED)
            entries.append(Entry(index.choose(one, include_random).group if compares else None, wanted.metric))
        rows.append(entries)
    ranking, left = ranking_of(card.name, rows)
    notes = (*_notes(card, ranking), *_left_out(card, rows, ranking, left))
    return RankedStudy(card, _table(card, base, ranking, notes), ranking)


def _table(card: StudyCard, base: Table, ranking: Ranking | None, notes: Iterable[str]) -> Table:
    """Return the table of the cells with the columns of the ranks before them, the best mean rank first."""
    added = [_rank_cells(ranking, i) for i in range(len(card.entrants))]
    about = [_about(card, i) for i in range(len(card.entrants))]
    rows = [Row(row.heads, (*cells, *row.cells), own) for row, cells, own in zip(base.rows, added, about, strict=True)]
    rows.sort(key=lambda row: (row.cells[0].value is None, row.cells[0].value or 0.0))
    columns = tuple(Column(name, title, "", "") for name, title in HEADS.items())
    return replace(
        base,
        title=f"study {card.name}" + (f": {card.title}" if card.title else ""),
        columns=(*columns, *base.columns),
        rows=tuple(rows),
        notes=(*notes, *(note.replace("the paper's", "the study's") for note in base.notes)),
        lead=len(columns),
    )


def _about(card: StudyCard, i: int) -> dict[str, object]:
    one = card.entrants[i]
    return {
        "entrant": one.name,
        "model": one.model,
        "protocol": one.protocol or card.protocol,
        "preset": one.preset or card.preset,
        "options": spelt({**card.set, **one.set}),
    }


def _rank_cells(ranking: Ranking | None, i: int) -> list[Cell]:
    """Return the cells of one entrant in the columns of `HEADS`."""
    if ranking is None or i not in ranking.entrants:
        return [Cell(form="rank"), Cell(form="count"), Cell(form="number")]
    at = ranking.entrants.index(i)
    mean, best = ranking.mean_ranks[at], min(ranking.mean_ranks)
    rank = Cell(mean, n=len(ranking.columns), form="rank", rank="best" if mean == best else "")
    share = Cell(form="number")
    if ranking.repeats:
        own = ranking.repeats[at]
        rank = rank._replace(low=own.low, high=own.high, tied=own.alike and mean > best)
        share = share._replace(value=own.first)
    return [rank, Cell(ranking.wins[at], form="count"), share]


def _notes(card: StudyCard, ranking: Ranking | None) -> list[str]:
    if ranking is None:
        return ["no ranks yet: they need two data sets on which two entrants were run"]
    test, n = ranking.test, len(ranking.columns)
    found = [
        f"mean rank over {n} columns: 1 is the best, equal numbers share their ranks; wins: number of columns in "
        f"which it is the best (a tie counts in part)"
    ]
    if ranking.repeats:
        alike = sum(one.alike for one in ranking.repeats)
        found.append(
            "for other patients and training seeds on these data sets: interval of the mean rank; first: share of "
            f"bootstrap samples with the best mean rank; not distinguishable from the best ({TIE_MARK}, and the best "
            f"itself): {alike} of {test.entrants}"
        )
    else:
        found.append("no intervals: not all cells have stored predictions of the same test images")
    p = "all entrants have equal ranks" if test.p != test.p else f"p {_shown(test.p)}"
    found.append(
        f"for other data sets: Friedman test over {n} columns, {p}; Nemenyi's critical difference of two mean ranks at "
        f"0.05: {test.difference:.3f}"
    )
    shared = len({card.data[j].dataset for j in ranking.columns}) < n
    found += ["columns of one data set share its test images, which this test ignores, so its p is too small"] * shared
    if test.hopeless:
        found.append(
            f"with so few columns this test cannot separate entrants: mean ranks of {test.entrants} differ by at "
            f"most {test.entrants - 1}; conclusions hold only for these data sets"
        )
    return found


def _shown(p: float) -> str:
    return p_value(p) if p < 0.001 else f"= {p_value(p)}"


def _left_out(
    card: StudyCard, rows: list[list[Entry]], ranking: Ranking | None, left: dict[int, list[int]]
) -> list[str]:
    """Return notes on the entrants and data sets that are not ranked."""
    idle = [i for i, row in enumerate(rows) if all(cell.group is None for cell in row)]
    names = ", ".join(card.entrants[i].name for i in idle)
    notes = [f"not ranked, because no number is comparable: {names}"] if idle else []
    for j, lacking in left.items():
        who = [card.entrants[i].name for i in lacking if i not in idle]
        why = f"no comparable number of {', '.join(who)}" if who else "the test images of the entrants differ"
        if ranking is not None or who:
            notes.append(f"{card.data[j].head} is not ranked: {why}")
    return notes
