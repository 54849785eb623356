"""The first screen of the report: for each data set which run is best, by how much, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from medbench.records.groups import Group, GroupKey
from medbench.report.inference import LEVEL, Behind, against_best
from medbench.report.tables.marks import UNRANKED, stored
from medbench.report.tables.table import Row, Table, decimal, p_value, signed

SMALL = 100
"""Patients (images where none are known) of a test split below which the report says that it is small."""


@dataclass(frozen=True)
class Answer:
    """What the report says of one data set.

    Attributes:
        dataset: Its name.
        test: Its test split, in words.
        best: Title of the best run, or of the only one; empty: there is none.
        place: The best run's (data set, model, protocol, beginning of the digest), to link its page.
        score: Its metric with the 95 % interval, in words.
        lead: The best run of another model (or else the second run) and how far it is behind.
        ties: How many runs are not separated from the best.
        warnings: What a reader must know first.
    """

    dataset: str
    test: str = ""
    best: str = ""
    place: GroupKey | None = None
    score: str = ""
    lead: str = ""
    ties: str = ""
    warnings: tuple[str, ...] = field(default=())


def answer(table: Table, groups: Sequence[Group]) -> Answer:
    """Return what to say of a data set.

    Only rows that compare count: those of the table's first section that are tested on the same images, without random
    weights and contamination, and of equal shots with the best.

    Args:
        table: The data set's table, with intervals.
        groups: Its groups.
    """
    dataset = table.name.partition("/")[2]
    places = {(g.first.unit.model, g.first.unit.protocol, g.first.group[:12]): g for g in groups}
    rows = [(row, group) for row in table.rows if (group := places.get(_key(row))) is not None]
    ranked = [(row, group) for row, group in rows if row.section == table.rows[0].section and _counts(row, group)]
    if not ranked:
        return Answer(
            dataset, warnings=("no run with pre-trained weights that can be compared with others", *_toy(rows))
        )
    shots = next((row for row, _ in ranked if row.cells[0].rank == "best"), ranked[0][0]).about.get("shots")
    ranked = [(row, group) for row, group in ranked if row.about.get("shots") == shots]
    metric, members = table.columns[0].metric, [group for _, group in ranked]
    behind = against_best(members, metric) if all(map(stored, members)) else {}
    top = next((i for i, (row, _) in enumerate(ranked) if row.cells[0].rank == "best" and i not in behind), 0)
    row, best = ranked[top]
    return Answer(
        dataset,
        _test(best),
        _title(row),
        (*best.place[:3], best.first.group[:12]),
        f"{metric} {_number(row)}",
        _lead(ranked, top, behind),
        _ties(ranked, top, behind),
        (*_toy(rows), *_warnings(rows, best, metric)),
    )


def _key(row: Row) -> tuple[str, str, str]:
    return str(row.about["model"]), str(row.about["protocol"]), str(row.about["group"])


def _counts(row: Row, group: Group) -> bool:
    cell = row.cells[0]
    return cell.value is not None and not set(cell.mark) & set(UNRANKED) and group.first.unit.weights != "random"


def _test(group: Group) -> str:
    test = group.first.n.get("test")
    if test is None:
        return ""
    patients = f" of {test.groups:,} patients" if test.groups and test.groups < test.images else ""
    return f"{test.images:,} test images{patients}"


def _title(row: Row) -> str:
    about = row.about
    return " · ".join(filter(None, (str(about["model"]), str(about["protocol"]), str(about.get("options") or ""))))


def _number(row: Row) -> str:
    cell = row.cells[0]
    ends = "" if cell.low is None or cell.high is None else f" [{decimal(cell.low)}, {decimal(cell.high)}]"
    return decimal(cell.value or 0.0) + ends


def _lead(ranked: Sequence[tuple[Row, Group]], top: int, behind: dict[int, Behind]) -> str:
    """Return the sentence on the runner-up: the best run of another model, if there is one."""
    model = ranked[top][0].about["model"]
    rest = [i for i in range(len(ranked)) if i != top]
    others = [i for i in rest if ranked[i][0].about["model"] != model]
    if not rest:
        return "There is no second run for comparison."
    second = (others or rest)[0]  # rows stand in the order of the metric
    what = "The best run of another model is" if others else "The second run is"
    said = f"{what} {_title(ranked[second][0])} with {_number(ranked[second][0])}"
    found = behind.get(second)
    if found is None:
        return f"{said}. The two cannot be compared image by image (no stored predictions, or different images)."
    ends = "" if math.isnan(found.low) else f" [{signed(found.low)}, {signed(found.high)}]"
    p = "not defined" if math.isnan(found.p_holm) else p_value(found.p_holm)
    return f"{said}. The difference is {signed(found.difference)}{ends}, p (Holm) {p}."


def _ties(ranked: Sequence[tuple[Row, Group]], top: int, behind: dict[int, Behind]) -> str:
    """Return how sure the first place is."""
    if not behind:
        return ""
    n, unknown = len(behind), len(ranked) - 1 - len(behind)
    more = f" {_counted(unknown, 'run')} could not be compared with the best image by image." if unknown else ""
    tied = [i for i, one in behind.items() if not one.p_holm <= LEVEL]
    if not tied:
        others = f"{n} other runs" if n > 1 else "the other run"
        return f"Clear: a paired test separates the best from {others}.{more}"
    models = {str(ranked[i][0].about["model"]) for i in tied} - {str(ranked[top][0].about["model"])}
    of = f", of {len(models)} other model{'s' * (len(models) > 1)}" if models else ", all of the same model"
    return (
        f"Unclear which run is best: a paired test cannot separate {len(tied)} of {_counted(n, 'other run')} from "
        f"it{of}.{more}"
    )


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _toy(rows: Sequence[tuple[Row, Group]]) -> tuple[str, ...]:
    toy = any(group.first.unit.toy for _, group in rows)
    return ("toy data: generated images say nothing about medicine",) if toy else ()


def _warnings(rows: Sequence[tuple[Row, Group]], best: Group, metric: str) -> list[str]:
    test = best.first.n.get("test")
    units = 0 if test is None else test.groups or test.images
    seen = sum(group.contaminated for _, group in rows)
    random = sum(group.first.unit.weights == "random" for _, group in rows)
    who = "patients" if test is not None and test.groups else "images"
    said = {
        f"small test split ({units} {who}): expect wide intervals": 0 < units < SMALL,
        "an error in the split, such as a leak between train and test: see the warnings of the run": best.flawed,
        f"left out: {_counted(seen, 'run')} of models that were pre-trained on this data set": seen > 0,
        f"left out: {_counted(random, 'run')} with random weights": random > 0,
        f"{metric} is computed without the classes that are absent from the test split": metric in best.first.absent,
    }
    return [text for text, holds in said.items() if holds]
