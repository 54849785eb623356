"""The table of one data set: all models and protocols that were run on it."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from medbench.errors import MedbenchError
from medbench.metrics import METRICS
from medbench.records import Record
from medbench.records.groups import ABSENT, FLAW, FLAW_MARK, SEEN, SEEN_MARK, Group, collect, pick, title
from medbench.records.store import gc_paused, records_of
from medbench.report.cache import counted
from medbench.report.tables.marks import SPLIT_MARK, interval, ranked, stored
from medbench.report.tables.render import render
from medbench.report.tables.table import Cell, Column, Row, Table
from medbench.storage import files
from medbench.storage.locks import exclusive

RANDOM = "random weights (sanity rows, not results)"


def dataset_table(
    dataset: str, records: Iterable[Record], include_random: bool = False, intervals: bool = False
) -> Table:
    """Return the table of one data set, best primary metric first.

    Args:
        dataset: The data set's name.
        records: Records; those of other data sets are passed over.
        include_random: Show random weights too, in a section of their own.
        intervals: Give the primary metric's 95 % intervals, from stored predictions.

    Raises:
        MedbenchError: Nothing has been run on it.
    """
    found, notes = pick(collect(record for record in records if record.unit.dataset == dataset))
    if not found:
        raise MedbenchError(
            f"nothing has been run on '{dataset}' yet",
            f"medbench run --model MODEL --protocol PROTOCOL --dataset {dataset}",
        )
    primary = _most_common(group.first.metric for group in found)
    columns = _columns(dataset, primary, found)
    random = [group for group in found if group.first.unit.weights == "random"]
    shown = [group for group in found if include_random or group.first.unit.weights != "random"]
    shown.sort(key=lambda g: _rank(g, primary))
    alike = _alike(shown)
    cells = [_cells(group, columns, alike) for group in shown]
    values = sum(map(stored, shown)) * (2 if intervals else 1)
    with counted(f"{dataset}: {'intervals and ties' if intervals else 'ties'}", values):
        if intervals:
            _add_intervals(cells, shown, columns)
        _mark(cells, shown, columns)
    rows = [_row(group, line) for group, line in zip(shown, cells, strict=True)]
    if random and not include_random:
        notes.append(f"{len(random)} row{'s' * (len(random) > 1)} with random weights left out")
    return Table(
        name=f"dataset/{dataset}",
        title=_title(dataset, found, primary),
        heads=("model", "protocol", "settings", "weights", "seeds"),
        columns=columns,
        rows=tuple(rows),
        notes=tuple(notes + _notes(shown)),
        ranking="its column" + _unranked(cells, shown),
        intervals=intervals,
    )


def write_dataset_tables(runs: Path, tables: Path, dataset: str) -> list[Path]:
    """Write `<tables>/<dataset>.md` and `.csv` with all that has been run on a data set, random weights marked.

    The same records give the same bytes. Processes that write at once take turns, each reading the records in its
    turn, so the last one's table holds the records of all.

    Raises:
        OutputError: The folder is read-only or full.
        MedbenchError: Nothing has been run on the data set.
    """
    with exclusive(tables / f".{dataset}.lock", f"{dataset}: another process writes its tables; waiting for it"):
        with gc_paused():
            table = dataset_table(dataset, records_of(runs, dataset), include_random=True, intervals=True)
        shown = {"md": dataclasses.replace(table, intervals=False), "csv": table}
        written = [tables / f"{dataset}.{suffix}" for suffix in shown]
        for path in written:
            files.write_text(path, render(shown[path.suffix[1:]], path.suffix[1:]))
    return written


def _columns(dataset: str, primary: str, groups: list[Group]) -> tuple[Column, ...]:
    """Return one column per metric of the records: the primary one, then in the order of the registry."""
    seen = {name for group in groups for record in group.records for name in record.metrics}
    order = [primary, *(name for name in METRICS if name in seen), *sorted(seen - METRICS.keys())]
    return tuple(Column(name, _arrow(name), name, dataset) for name in dict.fromkeys(order))


def _arrow(name: str) -> str:
    metric = METRICS.get(name)
    return name if metric is None or metric.higher_is_better else f"{name} ↓"


def _cells(group: Group, columns: tuple[Column, ...], alike: set[str]) -> list[Cell]:
    marks = (SEEN_MARK, group.contaminated), (SPLIT_MARK, group.first.group not in alike), (FLAW_MARK, group.flawed)
    mark = "".join(sign for sign, holds in marks if holds)
    return [
        Cell(mean, std, n, show_n=n != group.n, mark=mark)
        for mean, std, n in group.summaries([column.metric for column in columns])
    ]


def _alike(groups: list[Group]) -> set[str]:
    """Return the groups (by digest) whose test images are those of most: the others do not compare with them."""
    random = {group.first.group for group in groups if group.first.unit.weights == "random"}
    counts = Counter(_test_of(group) for group in groups if group.first.group not in random)
    usual = max(counts, key=lambda test: (counts[test], test), default=None)
    return random | {group.first.group for group in groups if _test_of(group) == usual}


def _test_of(group: Group) -> tuple[int, str, str]:
    """Return what the test images are told by: their number, the split's name and its digest."""
    record = group.first
    images = record.n["test"].images if "test" in record.n else 0
    return images, str(group.split), str(record.material.get("split", ""))


def _add_intervals(cells: list[list[Cell]], groups: list[Group], columns: tuple[Column, ...]) -> None:
    for line, group in zip(cells, groups, strict=True):
        low, high = interval(group, columns[0].metric)
        line[0] = dataclasses.replace(line[0], low=low, high=high)


def _mark(cells: list[list[Cell]], groups: list[Group], columns: tuple[Column, ...]) -> None:
    """Mark the best of each column; ties with it are tested under the primary metric alone, which comes first."""
    for i, column in enumerate(columns):
        done = ranked([line[i] for line in cells], groups, column.metric, test=i == 0)
        for line, cell in zip(cells, done, strict=True):
            line[i] = cell


def _unranked(cells: list[list[Cell]], groups: list[Group]) -> str:
    marks = "".join(line[0].mark for line in cells if line)
    out = [sign for sign in (SEEN_MARK, SPLIT_MARK) if sign in marks]
    out += ["random weights"] if any(group.first.unit.weights == "random" for group in groups) else []
    return f" (rows with {' or '.join(out)} left out)" if out else ""


def _row(group: Group, cells: list[Cell]) -> Row:
    unit = group.first.unit
    about = {
        "model": unit.model,
        "protocol": unit.protocol,
        "preset": unit.preset,
        "options": group.options,
        "weights": group.weights,
        "toy": unit.toy,
        "seeds": " ".join(str(record.unit.seed) for record in group.records),
        "group": group.first.group[:12],
    }
    section = RANDOM if unit.weights == "random" else ""
    return Row((unit.model, unit.protocol, group.settings, group.weights, str(group.n)), tuple(cells), about, section)


def _rank(group: Group, primary: str) -> tuple[bool, float, tuple[str, ...]]:
    """Order: results before random rows, best first, undefined last, then by name."""
    mean = group.summary(primary)[0]
    sign = -1 if primary not in METRICS or METRICS[primary].higher_is_better else 1
    return group.first.unit.weights == "random", math.inf if mean is None else sign * mean, group.label


def spoken(group: Group) -> list[str]:
    """Return the warnings that the table does not already show by a section, its title or another note."""
    shown = ("random weights:", "toy data:", f"{ABSENT}test ")
    return [warning for warning in group.warnings() if not warning.startswith(shown)]


def _title(dataset: str, groups: list[Group], primary: str) -> str:
    toy = any(group.first.unit.toy for group in groups)
    mark = " (TOY DATA: generated images, no result about medicine)" if toy else ""
    return f"{dataset}{mark}: test split, mean ± sample standard deviation over seeds, by {primary}"


def _notes(groups: list[Group]) -> list[str]:
    """Return footnotes: unequal test splits, absent classes, undefined metrics and the records' own warnings."""
    notes = []
    alike = _alike(groups)
    if odd := [group for group in groups if group.first.group not in alike]:
        who = "; ".join(f"{title(g)}: split {g.split}, {g.first.n['test'].images} images" for g in odd)
        notes.append(f"{SPLIT_MARK} test images differ from those of most rows, so these do not compare: {who}")
    notes += [SEEN] if any(group.contaminated for group in groups) else []
    notes += [FLAW] if any(group.flawed for group in groups) else []
    for line in dict.fromkeys(line for group in groups for line in group.left_out()):
        notes.append(line)
    said: dict[str, list[str]] = {}
    for group in groups:
        for warning in spoken(group):
            said.setdefault(warning, []).append(title(group))
    notes += [f"{'; '.join(who)}: {warning}" for warning, who in said.items()]
    return notes


def _most_common(names: Iterable[str]) -> str:
    counts = Counter(names)
    return min(counts, key=lambda name: (-counts[name], name))
