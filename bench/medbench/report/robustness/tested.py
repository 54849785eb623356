"""What the tables of domain shift and of corruptions share: which records belong together, and how rows are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from medbench.metrics.measures import biased
from medbench.records import Record
from medbench.records.groups import FLAW, FLAW_MARK, SEEN, SEEN_MARK, TESTED, Group, collect, pick, spelt
from medbench.report.tables.choose import Asked
from medbench.report.tables.marks import RANDOM_MARK, SANITY
from medbench.report.tables.table import Column

T = TypeVar("T")
TOY = " (TOY DATA: no result about medicine)"


class Tested(NamedTuple):
    """Records on other test images, and those of the same jobs on their own; `base` is None where these are gone."""

    group: Group
    base: Group | None


def tested(records: Iterable[Record], *, corrupted: bool) -> tuple[list[Tested], list[str]]:
    """Return what was tested on other images, and notes on what is not shown.

    Args:
        records: Those of one data set that was trained on.
        corrupted: On its own test images, corrupted; False: on those of another data set.
    """
    groups = collect(records)
    own = {group.place: group for group in groups if group.first.test_on is None}
    away = (g for g in groups if g.first.test_on is not None and (g.first.corruption is not None) == corrupted)
    shown, notes = pick(away)
    return [Tested(group, own.get((*group.place[:3], _base_of(group)))) for group in shown], notes


def _base_of(group: Group) -> str:
    return str(group.first.provenance.get("test_on", {}).get("in_domain"))


def without_random(rows: list[T], group_of: Callable[[T], Group], notes: list[str], *, include_random: bool) -> list[T]:
    """Return the rows to show; a note counts those of random weights that are left out."""
    random = sum(_random(group_of(row)) for row in rows)
    if include_random or not random:
        return rows
    notes.append(f"{random} row{'s' * (random > 1)} with random weights left out")
    return [row for row in rows if not _random(group_of(row))]


def _random(group: Group) -> bool:
    return group.first.unit.weights == "random"


def metrics_of(names: Sequence[str], groups: Sequence[Group]) -> list[str]:
    """Return the ids of the metrics that are asked for; none: an empty text, for the primary metric of each row.

    Raises:
        CardError: A metric is unknown, or not for the task.
    """
    held = {name for group in groups for record in group.records for name in record.metrics}
    found = [Asked.of([name], held, groups) for name in names] if groups else []
    return list(dict.fromkeys(name for one in found for name in (*one.held, *one.measures))) or [""]


def primary_of(groups: Iterable[Group]) -> str:
    """Return the primary metric of most groups; empty: there are none."""
    return next((name for name, _ in Counter(group.first.metric for group in groups).most_common(1)), "")


def columns_of(
    heads: Sequence[tuple[str, str]],
    metrics: Sequence[str],
    primary: str,
    dataset: str,
    low_first: Callable[[str, str], bool | None],
) -> tuple[Column, ...]:
    """Return the columns of each metric.

    Args:
        heads: Id and title of the columns of one metric; in titles `{}` stands for the metric.
        metrics: Of `metrics_of`.
        primary: The metric that an empty text stands for; its columns have plain ids.
        dataset: The data set's name.
        low_first: Id of `heads`, metric -> whether low numbers of the column are the best, as for `Column`.
    """
    found = []
    for metric in (name or primary for name in metrics):
        before = "" if metric == primary else f"{metric}_"
        for name, title in heads:
            lead = f"{metric} " if len(metrics) > 1 and "{}" not in title else ""
            found.append(Column(before + name, lead + title.format(metric), metric, dataset, low_first(name, metric)))
    return tuple(found)


def marks_of(group: Group) -> str:
    """Return the marks behind the numbers of a group."""
    return SEEN_MARK * group.contaminated + FLAW_MARK * group.flawed + RANDOM_MARK * _random(group)


def mark_notes(groups: Sequence[Group]) -> list[str]:
    """Return what the marks mean, of those that the groups have."""
    marks = "".join(map(marks_of, groups))
    said = {SEEN_MARK: SEEN, FLAW_MARK: FLAW, RANDOM_MARK: SANITY}
    return [note for mark, note in said.items() if mark in marks]


def bias_notes(metrics: Iterable[str], what: str) -> list[str]:
    """Return why differences of some metrics have no interval; `what` they are called."""
    found = [metric for metric in metrics if biased(metric)]
    why = f"noise makes these numbers larger, more so on some sets of images, so the {what} has no interval"
    return [f"{', '.join(found)}: {why}"] if found else []


def texts_of(group: Group) -> tuple[str, ...]:
    """Return what the heads of a row say of its run: model, protocol, settings, weights, number of seeds."""
    unit = group.first.unit
    settings = "; ".join(filter(None, (unit.preset, _options(group))))
    return unit.model, unit.protocol, settings, group.weights, str(group.n)


def about_of(group: Group) -> dict[str, Any]:
    """Return what CSV and JSON say of the run of a row."""
    unit = group.first.unit
    return {
        "model": unit.model,
        "protocol": unit.protocol,
        "preset": unit.preset,
        "options": _options(group),
        "weights": group.weights,
        "toy": unit.toy,
        "seeds": " ".join(str(record.unit.seed) for record in group.records),
    }


def _options(group: Group) -> str:
    return spelt({key: value for key, value in group.first.unit.options.items() if key not in TESTED})
