"""The table of a data set's classes: for each run one row per class, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from medbench.errors import MedbenchError
from medbench.metrics.measures import higher_is_better, measure
from medbench.records import Record
from medbench.records.groups import Group, collect, pick, title
from medbench.report.cache import counted
from medbench.report.measured import Measured, by_class
from medbench.report.tables.choose import cell_of, notes_of
from medbench.report.tables.marks import stored
from medbench.report.tables.table import Cell, Column, Row, Table

USUAL = ("sensitivity", "specificity", "auroc")
"""Metrics that are shown if none are asked for."""


def class_table(
    dataset: str, records: Iterable[Record], include_random: bool = False, metrics: Sequence[str] = ()
) -> Table:
    """Return one section for each run, with a row for each class: test images, prevalence, metrics with 95 % intervals.

    Each class is measured against the rest. Its threshold is chosen on validation.

    Args:
        dataset: The data set's name.
        records: Records; those of other data sets, and tests on other data sets, are ignored.
        include_random: Show random weights too.
        metrics: The metrics; none: sensitivity and specificity at the threshold `youden`, and AUROC.

    Raises:
        CardError: A metric is unknown, or is not defined for each class.
        MedbenchError: Nothing has been run on the data set.
    """
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
    known = list(dict.fromkeys(measure(name).id for name in map(str.lower, metrics or USUAL)))
    rows: list[Row] = []
    held: list[tuple[Group, dict[str, Measured]]] = []
    work = sum(2 * len(known) * len(group.first.n["test"].classes) for group in shown if stored(group))
    with counted(f"{dataset}: classes", work):
        for group in shown:
            found = by_class(group, known)
            rows += [_row(group, k, numbers) for k, numbers in enumerate(found)]
            held += [(group, line) for line in found]
    toy = " (TOY DATA: generated images, no result about medicine)" * any(group.first.unit.toy for group in shown)
    columns = [Column("prevalence", "prevalence", "prevalence", dataset)]
    columns += [Column(name, f"{name} ↓" * (higher_is_better(name) is False) or name, name, dataset) for name in known]
    return Table(
        name=f"dataset/{dataset} --per-class",
        title=f"{dataset}{toy}: each class against the rest on the test split, mean ± standard deviation over seeds",
        heads=("class", "images"),
        columns=tuple(columns),
        rows=tuple(rows),
        notes=tuple(notes + notes_of(held, known)),
        intervals=True,
    )


def _row(group: Group, k: int, numbers: dict[str, Measured]) -> Row:
    test, unit = group.first.n["test"], group.first.unit
    name, images = list(test.classes.items())[k]
    cells = [Cell(images / test.images if test.images else None, n=group.n, form="number")]
    cells += [cell_of(one, group) for one in numbers.values()]
    about = {
        "model": unit.model,
        "protocol": unit.protocol,
        "preset": unit.preset,
        "options": group.options,
        "weights": group.weights,
        "class": name,
        "images": images,
    }
    return Row((name, str(images)), tuple(cells), about, f"{title(group)}, {group.weights} weights")
