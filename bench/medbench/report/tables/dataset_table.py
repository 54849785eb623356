"""The table of one data set: all models and protocols that were run on it."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from medbench.errors import MedbenchError
from medbench.metrics import METRICS
from medbench.metrics.measures import higher_is_better
from medbench.records import Record
from medbench.records.groups import (
    ABSENT,
    FLAW,
    FLAW_MARK,
    SEEN,
    SEEN_MARK,
    Group,
    GroupKey,
    Summary,
    collect,
    pick,
    rank_of,
    shared_tests,
    spelt,
    summaries,
    title,
)
from medbench.records.store import gc_paused, records_of
from medbench.report.cache import counted
from medbench.report.tables.choose import Asked
from medbench.report.tables.marks import SPLIT_MARK, interval, ranked, stored
from medbench.report.tables.render import render
from medbench.report.tables.table import Cell, Column, Row, Table
from medbench.storage import files
from medbench.storage.locks import exclusive

RANDOM = "random weights (sanity checks, not results)"
NUMBER = re.compile(r" \(\d+ of \d+ seeds\)|(?<!\w)\d[\d.,]*(e-?\d+)?")
"""Numbers; two warnings that differ only in these are the same."""

TRAINED = "trainable_parameters"
COSTS = ("trained", "seconds")
ABOUT_COSTS = (
    "trained: number of trained parameters; seconds: time of feature extraction and training, for all "
    "seeds and candidates"
)


def dataset_table(
    dataset: str,
    records: Iterable[Record],
    include_random: bool = False,
    intervals: bool = False,
    metrics: Sequence[str] = (),
    *,
    costs: bool = False,
) -> Table:
    """Return the table of one data set, best primary metric first; rows that differ in shots alone stand together.

    Results from few samples of each class are ranked only among rows with the same number of samples.

    Args:
        dataset: The data set's name.
        records: Records; those of other data sets are passed over.
        include_random: Show random weights too, in a section of their own.
        intervals: Give the primary metric's 95 % intervals, from stored predictions, and those of `metrics`.
        metrics: Metrics that are asked for; those that no record holds are computed from stored predictions.
        costs: Give the number of trained parameters and the seconds of each row, if any record has the number.

    Raises:
        CardError: A metric is unknown, or not for the task.
        MedbenchError: Nothing has been run on it.
    """
    records = [record for record in records if record.unit.dataset == dataset]
    found, notes = pick(collect(record for record in records if record.test_on is None))
    if not found:
        raise MedbenchError(
            f"nothing has been run on '{dataset}' yet",
            f"medbench run --model MODEL --protocol PROTOCOL --dataset {dataset}",
        )
    parts = _parts(found, include_random)
    columns = _columns(dataset, parts[0].primary, found)
    asked = Asked.of(metrics, {column.id for column in columns}, parts[0].groups)
    columns += tuple(Column(name, _arrow(name), name, dataset) for name in asked.measures)
    costs = costs and any(TRAINED in group.first.counts for group in found)
    values = sum(stored(group) for part in parts for group in part.groups) * (2 if intervals else 1)
    rows: list[Row] = []
    with counted(f"{dataset}: {'intervals and ties' if intervals else 'ties'}", values * (1 + len(asked.measures))):
        for part in parts:
            rows += _rows(part, columns, intervals, asked, shots=_with_shots(parts), costs=costs)
    where = "its column" + " in its section" * (len(parts) > 1)
    where += " among equal shots" * any(len(_contests(part.groups)) > 1 for part in parts)
    return Table(
        name=f"dataset/{dataset}",
        title=_title(dataset, found, parts[0].primary),
        heads=_heads(parts, costs),
        columns=columns,
        rows=tuple(rows),
        notes=(
            *notes,
            *_left_out(dataset, records, found, include_random),
            *_notes(dataset, parts),
            *asked.notes([group for part in parts for group in part.groups]),
            *([ABOUT_COSTS] if costs else []),
        ),
        ranking=where + _unranked(rows),
        intervals=intervals,
    )


def _heads(parts: Sequence[_Part], costs: bool) -> tuple[str, ...]:
    shots = ["shots"] if _with_shots(parts) else []
    return ("model", "protocol", *shots, "settings", "weights", "seeds", *(COSTS if costs else ()))


def _left_out(dataset: str, records: Sequence[Record], found: Sequence[Group], include_random: bool) -> list[str]:
    """Return notes on what the table does not show: results on other data sets, and with random weights."""
    notes = []
    if any(record.corruption is not None for record in records):
        notes.append(f"results on corrupted test images: medbench table corruption/{dataset}")
    if others := sorted({r.test_on for r in records if r.test_on is not None and r.corruption is None}):
        notes.append(f"results on other data sets ({', '.join(others)}): medbench table shift/{dataset}")
    random = sum(group.first.unit.weights == "random" for group in found)
    if random and not include_random:
        notes.append(f"{random} row{'s' * (random > 1)} with random weights left out")
    return notes


@dataclass(frozen=True)
class _Part:
    """The rows of one content: what compares with each other.

    Attributes:
        groups: The rows, the best first.
        primary: The primary metric of most of them.
        heading: What the section is called; empty: all rows of the table are of this content.
    """

    groups: tuple[Group, ...]
    primary: str
    heading: str

    @cached_property
    def alike(self) -> set[GroupKey]:
        """The places of the groups with the most common test images; the others do not compare with them."""
        return _alike(self.groups)


def _parts(found: list[Group], include_random: bool) -> list[_Part]:
    """Return one part for each content of the data that goes by this name, that of most rows (then the newest) first.

    Without `include_random`, random rows are left out, and with them the parts that have no other.
    """
    contents: dict[str, list[Group]] = {}
    for group in found:
        contents.setdefault(group.content, []).append(group)
    parts, order = [], list(contents.values())
    if len(order) > 1:  # only then are the records' files looked at
        order.sort(key=lambda same: (len(same), max(map(rank_of, same))), reverse=True)
    for same in order:
        shown = [group for group in same if include_random or group.first.unit.weights != "random"]
        primary = _most_common(group.first.metric for group in same)
        heading = _heading(same[0], primary) if len(contents) > 1 else ""
        parts.append(_Part(tuple(_ordered(shown, primary)), primary, heading))
    return [part for part in parts if part.groups] or parts[:1]


def _heading(group: Group, primary: str) -> str:
    about = group.first.n.get("test")
    size = f"{about.images} test images, {len(about.classes)} classes, " if about else ""
    return f"data {group.data}: {size}by {primary}"


def _ordered(groups: list[Group], primary: str) -> list[Group]:
    """Return groups, the best first; those that differ in their shots alone stand together, the fewest shots first."""
    families: dict[tuple[str, ...], list[Group]] = {}
    for group in groups:
        families.setdefault((*group.label[:4], settings_of(group), *group.label[5:]), []).append(group)
    means = {id(group): mean for group, [(mean, *_)] in zip(groups, summaries(groups, [primary]), strict=True)}
    found = sorted(families.values(), key=lambda same: min(_rank(group, primary, means[id(group)]) for group in same))
    return [group for same in found for group in sorted(same, key=_shots)]


def _shots(group: Group) -> float:
    return float(group.shots) if isinstance(group.shots, int) else math.inf


def settings_of(group: Group) -> str:
    """Return the preset and the changed options of a group, its shots aside."""
    unit = group.first.unit
    options = {key: value for key, value in unit.options.items() if key != "shots"}
    return "; ".join(filter(None, (unit.preset, spelt(options))))


def _contests(groups: Sequence[Group]) -> list[list[int]]:
    """Return the places of the groups that are ranked among each other: those of equal shots.

    All shots are the whole training part, as most protocols have it.
    """
    found: dict[int | None, list[int]] = {}
    for i, group in enumerate(groups):
        found.setdefault(group.shots if isinstance(group.shots, int) else None, []).append(i)
    return list(found.values())


def _with_shots(parts: Sequence[_Part]) -> bool:
    return any(group.shots for part in parts for group in part.groups)


def _rows(
    part: _Part, columns: tuple[Column, ...], intervals: bool, asked: Asked, *, shots: bool, costs: bool
) -> list[Row]:
    """Return the rows of a part. Ties with the best are tested under the part's primary metric alone."""
    groups = part.groups
    numbers = summaries(groups, [column.metric for column in columns])
    lines = [_cells(group, own, part.alike) for group, own in zip(groups, numbers, strict=True)]
    for line, group in zip(lines, groups, strict=True) if asked.measures else ():
        line[len(line) - len(asked.measures) :] = asked.cells(group, line[-1].mark, intervals)
    contests = [(places, [groups[k] for k in places]) for places in _contests(groups)]
    for i, column in enumerate(columns):
        primary = column.metric == part.primary
        for line, group in (
            zip(lines, groups, strict=True) if intervals and asked.of_record(column.metric, primary) else ()
        ):
            low, high = interval(group, column.metric)
            line[i] = line[i]._replace(low=low, high=high)
        for places, among in contests:
            done = ranked([lines[k][i] for k in places], among, column.metric, test=primary)
            for k, cell in zip(places, done, strict=True):
                lines[k][i] = cell
    return [_row(group, line, part, shots=shots, costs=costs) for group, line in zip(groups, lines, strict=True)]


def write_dataset_tables(runs: Path, tables: Path, dataset: str) -> list[Path]:
    """Write `<tables>/<dataset>.md` and `.csv` with all that has been run on a data set, random weights marked.

    The same records give the same bytes. Processes that write at once take turns, each reading the records in its
    turn, so the last one's table holds the records of all.

    Raises:
        OutputError: The folder is read-only or full.
        MedbenchError: Nothing has been run on the data set.
    """
    with exclusive(tables / f".{dataset}.lock", f"{dataset}: another process is writing its tables; waiting for it"):
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
    return f"{name} ↓" if higher_is_better(name) is False else name


def _cells(group: Group, numbers: Sequence[Summary], alike: set[GroupKey]) -> list[Cell]:
    marks = (SEEN_MARK, group.contaminated), (SPLIT_MARK, group.place not in alike), (FLAW_MARK, group.flawed)
    mark = "".join(sign for sign, holds in marks if holds)
    return [Cell(mean, std, n, show_n=n != group.n, mark=mark) for mean, std, n in numbers]


def _alike(groups: Sequence[Group]) -> set[GroupKey]:
    random = {group.place for group in groups if group.first.unit.weights == "random"}
    keys = dict(zip((group.place for group in groups), shared_tests(groups), strict=True))
    counts = Counter(keys[group.place] for group in groups if group.place not in random)
    usual = max(counts, key=lambda test: (counts[test], test[2:], test), default=None)
    return random | {group.place for group in groups if keys[group.place] == usual}


def _unranked(rows: list[Row]) -> str:
    marks = "".join(row.cells[0].mark for row in rows)
    out = [sign for sign in (SEEN_MARK, SPLIT_MARK) if sign in marks]
    out += ["random weights"] if any(row.about["weights"] == "random" for row in rows) else []
    return f" (rows with {' or '.join(out)} left out)" if out else ""


def _row(group: Group, cells: list[Cell], part: _Part, *, shots: bool, costs: bool) -> Row:
    unit = group.first.unit
    few = {"shots": "" if group.shots is None else str(group.shots)} if shots else {}
    about = {
        "model": unit.model,
        "protocol": unit.protocol,
        **few,
        "preset": unit.preset,
        "options": group.options,
        "weights": group.weights,
        "toy": unit.toy,
        "seeds": " ".join(str(record.unit.seed) for record in group.records),
        "group": group.first.group[:12],
    } | ({"data": group.data, "metric": part.primary} if part.heading else {})
    spent = _costs(group) if costs else {}
    section = "; ".join(filter(None, (part.heading, RANDOM if unit.weights == "random" else "")))
    settings = settings_of(group) if shots else group.settings
    heads = (unit.model, unit.protocol, *few.values(), settings, group.weights, str(group.n), *spent.values())
    return Row(
        heads, tuple(cells), about | dict(zip(("trained_parameters", "seconds"), spent.values(), strict=False)), section
    )


def _costs(group: Group) -> dict[str, str]:
    """Return trained parameters of a seed, and the seconds of the group's jobs; empty where records do not say."""
    trained = group.first.counts.get(TRAINED)
    jobs = {tuple(record.timings.get(part, 0.0) for part in ("extract", "protocol")) for record in group.records}
    seconds = sum(map(sum, jobs))  # all seeds of a job have its times
    return dict(
        zip(COSTS, ("" if trained is None else f"{trained:.0f}", f"{seconds:.1f}" if seconds else ""), strict=True)
    )


def _rank(group: Group, primary: str, mean: float | None) -> tuple[bool, float, tuple[str, ...]]:
    """Order: results before random rows, best first, undefined last, then by name."""
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


def _notes(dataset: str, parts: list[_Part]) -> list[str]:
    """Return footnotes: other data, unequal test splits, absent classes and the records' own warnings."""
    notes = []
    groups = [group for part in parts for group in part.groups]
    if len(parts) > 1:
        notes.append(
            f"runs named {dataset} used {len(parts)} different data sets (images, labels, patients or classes "
            f"differ), so rows of different sections are not comparable; to keep data sets apart, give each a card "
            f"with its own name"
        )
    alike = {place for part in parts for place in part.alike}
    if odd := [group for group in groups if group.place not in alike]:
        who = "; ".join(f"{title(g)}: split {g.split}, {g.first.n['test'].images} images" for g in odd)
        notes.append(
            f"{SPLIT_MARK} test images differ from those of most rows, so these rows are not comparable: {who}"
        )
    notes += [SEEN] if any(group.contaminated for group in groups) else []
    notes += [FLAW] if any(group.flawed for group in groups) else []
    for line in dict.fromkeys(line for group in groups for line in group.left_out()):
        notes.append(line)
    notes += [f"{title(group)}: {group.first.metric} is {group.spread}" for group in groups if group.spread]
    return notes + _warnings(groups)


def _warnings(groups: Sequence[Group]) -> list[str]:
    """Return the groups' warnings with the groups' titles; if they differ in numbers alone, one and a count."""
    said: dict[str, dict[str, list[Group]]] = {}
    for group in groups:
        for warning in spoken(group):
            said.setdefault(NUMBER.sub("", warning), {}).setdefault(warning, []).append(group)
    notes = []
    for alike in said.values():
        members = {group.place for same in alike.values() for group in same}
        who = [group for group in groups if group.place in members]
        more = f" (and {len(alike) - 1} more with other numbers)" if len(alike) > 1 else ""
        notes.append(f"{_titles(who)}: {next(iter(alike))}{more}")
    return notes


def _titles(groups: Sequence[Group]) -> str:
    """Return the titles of groups; of those that differ in their shots alone, one with all their shots."""
    shots: dict[str, list[str]] = {}
    for group in groups:
        unit, few = group.first.unit, group.shots not in (None, 0)
        name = f"{unit.model} · {unit.protocol} ({settings_of(group)})" if few else title(group)
        shots.setdefault(name, []).extend([str(group.shots)] * few)
    return "; ".join(name + (f", shots {', '.join(few)}" if few else "") for name, few in shots.items())


def _most_common(names: Iterable[str]) -> str:
    counts = Counter(names)
    return min(counts, key=lambda name: (-counts[name], name))
