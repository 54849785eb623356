"""Papers' tables: what was run in the cells of what was published."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from medbench import stats
from medbench.cards import PaperCard
from medbench.cards.paper import PaperColumn, PaperTable
from medbench.cards.paper import PaperRow as PaperRow
from medbench.errors import unknown
from medbench.metrics import METRICS
from medbench.metrics.measures import higher_is_better, measure, on_demand, spellings
from medbench.papers.cells import CellSpec, cells_of
from medbench.papers.commands import Commands
from medbench.papers.matching import RecordIndex, other_split, repeats_of
from medbench.records import Record
from medbench.records.groups import FLAW, FLAW_MARK, SEEN, SEEN_MARK, Group, title
from medbench.report.cache import counted
from medbench.report.measured import Measured, task_of
from medbench.report.tables.choose import cell_of, notes_of, number_of
from medbench.report.tables.dataset_table import spoken
from medbench.report.tables.marks import RANDOM_MARK, SPLIT_MARK, UNRANKED, other_data, ranked
from medbench.report.tables.table import Cell, Column, Row, Table


@dataclass(frozen=True)
class _Shown:
    """What a table shows: the arguments of `paper_table`."""

    published: bool
    include_random: bool
    intervals: bool
    preset: str | None


@dataclass
class _PaperTable:
    """One table in the making."""

    card: PaperCard
    name: str
    found: RecordIndex
    shown: _Shown
    commands: Commands = field(default_factory=Commands)
    notes: list[str] = field(default_factory=list)
    said: dict[str, list[str]] = field(default_factory=dict)
    otherwise: dict[str, list[str]] = field(default_factory=dict)
    missing: list[CellSpec] = field(default_factory=list)
    empty: list[CellSpec] = field(default_factory=list)

    @property
    def content(self) -> PaperTable:
        return self.card.tables[self.name]


@dataclass
class _Line:
    """One row in the making: its cells and the records behind them."""

    row: PaperRow
    cells: list[Cell] = field(default_factory=list)
    groups: list[Group | None] = field(default_factory=list)


def paper_table(
    card: PaperCard,
    name: str,
    records: Iterable[Record],
    published: bool = False,
    include_random: bool = False,
    intervals: bool = False,
    preset: str | None = None,
    metrics: Sequence[str] = (),
) -> Table:
    """Return one table of a paper, its cells filled with what was run.

    `fitting.fits` says which records fill a cell. Another split of the data set is shown with a mark and a footnote.

    Args:
        card: The paper.
        name: Its table.
        records: Records, in any order.
        published: Show the published number and the difference beside ours, and alone where nothing was run.
        include_random: Let random weights fill cells that nothing else fills, marked.
        intervals: Give the 95 % intervals, from stored predictions.
        preset: Show what was run under another preset than the paper's.
        metrics: Metrics that are asked for; those that the table does not have are computed from stored predictions,
            with a column for each data set.

    Raises:
        CardError: The paper has no such table, or a metric is unknown.
    """
    if name not in card.tables:
        raise unknown("table", name, card.tables)
    work = _PaperTable(card, name, RecordIndex(records), _Shown(published, include_random, intervals, preset))
    content = work.content
    cells = cells_of(content, name)
    ids = _ids(content.columns)
    columns = [Column(i, c.title, c.metric, c.dataset) for i, c in zip(ids, content.columns, strict=True)]
    with counted(f"{card.name}/{name}", len(content.rows) * len(columns) * (2 if intervals else 1)):
        lines = [_line(work, row, wanted) for row, wanted in zip(content.rows, cells, strict=True)]
        if content.average:
            same = {column.metric for column in columns}
            columns.append(Column("average", content.average, same.pop() if len(same) == 1 else "", ""))
            for line in lines:
                line.cells.append(_average(work, line))
                line.groups.append(None)
            _average_gains(work, lines)
        _show_n(lines)
        extra, said = _on_demand(columns, lines, metrics, intervals)
        columns += extra
        _rank(lines, [column.metric for column in columns])
    blocks = len({row.section for row in content.rows}) > 1
    return Table(
        name=f"{card.name}/{name}",
        title=f"{card.title or card.name}, {content.source}: {content.title}",
        heads=tuple(content.heads),
        columns=tuple(columns),
        rows=tuple(_row(content, line) for line in lines),
        notes=tuple(
            _legend(work, lines)
            + list(dict.fromkeys(work.notes))
            + [f"{'; '.join(dict.fromkeys(who))}: {warning}" for warning, who in work.said.items()]
            + said
            + _otherwise(work)
            + work.commands.lacking(work.missing, work.empty)
        ),
        commands=tuple(work.commands.table(f"{card.name}/{name}", work.missing)),
        ranking="its column" + (" in its block" if blocks else "") + _unranked(lines),
        intervals=intervals,
    )


def _line(work: _PaperTable, row: PaperRow, wanted: list[CellSpec]) -> _Line:
    line = _Line(row)
    reference = work.card.reference(work.name, row)
    for column, one in zip(work.content.columns, wanted, strict=True):
        if work.shown.preset is not None:
            one = dataclasses.replace(one, preset=work.shown.preset)
        group = _choose(work, one)
        cell = _cell(work, row, column.dataset, one, group)
        if group is not None and cell.value is not None and reference is not None:
            cell = cell._replace(gain=_gain(work, one, reference, group, cell.value))
        line.cells.append(cell)
        line.groups.append(group if cell.value is not None else None)
    if row.note and work.shown.published:
        work.notes.append(f"{', '.join(row.labels)}: {row.note}")
    return line


def _choose(work: _PaperTable, one: CellSpec) -> Group | None:
    choice = work.found.choose(one, work.shown.include_random)
    if choice.group is None and choice.others:
        how = "; ".join(dict.fromkeys(f"{g.settings}, {g.weights} weights" for g in choice.others))
        work.otherwise.setdefault(f"{one.model} · {one.protocol} ({how})", []).append(one.dataset)
    work.notes += choice.notes
    return choice.group


def _otherwise(work: _PaperTable) -> list[str]:
    """Return a note on what was run in other ways than those of the cells that are empty."""
    who = [f"{how} on {', '.join(datasets)}" for how, datasets in work.otherwise.items()]
    note = "run with other settings than these cells need, so not shown in them (see medbench table dataset/NAME): "
    return [note + "; ".join(who)] if who else []


def _cell(work: _PaperTable, row: PaperRow, column: str, one: CellSpec, group: Group | None) -> Cell:
    printed = row.published.get(column, []) if work.shown.published else []
    paper = Cell(
        published=printed[0] if printed else None,
        published_std=printed[1] if len(printed) > 1 else None,
        published_gain=row.gains.get(column) if work.shown.published else None,
    )
    found = number_of(group, one.metric, work.shown.intervals) if group else Measured()
    mean, std, n = found.value, found.std, found.n
    random = group is not None and group.first.unit.weights == "random"
    other = group is not None and bool(other_split(group, one) or work.found.other_data(group))
    if not n or random or other or n < repeats_of(one):  # most cells are empty: no card is read for them
        work.missing.append(one)
    if group is None or mean is None:
        work.empty.append(one)
        if group is not None and found.lacking:
            work.notes.append(f"{one.metric}: no number for {title(group)} on {one.dataset}: {found.lacking}")
        return paper._replace(command=work.commands.cell(one))
    _footnotes(work, group, one)
    seen, flawed = (SEEN_MARK, group.contaminated), (FLAW_MARK, group.flawed)
    marks = (RANDOM_MARK, random), seen, (SPLIT_MARK, other), flawed
    mark = "".join(sign for sign, holds in marks if holds)
    return paper._replace(value=mean, std=std, n=n, low=found.low, high=found.high, mark=mark)


def _gain(work: _PaperTable, one: CellSpec, reference: PaperRow, own: Group, value: float) -> float | None:
    """Return a cell's gain in points over the row it is measured from, or None where that was not run on its data."""
    start = dataclasses.replace(one, set={k: v for k, v in reference.set.items() if k != "split"})
    group = work.found.choose(start, work.shown.include_random).group
    mean = group.summary(one.metric)[0] if group and group.content == own.content else None
    return None if mean is None else round(100 * (value - mean), 10)


def _average(work: _PaperTable, line: _Line) -> Cell:
    """Return the unweighted mean of a row's cells; its deviation is that of the seeds' own means."""
    printed = (line.row.average, line.row.average_std) if work.shown.published else (None, None)
    cell = Cell(published=printed[0], published_std=printed[1])
    values = [one.value for one in line.cells if one.value is not None]
    groups = [group for group in line.groups if group is not None]
    if len(values) < len(line.cells) or not values:
        return cell
    mark = "".join(sign for sign in (*UNRANKED, FLAW_MARK) if any(sign in c.mark for c in line.cells))
    seeds = [tuple(record.unit.seed for record in group.records) for group in groups]
    whole = cell._replace(value=sum(values) / len(values), n=min(one.n for one in line.cells), mark=mark)
    if len(set(seeds)) > 1 or any(one.n != len(seeds[0]) for one in line.cells):
        return whole
    metrics = [column.metric for column in work.content.columns]
    rows = zip(*(_values(group, metric) for group, metric in zip(groups, metrics, strict=True)), strict=True)
    return whole._replace(std=stats.summary(sum(row) / len(row) for row in rows)[1])


def _average_gains(work: _PaperTable, lines: list[_Line]) -> None:
    """Add to the mean of each row with `over` its gain over that row in points, ours and the published one."""
    means = {tuple(line.row.labels): line.cells[-1].value for line in lines}
    for line in lines:
        if line.row.over:
            own, other = line.cells[-1].value, means[tuple(line.row.over)]
            gain = None if own is None or other is None else round(100 * (own - other), 10)
            printed = line.row.average_gain if work.shown.published else None
            line.cells[-1] = line.cells[-1]._replace(gain=gain, published_gain=printed)


def _values(group: Group, metric: str) -> list[float]:
    return [value for record in group.records if (value := record.metrics.get(metric)) is not None]


def _ids(columns: Sequence[PaperColumn]) -> list[str]:
    """Return an id for each column: data set and metric, with the model if several columns have the same of both."""
    ids = [f"{column.dataset}_{column.metric}" for column in columns]
    return [
        f"{own}_{column.model}" if column.model and ids.count(own) > 1 else own
        for own, column in zip(ids, columns, strict=True)
    ]


def _on_demand(
    columns: Sequence[Column], lines: list[_Line], names: Sequence[str], intervals: bool
) -> tuple[list[Column], list[str]]:
    """Add cells of the metrics that no column has to the lines; return their columns, and what to say of them.

    A data set of which nothing was run has no column.
    """
    made: list[Column] = []
    found: list[tuple[Group, dict[str, Measured]]] = []
    first = {column.dataset: i for i, column in reversed(list(enumerate(columns))) if column.dataset}
    for name, dataset in itertools.product(map(str.lower, names), reversed(first)):
        groups = [line.groups[first[dataset]] for line in lines]
        known = next((group for group in groups if group is not None), None)
        own = "" if known is None else _spelt(name, known, [c for c in columns if c.dataset == dataset])
        if not own:
            continue
        arrow = " ↓" * (higher_is_better(own) is False)
        made.append(Column(f"{dataset}_{own}", f"{dataset} {own}{arrow}", own, dataset))
        for line, group in zip(lines, groups, strict=True):
            one = None if group is None else number_of(group, own, intervals)
            found += [(group, {own: one})] if group is not None and one is not None else []
            mark = line.cells[first[dataset]].mark
            line.cells.append(Cell() if group is None or one is None else cell_of(one, group, mark))
            line.groups.append(group)
    asked = {column.metric for column in (*columns, *made) if on_demand(column.metric)}
    return made, notes_of(found, sorted(asked))


def _spelt(name: str, group: Group, columns: Sequence[Column]) -> str:
    """Return the id of a metric for the task of a group; empty: a column has it."""
    names = {name, *spellings(name)}
    if any(column.metric in names for column in columns):
        return ""
    held = sorted(names & group.first.metrics.keys())
    return held[0] if held else measure(name, task_of(group)).id


def _show_n(lines: list[_Line]) -> None:
    """Put the number of seeds into the cells where it differs between them."""
    counts = {cell.n for line in lines for cell in line.cells if cell.n}
    for line in lines:
        line.cells = [cell._replace(show_n=len(counts) > 1) for cell in line.cells]


def _rank(lines: list[_Line], metrics: list[str]) -> None:
    """Mark the best of each column within each block of rows."""
    for section in dict.fromkeys(line.row.section for line in lines):
        block = [line for line in lines if line.row.section == section]
        for i, metric in enumerate(metrics):
            groups = [line.groups[i] for line in block]
            done = ranked([line.cells[i] for line in block], groups, metric, test=metric in METRICS)
            for line, cell in zip(block, done, strict=True):
                line.cells[i] = cell


def _row(content: PaperTable, line: _Line) -> Row:
    row = line.row
    about = dict(zip(content.heads, row.labels, strict=True))
    about |= {"section": row.section} if row.section else {}
    about |= {"model": row.model, "protocol": row.protocol}
    return Row(tuple(row.labels), tuple(line.cells), about, row.section)


def _unranked(lines: list[_Line]) -> str:
    """Return the exception to the ranking, where some cells are out of it."""
    marks = "".join(cell.mark for line in lines for cell in line.cells)
    out = [sign for sign in UNRANKED if sign in marks]
    return f" (cells with {' or '.join(out)} left out)" if out else ""


def _footnotes(work: _PaperTable, group: Group, one: CellSpec) -> None:
    unit = group.first.unit
    who = f"{unit.model} · {unit.protocol} · {unit.dataset}"
    if split := other_split(group, one):
        work.notes.append(f"{who}: split '{split}', the paper's is '{one.split}'")
    if work.found.other_data(group):
        work.notes.append(f"{who}: {other_data(group)}")
    recipe = group.first.material.get("protocol", {})
    views, epochs = recipe.get("views"), recipe.get("epochs")
    if views and epochs is not None and views < epochs:  # 0 views: the recipe does not augment
        kept = f"{views} augmented views of each training image"
        work.notes.append(f"{unit.protocol}: epochs draw from {kept}; the paper makes new ones in each epoch")
    if classes := group.first.absent.get(one.metric):
        work.notes.append(f"{unit.dataset}: {one.metric} is computed without {', '.join(classes)} (absent from test)")
    if group.spread and group.first.metric == one.metric:
        work.notes.append(f"{who}: {one.metric} is {group.spread}")
    for warning in spoken(group):
        work.said.setdefault(warning, []).append(who)


def _legend(work: _PaperTable, lines: list[_Line]) -> list[str]:
    content, shown = work.content, work.shown
    cells = [cell for line in lines for cell in line.cells[: len(content.columns)]]
    preset = f"preset {shown.preset or content.preset}"
    preset += "" if shown.preset in (None, content.preset) else f" (the paper's table is preset {content.preset})"
    own = [
        (row.preset, row.section or ", ".join(row.labels)) for row in content.rows if row.preset and not shown.preset
    ]
    preset += "".join(f", {name} for {rows}" for name, rows in dict.fromkeys(own))
    counts = {cell.n for cell in cells if cell.n}
    over = f"{counts.pop()} seeds" if len(counts) == 1 else "n seeds"
    found = [f"{preset}; mean ± sample standard deviation over {over}, test split"]
    if any(cell.gain is not None or cell.published_gain is not None for cell in cells):
        over = work.card.tables[content.gain_over].source if content.gain_over else ""
        found.append(f"pt: gain in points (hundredths) over the same row of {over[:1].lower()}{over[1:]}")
    if any(cell.published is not None for cell in cells):
        repeats = {row.seeds or content.seeds for row in content.rows}
        over = f" (over {content.seeds} seeds)" if len(repeats) == 1 else ""
        over = f" (read off a figure, ± {content.read_off:g})" if content.read_off else over
        found.append(f"in parentheses: published{over}, and ours − published")
    if few := sum(0 < c.n < repeats_of(one) for line in _wanted(work, lines) for c, one in line):
        found.append(f"{few} cell{'s' * (few > 1)} with fewer than the paper's {content.seeds} seeds")
    marks = "".join(cell.mark for cell in cells)
    found += [f"{RANDOM_MARK} random weights: a sanity check, not a result"] if RANDOM_MARK in marks else []
    found += [SEEN] if SEEN_MARK in marks else []
    found += [f"{SPLIT_MARK} the split or the data differ from the paper's"] if SPLIT_MARK in marks else []
    found += [FLAW] if FLAW_MARK in marks else []
    return found


def _wanted(work: _PaperTable, lines: list[_Line]) -> list[list[tuple[Cell, CellSpec]]]:
    return [
        list(zip(line.cells, row, strict=False)) for line, row in zip(lines, cells_of(work.content, ""), strict=True)
    ]
