"""The table of subgroups: for each run one row per group, and for each grouping a row with the gap and its p."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medbench import stats
from medbench.errors import DataError, MedbenchError
from medbench.metrics.measures import higher_is_better
from medbench.records import Record
from medbench.records.groups import Group, collect, pick, title
from medbench.report.cache import counted
from medbench.report.measured import NOT_STORED, Loaded, Measured, lacking, load_predictions, task_of
from medbench.report.subgroups.by import UNKNOWN, By, Members
from medbench.report.subgroups.members import Membership
from medbench.report.subgroups.numbers import Compared, compared
from medbench.report.subgroups.part import Part
from medbench.report.subgroups.subgroup_notes import BEST_MARK, WORST_MARK, notes_of
from medbench.report.tables.choose import Asked, cell_of
from medbench.report.tables.table import Cell, Column, Row, Table

GAP = "gap"
MOST_SHARES = 8
"""Classes whose shares fit into a column."""


def subgroup_table(
    dataset: str, records: Iterable[Record], by: By, include_random: bool = False, metrics: Sequence[str] = ()
) -> Table:
    """Return one section for each run, with a row for each group and one for the gap of each grouping.

    Args:
        dataset: The data set's name.
        records: Records; those of other data sets, and tests on other data sets, are ignored.
        by: What makes the groups.
        include_random: Show random weights too.
        metrics: The metrics; none: the primary one of the records.

    Raises:
        CardError: A metric is unknown or not for the task, or `by` does not say what makes the groups.
        DataError: A column is not there or makes no groups, or the labels are not those of the runs.
        MedbenchError: Nothing has been run on the data set.
    """
    shown, notes = _shown(dataset, records, include_random)
    asked = Asked.of(metrics, {name for group in shown for record in group.records for name in record.metrics}, shown)
    names = list(dict.fromkeys([*asked.held, *asked.measures])) or [shown[0].first.metric]
    parts: list[Part] = []
    with counted(f"{dataset}: subgroups", len(shown) * len(by.groupings) * len(names)):
        for group, found in _loaded(shown, by, notes):
            parts += [_part(group, *each, by, names) for each in found]
    _check(parts, by)
    holm = _adjusted(parts)
    patients = any(part.loaded.groups is not None for part in parts)
    rows = [row for part in parts for row in _rows(part, names, holm, patients=patients)]
    toy = " (TOY DATA: generated images, no result about medicine)" * any(group.first.unit.toy for group in shown)
    return Table(
        name=f"dataset/{dataset} --by",
        title=f"{dataset}{toy}: groups of the test split, mean ± standard deviation over seeds",
        heads=("by", "group", "images", *["patients"] * patients, _shares_head(parts[0])),
        columns=tuple(column for name in names for column in _columns(name, dataset)),
        rows=tuple(rows),
        notes=(*notes, *notes_of(parts, names, by)),
        intervals=True,
        lead=3,
    )


def _shown(dataset: str, records: Iterable[Record], include_random: bool) -> tuple[list[Group], list[str]]:
    groups, notes = pick(collect(r for r in records if r.unit.dataset == dataset and r.test_on is None))
    groups = [group for group in groups if "test" in group.first.n]
    shown = [group for group in groups if include_random or group.first.unit.weights != "random"]
    if not shown:
        raise MedbenchError(
            f"nothing has been run on '{dataset}' yet" + " but with random weights" * bool(groups),
            "to show these: --random"
            if groups
            else f"medbench run --model MODEL --protocol PROTOCOL --dataset {dataset}",
        )
    return shown, notes


def _loaded(groups: Sequence[Group], by: By, notes: list[str]) -> Iterator[tuple[Group, list[tuple[Loaded, Members]]]]:
    """Yield each run with its predictions and who is in which group; why a run has none goes into the notes.

    Raises:
        DataError: No run has groups.
    """
    membership, errors = Membership(by), []
    for group in groups:
        why = lacking(group)
        found = None if why else load_predictions(group)
        if found is None:
            errors.append(DataError(f"{title(group)}: {why or NOT_STORED}", "run again with --overwrite always"))
            notes.append(f"{title(group)} is left out: {why or NOT_STORED}")
            continue
        try:
            yield group, [(found, members) for members in membership.of(group)]
        except DataError as error:
            errors.append(error)
            notes.append(f"{title(group)} is left out: {error.message}")
    if len(errors) == len(groups):
        raise errors[0]


def _part(group: Group, loaded: Loaded, members: Members, by: By, names: Sequence[str]) -> Part:
    part = Part(group, loaded, members, (), {})
    large = tuple(g for g in range(len(members.names)) if part.units(part.rows_of(g)) >= by.fewest)
    found = {name: compared(group, loaded, members, large, name) for name in names if not part.lacking(name)}
    return replace(part, measured=large, metrics=found)


def _check(parts: Sequence[Part], by: By) -> None:
    """Refuse a grouping in which no run has two groups that are large enough."""
    for grouping in by.groupings:
        own = [part for part in parts if part.members.by == grouping.name]
        if own and all(len(part.measured) < 2 for part in own):
            part = own[0]
            sizes = [f"{name}: {part.units(part.rows_of(g))}" for g, name in enumerate(part.members.names)]
            what = "images" if part.loaded.groups is None else "patients"
            raise DataError(
                f"--by {grouping.name}: fewer than two groups have {by.fewest} {what} in the test split: "
                + ", ".join(sizes),
                "join groups by wider bins, or lower --min-group",
            )


def _adjusted(parts: Sequence[Part]) -> dict[tuple[int, str], float]:
    """Return the p of each part and metric after Holm, over all that the table shows."""
    places = [(id(part), name) for part in parts for name in part.metrics]
    p = stats.holm(one.p for part in parts for one in part.metrics.values())
    return dict(zip(places, p.tolist(), strict=True))


def _columns(metric: str, dataset: str) -> list[Column]:
    name = f"{metric} ↓" * (higher_is_better(metric) is False) or metric
    heads = {metric: name, f"{metric}_p": "p", f"{metric}_p_holm": "p (Holm)"}
    return [Column(column, head, metric, dataset) for column, head in heads.items()]


def _shares_head(part: Part) -> str:
    return {"binary": "positive", "multilabel": "any finding"}.get(str(task_of(part.group)), "classes")


def _rows(part: Part, names: Sequence[str], holm: dict[tuple[int, str], float], *, patients: bool) -> Iterator[Row]:
    """Yield the rows of the groups, of the images in none, and of the gap."""
    for place, name in [*enumerate(part.members.names), (-1, UNKNOWN)]:
        if place >= 0 or len(part.rows_of(place)):
            yield _row(part, place, name, names, patients=patients)
    if len(part.measured) > 1:
        cells: list[Cell] = []
        about: dict[str, str] = {}
        for name in names:
            one = part.metrics.get(name, Compared(()))
            cells += _gap_cells(one, holm.get((id(part), name), math.nan))
            about |= _ends_of(part, name, one)
        yield _made(part, GAP, [""] * (3 if patients else 2), cells, about)


def _row(part: Part, place: int, name: str, names: Sequence[str], *, patients: bool) -> Row:
    rows = part.rows_of(place)
    cells: list[Cell] = []
    for metric in names:
        one = part.metrics.get(metric)
        number = Measured() if one is None or place < 0 else one.numbers[place]
        mark = "" if one is None or one.gap is None else _mark(metric, one, place)
        cells += [cell_of(number, part.group, mark), Cell(form="p"), Cell(form="p")]
    shares, prevalence = _shares(part.loaded.targets[rows], part)
    known = part.loaded.groups is not None
    counts = [str(len(rows)), *[str(part.units(rows)) * known] * patients, shares]
    about = {"images": len(rows), **({"patients": part.units(rows)} if known else {}), **prevalence}
    return _made(part, name, counts, cells, about)


def _mark(metric: str, one: Compared, place: int) -> str:
    best, worst = one.best_worst(metric)
    return BEST_MARK * (place == best) + WORST_MARK * (place == worst)


def _ends_of(part: Part, metric: str, one: Compared) -> dict[str, str]:
    if one.gap is None:
        return {}
    best, worst = (part.members.names[place] for place in one.best_worst(metric))
    return {f"{metric}_best": best, f"{metric}_worst": worst}


def _gap_cells(one: Compared, holm: float) -> list[Cell]:
    found = one.gap
    size = Cell(form="difference")
    if found is not None:
        size = Cell(found.value, low=_known(found.low), high=_known(found.high), form="difference")
    return [size, Cell(_known(one.p), form="p"), Cell(_known(holm), form="p")]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _shares(targets: NDArray[np.generic], part: Part) -> tuple[str, dict[str, object]]:
    """Return how common the classes are, as text and for CSV: of two classes and of findings, one share."""
    n, c = len(targets), part.loaded.seeds[0][0].log_odds.shape[1]
    if targets.ndim == 2 or c == 2:
        positive = (targets != 0).any(axis=1) if targets.ndim == 2 else targets == 1
        share = float(positive.mean()) if n else math.nan
        return (f"{100 * share:.0f} %" if n else ""), {"prevalence": share}
    counts = np.bincount(targets.astype(np.int64), minlength=c)
    text = "/".join(f"{100 * count / n:.0f}" for count in counts) + " %" if n and c <= MOST_SHARES else ""
    return text, {"classes": " ".join(map(str, counts))}


def _made(part: Part, name: str, counts: list[str], cells: Sequence[Cell], more: Mapping[str, object]) -> Row:
    group, unit = part.group, part.group.first.unit
    about = {
        "model": unit.model,
        "protocol": unit.protocol,
        "preset": unit.preset,
        "options": group.options,
        "weights": group.weights,
        "by": part.members.by,
        "group": name,
        **more,
    }
    return Row((part.members.by, name, *counts), tuple(cells), about, f"{title(group)}, {group.weights} weights")
