"""The table of one data set: all models and protocols that were run on it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from medbench import files
from medbench.errors import MedbenchError
from medbench.locks import alone
from medbench.metrics import METRICS
from medbench.records import Record, store
from medbench.report.groups import SEEN, SEEN_MARK, Group, collect, pick, title
from medbench.report.render import render
from medbench.report.table import Cell, Column, Row, Table

RANDOM = "random weights (sanity rows, not results)"


def dataset_table(dataset: str, records: Iterable[Record], include_random: bool = False) -> Table:
    """Return the table of one data set, best primary metric first.

    Args:
        dataset: The data set's name.
        records: Records; those of other data sets are passed over.
        include_random: Show random weights too, in a section of their own.

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
    rows = [_row(group, columns) for group in sorted(shown, key=lambda g: _rank(g, primary))]
    if random and not include_random:
        notes.append(f"{len(random)} row{'s' * (len(random) > 1)} with random weights left out")
    return Table(
        name=f"dataset/{dataset}",
        title=_title(dataset, found, primary),
        heads=("model", "protocol", "settings", "weights", "seeds"),
        columns=columns,
        rows=tuple(rows),
        notes=tuple(notes + _notes(shown)),
    )


def write_dataset_tables(runs: Path, tables: Path, dataset: str) -> list[Path]:
    """Write `<tables>/<dataset>.md` and `.csv` with all that has been run on a data set, random weights marked.

    The same records give the same bytes. Processes that write at once take turns, each reading the records in its
    turn, so the last one's table holds the records of all.

    Raises:
        OutputError: The folder is read-only or full.
        MedbenchError: Nothing has been run on the data set.
    """
    with alone(tables / f".{dataset}.lock", f"{dataset}: another process writes its tables; waiting for it"):
        table = dataset_table(dataset, store.read_all(runs, dataset), include_random=True)
        written = [tables / f"{dataset}.{suffix}" for suffix in ("md", "csv")]
        for path in written:
            files.write_text(path, render(table, path.suffix[1:]))
    return written


def _columns(dataset: str, primary: str, groups: list[Group]) -> tuple[Column, ...]:
    """Return one column per metric of the records: the primary one, then in the order of the registry."""
    seen = {name for group in groups for record in group.records for name in record.metrics}
    order = [primary, *(name for name in METRICS if name in seen), *sorted(seen - METRICS.keys())]
    return tuple(Column(name, _arrow(name), name, dataset) for name in dict.fromkeys(order))


def _arrow(name: str) -> str:
    metric = METRICS.get(name)
    return name if metric is None or metric.higher_is_better else f"{name} ↓"


def _row(group: Group, columns: tuple[Column, ...]) -> Row:
    unit = group.first.unit
    cells = []
    for column in columns:
        mean, std, n = group.summary(column.metric)
        cells.append(Cell(mean, std, n, show_n=n != group.n, mark=SEEN_MARK if group.contaminated else ""))
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
    """Return the warnings that the table does not already show by a section or its title."""
    shown = ("random weights:", "toy data:")
    return [warning for warning in group.warnings() if not warning.startswith(shown)]


def _title(dataset: str, groups: list[Group], primary: str) -> str:
    toy = any(group.first.unit.toy for group in groups)
    mark = " (TOY DATA: generated images, no result about medicine)" if toy else ""
    return f"{dataset}{mark}: test split, mean ± sample standard deviation over seeds, by {primary}"


def _notes(groups: list[Group]) -> list[str]:
    """Return footnotes: unequal test splits, absent classes, undefined metrics and the records' own warnings."""
    notes = []
    sizes = Counter(group.first.n["test"].images for group in groups if "test" in group.first.n)
    if len(sizes) > 1:
        usual = sizes.most_common(1)[0][0]
        odd = [f"{title(g)}: {g.first.n['test'].images}" for g in groups if g.first.n["test"].images != usual]
        notes.append(f"test images differ ({usual} elsewhere), so these rows do not compare: {'; '.join(odd)}")
    notes += [SEEN] if any(group.contaminated for group in groups) else []
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
