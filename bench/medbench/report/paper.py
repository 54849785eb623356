"""Papers' tables: what was run in the cells of what was published."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from medbench import cards, files
from medbench.cards import PaperCard
from medbench.cards.paper import Column as PaperColumn
from medbench.cards.paper import PaperTable
from medbench.cards.paper import Row as PaperRow
from medbench.errors import MedbenchError
from medbench.records import Record
from medbench.report.dataset import spoken
from medbench.report.groups import SEEN, SEEN_MARK, Group, collect, pick
from medbench.report.table import Cell, Column, Row, Table

RANDOM_MARK = "†"


@dataclass
class _Work:
    """One table in the making.

    Attributes:
        content: The paper's table.
        groups: (model, protocol, data set) -> groups of records.
        published: Whether published numbers are shown.
        include_random: Whether random weights may fill a cell.
        known: Kind of card -> names of this version.
        notes: Footnotes gathered on the way.
        missing: Cells to fill: (row, column).
    """

    content: PaperTable
    groups: dict[tuple[str, str, str], list[Group]]
    published: bool
    include_random: bool
    known: dict[str, set[str]]
    notes: list[str] = field(default_factory=list)
    missing: list[tuple[PaperRow, PaperColumn]] = field(default_factory=list)


def paper_table(
    card: PaperCard, name: str, records: Iterable[Record], published: bool = False, include_random: bool = False
) -> Table:
    """Return one table of a paper, its cells filled with what was run.

    A record fills a cell if model, protocol, data set, metric, preset and changed settings are the cell's, its weights
    are the official file, and its data are real. Another split of the data set is shown with a footnote.

    Args:
        card: The paper.
        name: Its table.
        records: Records, in any order.
        published: Show the published number and the difference beside ours, and alone where nothing was run.
        include_random: Let random weights fill cells that nothing else fills, marked.
    """
    content = card.tables[name]
    groups: dict[tuple[str, str, str], list[Group]] = {}
    wanted = {(row.model, row.protocol, column.dataset) for row in content.rows for column in content.columns}
    for group in collect(r for r in records if (r.unit.model, r.unit.protocol, r.unit.dataset) in wanted):
        groups.setdefault(group.label[:3], []).append(group)  # type: ignore[arg-type]
    known = {kind: set(cards.names(kind)) for kind in ("models", "protocols", "datasets")}
    work = _Work(content, groups, published, include_random, known)
    rows = tuple(_row(work, row) for row in content.rows)
    return Table(
        name=f"{card.name}/{name}",
        title=f"{card.title or card.name}, {content.source}: {content.title}",
        heads=tuple(content.heads),
        columns=tuple(Column(f"{c.dataset}_{c.metric}", c.title, c.metric, c.dataset) for c in content.columns),
        rows=rows,
        notes=tuple(_legend(work, rows) + list(dict.fromkeys(work.notes)) + _not_here(work)),
        commands=tuple(_commands(work)),
    )


def _row(work: _Work, row: PaperRow) -> Row:
    about = dict(zip(work.content.heads, row.labels, strict=True))
    about |= {"model": row.model, "protocol": row.protocol}
    return Row(tuple(row.labels), tuple(_cell(work, row, column) for column in work.content.columns), about)


def _cell(work: _Work, row: PaperRow, column: PaperColumn) -> Cell:
    printed = row.published.get(column.dataset, []) if work.published else []
    paper = (printed[0] if printed else None, printed[1] if len(printed) > 1 else None)
    group = _choose(work, row, column)
    mean, std, n = group.summary(column.metric) if group else (None, None, 0)
    random = group is not None and group.first.unit.weights == "random"
    if n < work.content.seeds or random:
        work.missing.append((row, column))
    if group is None or mean is None:
        return Cell(published=paper[0], published_std=paper[1], command=_command(work, [(row, column)]))
    _footnotes(work, group, column)
    mark = (RANDOM_MARK if random else "") + (SEEN_MARK if group.contaminated else "")
    return Cell(mean, std, n, *paper, show_n=True, mark=mark)


def _choose(work: _Work, row: PaperRow, column: PaperColumn) -> Group | None:
    """Return the group that fills a cell, noting what was run but does not."""
    found = work.groups.get((row.model, row.protocol, column.dataset), [])
    fitting = [group for group in found if _fits(work, group, row, column)]
    official = [group for group in fitting if group.first.unit.weights != "random"]
    if others := [g for g in found if g not in fitting and g.first.unit.weights != "random"]:
        how = "; ".join(dict.fromkeys(f"{g.settings}, {g.weights} weights" for g in others))
        work.notes.append(
            f"{row.model} · {row.protocol} · {column.dataset} was also run otherwise ({how}): not this table's cell, "
            f"see medbench table dataset/{column.dataset}"
        )
    # Official files given by path and by download are one and the same here: only the number of seeds decides.
    ranked = sorted(official or fitting, key=lambda g: (g.n, g.newest, g.first.group))
    if len(ranked) > 1:
        work.notes += pick(ranked)[1]
    return ranked[-1] if ranked else None


def _fits(work: _Work, group: Group, row: PaperRow, column: PaperColumn) -> bool:
    unit = group.first.unit
    options = {key: value for key, value in unit.options.items() if key != "split"}
    return (
        not unit.toy
        and unit.preset == work.content.preset
        and files.canonical(options) == files.canonical({k: v for k, v in row.set.items() if k != "split"})
        and any(record.metrics.get(column.metric) is not None for record in group.records)
        and (work.include_random if unit.weights == "random" else unit.weights == "official" or _matching(group, row))
    )


def _matching(group: Group, row: PaperRow) -> bool:
    """Tell whether weights given as a file are the card's official ones, by their digest."""
    try:
        weights = cards.find_model(row.model).weights
    except MedbenchError:
        return False
    digest = str(group.first.material.get("weights", ""))
    return bool(weights and weights.sha256 and digest.startswith(weights.sha256))


def _footnotes(work: _Work, group: Group, column: PaperColumn) -> None:
    unit, record = group.first.unit, group.first
    who = f"{unit.model} · {unit.protocol} · {unit.dataset}"
    split, paper = record.provenance.get("data", {}).get("split"), work.content.splits.get(unit.dataset)
    if split and paper and split != paper:
        work.notes.append(f"{who}: split '{split}', the paper's is '{paper}'")
    work.notes += [f"{who}: {line}" for line in group.left_out() if column.metric in line]
    work.notes += [f"{who}: {line}" for line in spoken(group)]


def _legend(work: _Work, rows: tuple[Row, ...]) -> list[str]:
    cells = [cell for row in rows for cell in row.cells]
    lines = [f"preset {work.content.preset}; mean ± sample standard deviation over n seeds, test split"]
    if work.published:
        lines.append(f"in parentheses: published (over {work.content.seeds} seeds), and ours − published")
    if few := sum(0 < cell.n < work.content.seeds for cell in cells):
        lines.append(f"{few} cell{'s' * (few > 1)} with fewer than the paper's {work.content.seeds} seeds: see n")
    if any(RANDOM_MARK in cell.mark for cell in cells):
        lines.append(f"{RANDOM_MARK} random weights: a sanity figure, not a result")
    if any(SEEN_MARK in cell.mark for cell in cells):
        lines.append(SEEN)
    return lines


def _lacking(work: _Work, row: PaperRow, column: PaperColumn) -> list[tuple[str, str]]:
    """Return (kind, name) of what a cell needs and this version has no card of."""
    needed = (("models", row.model), ("protocols", row.protocol), ("datasets", column.dataset))
    return [(kind, name) for kind, name in needed if name not in work.known[kind]]


def _not_here(work: _Work) -> list[str]:
    """Return a note naming the cards that cells to fill need and this version does not have."""
    lacking = dict.fromkeys(pair for cell in work.missing for pair in _lacking(work, *cell))
    parts = [
        f"{kind} {', '.join(name for k, name in lacking if k == kind)}"
        for kind in ("models", "protocols", "datasets")
        if any(k == kind for k, _ in lacking)
    ]
    return [f"not in this version of medbench, so these cells cannot be run yet: {'; '.join(parts)}"] if parts else []


def _commands(work: _Work) -> list[str]:
    """Return one command per protocol and settings that fills all its missing cells (finished ones are skipped)."""
    batches: dict[tuple[str, str], list[tuple[PaperRow, PaperColumn]]] = {}
    for row, column in work.missing:
        if not _lacking(work, row, column):
            batches.setdefault((row.protocol, files.canonical(row.set)), []).append((row, column))
    return [command for cells in batches.values() if (command := _command(work, cells))]


def _command(work: _Work, cells: list[tuple[PaperRow, PaperColumn]]) -> str | None:
    """Return the command that fills `cells` of one protocol and settings; None if this version cannot."""
    if any(_lacking(work, *cell) for cell in cells):
        return None
    first = cells[0][0]
    models = ",".join(dict.fromkeys(row.model for row, _ in cells))
    datasets = ",".join(dict.fromkeys(column.dataset for _, column in cells))
    words = [f"medbench run --model {models} --protocol {first.protocol} --dataset {datasets}"]
    words += [f"--preset {work.content.preset}"] if work.content.preset != "paper" else []
    words += [f"--seeds {work.content.seeds}"] if work.content.seeds != 5 else []
    return " ".join(words + [f"--set {key}={_yaml(value)}" for key, value in first.set.items()])


def _yaml(value: Any) -> str:
    return value if isinstance(value, str) else files.canonical(value)
