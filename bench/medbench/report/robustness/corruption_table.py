"""The table of corruptions: how much of a metric is left when the same test images are corrupted."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from medbench.errors import MedbenchError
from medbench.metrics.measures import biased, higher_is_better
from medbench.records import Record
from medbench.records.groups import Group, GroupKey, title
from medbench.report import cache
from medbench.report.inference import DRAWS
from medbench.report.measured import Measured
from medbench.report.robustness import tested as shared
from medbench.report.robustness.tested import tested
from medbench.report.tables.choose import notes_of, number_of
from medbench.report.tables.table import Cell, Row, Table
from medbench.report.weighted_metric import WeightedMetric, weighted_metric
from medbench.stats.bootstrap import Draws, combine
from medbench.stats.jackknife import Term, mean_of
from medbench.stats.paired import difference

ALL = "all"
"""The scope of a row over all corruptions; the other scopes are the corruptions' names."""
HEADS = (("clean", "{} clean"), ("loss", "loss"), ("share", "loss / clean"), ("more", "loss over the least"))
"""Columns of each metric, before those of the severities."""
NUMBERS = ("loss", "low", "high", "share_low", "share_high")

Set = tuple[str, int]
"""Name and severity of a corruption."""


@dataclass(frozen=True)
class Damage:
    """The records of one model, protocol and settings: on the test images as they are, and corrupted.

    Attributes:
        clean: On the images as they are.
        sets: Corruption and severity -> the records of the same seeds.
        metric: The metric.
        numbers: The metric on each of the sets; None: on the clean images.
    """

    clean: Group
    sets: Mapping[Set, Group]
    metric: str
    numbers: Mapping[Set | None, Measured]

    def within(self, scope: str) -> Damage:
        """Return the corruptions of one name; `all` is all of them."""
        return replace(self, sets={key: group for key, group in self.sets.items() if scope in (ALL, key[0])})

    def under(self, metric: str) -> Damage:
        """Return the same under another metric."""
        numbers = {key: number_of(group, metric, held=self.clean if key else None) for key, group in self.tests.items()}
        return Damage(self.clean, self.sets, metric, numbers)

    def value(self, severity: int | None = None) -> float | None:
        """Return the mean metric over the corruptions, or over those of one severity; None: there is none."""
        found = [self.numbers[key].value for key in self.sets if severity in (None, key[1])]
        return None if not found or None in found else float(np.mean([one for one in found if one is not None]))

    @property
    def tests(self) -> dict[Set | None, Group]:
        """The clean records (None), then the others."""
        pairs: list[tuple[Set | None, Group]] = [(None, self.clean), *self.sets.items()]
        return dict(pairs)

    @property
    def groups(self) -> list[Group]:
        """The same without their names."""
        return [*self.tests.values()]

    @property
    def loss(self) -> float | None:
        """By how much the metric gets worse, on average over the corruptions; None: unknown, or no value is best."""
        clean, left = self.numbers[None].value, self.value()
        if clean is None or left is None or higher_is_better(self.metric) is None:
            return None
        return _sign(self.metric) * (clean - left)

    @functools.cached_property
    def evaluated(self) -> Evaluated | None:
        """The metric on all draws; None where predictions are not stored, or are of other images."""
        terms: list[Term] = []
        first: WeightedMetric | None = None
        for group in self.groups:
            found = weighted_metric(group, self.metric, self.clean)
            if found is None or (first is not None and not found.compares(first)):
                return None
            first = first or found
            terms.append(found.term())
        return None if first is None else Evaluated(first, terms)

    def lost(self, scope: str, found: Evaluated) -> Term:
        """Return the loss within a scope, for each seed."""
        clean, *others = found.terms
        left = mean_of([term for key, term in zip(self.sets, others, strict=True) if scope in (ALL, key[0])])
        return clean.minus(left) if _sign(self.metric) > 0 else left.minus(clean)


class Evaluated(NamedTuple):
    """The metric on a row's clean images, and on all its sets on the same draws.

    Attributes:
        clean: The metric of the clean predictions.
        terms: The metric of `Damage.groups`.
    """

    clean: WeightedMetric
    terms: list[Term]


def _sign(metric: str) -> int:
    return -1 if higher_is_better(metric) is False else 1


def damages(records: Iterable[Record], include_random: bool = False) -> tuple[list[Damage], list[str]]:
    """Return what was tested on corrupted images, under its primary metric, and notes on what is not shown.

    Args:
        records: Those of one data set.
        include_random: Include random weights.
    """
    pairs, notes = tested(records, corrupted=True)
    gone = sum(base is None for _, base in pairs)
    notes += [f"{gone} corrupted test sets left out: the records on the clean images are missing"] * (gone > 0)
    found: dict[GroupKey, tuple[Group, dict[Set, Group]]] = {}
    for group, base in pairs:
        if base is not None:
            name, severity = str(group.first.corruption).split(":")
            found.setdefault(base.place, (base, {}))[1][name, int(severity)] = group
    rows = [_of_common_seeds(*row) for row in found.values()]
    notes += [
        f"{title(found[place][0])} left out: no seed was tested on all of its corrupted test sets"
        for place, row in zip(found, rows, strict=True)
        if not row.clean.records
    ]
    rows = [row for row in rows if row.clean.records]
    rows = shared.without_random(rows, lambda row: row.clean, notes, include_random=include_random)
    return [row.under(row.metric) for row in rows], notes


def _of_common_seeds(clean: Group, sets: Mapping[Set, Group]) -> Damage:
    seeds = [{record.unit.seed for record in group.records} for group in (clean, *sets.values())]
    common = set.intersection(*seeds)
    one, *others = (
        Group(tuple(r for r in group.records if r.unit.seed in common)) for group in (clean, *sets.values())
    )
    return Damage(one, dict(sorted(zip(sets, others, strict=True))), clean.first.metric, {})


def corruption_table(
    dataset: str, records: Iterable[Record], include_random: bool = False, metrics: Sequence[str] = ()
) -> Table:
    """Return the table of a data set's corrupted test images: over all corruptions, then a section for each.

    The loss is the clean metric minus the mean over corruptions and severities. Its interval is that of the bootstrap
    over the patients (images where none are known), the same for both sides, and over training seeds.

    Args:
        dataset: The data set.
        records: Its records.
        include_random: Show random weights, too.
        metrics: The metrics, each with all columns; none: the primary one. Rows are in the order of the first.

    Raises:
        CardError: A metric is unknown, or not for the task.
        MedbenchError: Nothing was tested on corrupted images.
    """
    own = [record for record in records if record.unit.dataset == dataset]
    rows, notes = damages(own, include_random)
    groups = [row.clean for row in rows] or [pair.group for pair in tested(own, corrupted=True)[0]]
    if not groups:
        raise MedbenchError(
            f"no model has been tested on corrupted images of '{dataset}' yet",
            f"medbench run --model MODEL --protocol PROTOCOL --dataset {dataset} --corrupt all",
        )
    names = shared.metrics_of(metrics, groups)
    lines = [[row.under(name) if name else row for name in names] for row in rows]
    severities = sorted({severity for row in rows for _, severity in row.sets})
    heads = [*HEADS, *((f"severity{one}", f"severity {one}") for one in severities)]
    scopes = [ALL, *sorted({name for row in rows for name, _ in row.sets})]
    with cache.counted("losses", 2 * len(scopes) * len(rows) * len(names)):
        shown = [row for scope in scopes for row in _section(lines, scope, severities)]
    columns = shared.columns_of(heads, names, shared.primary_of(groups), dataset, _low_first)
    of = ", ".join(dict.fromkeys(column.metric for column in columns))
    toy = shared.TOY * any(group.first.unit.toy for group in groups)
    return Table(
        name=f"corruption/{dataset}",
        title=f"{dataset}{toy}: {of} on clean and corrupted test images; first rows: over all corruptions",
        heads=("model", "protocol", "settings", "weights", "seeds", "sets", "worst"),
        columns=columns,
        rows=tuple(shown),
        notes=(*notes, *(_notes(lines) if lines else ())),
        intervals=True,
        lead=3,
    )


def _low_first(name: str, _: str) -> bool | None:
    """Tell that a small loss is the best, whatever the metric."""
    return True if name in ("loss", "share", "more") else None


def _section(lines: Sequence[Sequence[Damage]], scope: str, severities: Sequence[int]) -> Iterator[Row]:
    """Yield the rows of a scope, by protocol, the least loss first; a line has one `Damage` for each metric."""
    there = [line for line in lines if line[0].within(scope).sets]
    there.sort(key=lambda line: (line[0].clean.first.unit.protocol, _known(line[0], scope), line[0].clean.label))
    for line in there:
        cells = [
            cell
            for k, row in enumerate(line)
            for cell in _cells(row, scope, severities, _over_least(row, [other[k] for other in there], scope))
        ]
        yield _row(line[0], scope, cells)


def _known(row: Damage, scope: str) -> float:
    return row.within(scope).loss or 0.0


def _cells(row: Damage, scope: str, severities: Sequence[int], more: Cell) -> list[Cell]:
    """Return the cells of one metric."""
    part, clean = row.within(scope), row.numbers[None]
    first = Cell(clean.value, clean.std, clean.n, form="spread", mark=shared.marks_of(row.clean))
    left = [Cell(part.value(severity), form="spread") for severity in severities]
    return [first, *_losses(row, part, scope), more, *left]


def _row(row: Damage, scope: str, cells: Sequence[Cell]) -> Row:
    worst, sets = _worst(row) if scope == ALL else "", len(row.within(scope).sets)
    more = {"sets": sets, "worst": worst, "metric": row.metric, "group": row.clean.first.group[:12]}
    about = {"corruption": scope} | shared.about_of(row.clean) | more
    heads = (*shared.texts_of(row.clean), str(sets), worst)
    return Row(heads, tuple(cells), about, "" if scope == ALL else scope)


def _worst(row: Damage) -> str:
    """Return the corruption with the largest loss, averaged over its severities."""
    losses = {name: row.within(name).loss for name, _ in row.sets}
    known = {name: loss for name, loss in losses.items() if loss is not None}
    return max(known, key=known.__getitem__) if known else ""


def _losses(row: Damage, part: Damage, scope: str) -> tuple[Cell, Cell]:
    """Return the loss and its share of the clean metric, with their intervals where predictions are stored."""
    clean, loss = row.numbers[None].value, part.loss

    def computed() -> cache.Numbers:
        if (found := row.evaluated) is None:
            return {}
        terms = row.lost(scope, found), found.terms[0]
        lost, whole = (combine([term], found.clean.plan, skewed=False) for term in terms)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = lost.values / whole.values
        values[~np.isfinite(values)] = np.nan
        shares = Draws(lost.value / whole.value if whole.value else np.nan, values, lost.shape, False, lost.units)
        one, two = lost.interval(), shares.interval()
        return dict(zip(NUMBERS, (lost.value, one.low, one.high, two.low, two.high), strict=True))

    ends: cache.Numbers = {}
    if loss is not None and not biased(row.metric):
        ends = cache.cached_numbers(f"corruption {scope}", NUMBERS, row.metric, DRAWS, row.groups, computed)
    share = None if loss is None or not clean else loss / clean
    return _difference(loss, ends, "low", "high"), _difference(share, ends, "share_low", "share_high")


def _over_least(row: Damage, rows: Sequence[Damage], scope: str) -> Cell:
    """Return the loss minus the least one of the same protocol, settings and corruptions, paired by the test images."""
    part = row.within(scope)
    rivals = [one for one in rows if _alike(one, row) and one.within(scope).sets.keys() == part.sets.keys()]
    known = [one for one in rivals if one.within(scope).loss is not None]
    least = min(known, key=lambda one: one.within(scope).loss or 0.0, default=row)
    own, lowest = part.loss, least.within(scope).loss
    if least is row or own is None or lowest is None:
        return Cell(form="difference")
    if biased(row.metric):
        return _difference(own - lowest, {}, "low", "high")

    def computed() -> cache.Numbers:
        one, two = row.evaluated, least.evaluated
        if one is None or two is None or not one.clean.compares(two.clean):
            return {}
        mine, base = row.lost(scope, one), least.lost(scope, two)
        found = difference(mine, base, one.clean.plan, same_seeds=row.clean.seeds == least.clean.seeds).interval()
        return {"low": found.low, "high": found.high}

    groups = [*row.groups, *least.groups]
    ends = cache.cached_numbers(f"corruption {scope}, two models", ("low", "high"), row.metric, DRAWS, groups, computed)
    return _difference(own - lowest, ends, "low", "high")


def _alike(a: Damage, b: Damage) -> bool:
    """Tell whether two rows differ in the model alone, and neither has random weights."""
    one, two = (row.clean.first.unit for row in (a, b))
    same = (one.protocol, one.preset, a.clean.options, a.metric) == (
        two.protocol,
        two.preset,
        b.clean.options,
        b.metric,
    )
    return same and "random" not in (one.weights, two.weights)


def _difference(value: float | None, ends: cache.Numbers, low: str, high: str) -> Cell:
    pair = [None if np.isnan(end := ends.get(name, np.nan)) else end for name in (low, high)]
    return Cell(value, low=pair[0], high=pair[1], form="difference")


def _notes(lines: Sequence[Sequence[Damage]]) -> list[str]:
    rows = [row for line in lines for row in line]
    notes = [
        "loss: how much worse the metric is, on average over corruptions and severities; its interval resamples the "
        "test patients (images if patients are unknown), the same for clean and corrupted images, and the training "
        "seeds",
        "loss over the least: compared with the model that loses least with the same protocol and settings, on the "
        "same images. A model that is poor on clean images has little to lose, so compare also the corrupted metric",
    ]
    notes += ["rows with different numbers of sets are averages over different corruptions"] * (
        len({frozenset(row.sets) for row in rows}) > 1
    )
    metrics = dict.fromkeys(row.metric for row in rows)
    aimless = [metric for metric in metrics if higher_is_better(metric) is None]
    notes += [f"{', '.join(aimless)}: neither low nor high values are best, so there is no loss"] * bool(aimless)
    notes += shared.bias_notes(metrics, "loss")
    found = [(group, {row.metric: row.numbers[key]}) for row in rows for key, group in row.tests.items()]
    on_demand = [metric for metric in metrics if any(metric not in row.clean.first.metrics for row in rows)]
    return notes + notes_of(found, on_demand) + shared.mark_notes([row.clean for row in rows])
