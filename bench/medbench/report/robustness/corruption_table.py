"""The table of corruptions: how much of a metric is left when the same test images are corrupted."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from medbench.errors import MedbenchError
from medbench.metrics import METRICS
from medbench.metrics.measures import higher_is_better
from medbench.records import Record
from medbench.records.groups import FLAW, FLAW_MARK, SEEN, SEEN_MARK, TESTED, Group, GroupKey, collect, pick, spelt
from medbench.report import cache
from medbench.report.inference import DRAWS, Predicted, predicted
from medbench.report.tables.marks import RANDOM_MARK, stored
from medbench.report.tables.table import Cell, Column, Row, Table
from medbench.stats.bootstrap import Draws, combine, evaluate
from medbench.stats.jackknife import Term, mean_of
from medbench.stats.paired import difference
from medbench.stats.resampling import Design, design

ALL = "all"
"""The scope of a row over all corruptions; the other scopes are the corruptions' names."""
NUMBERS = ("loss", "low", "high", "share_low", "share_high")

Set = tuple[str, int]
"""Name and severity of a corruption."""


@dataclass(frozen=True)
class Damage:
    """The records of one model, protocol and settings: on the test images as they are, and corrupted.

    Attributes:
        clean: On the images as they are.
        sets: Corruption and severity -> the records of the same seeds.
    """

    clean: Group
    sets: Mapping[Set, Group]

    @property
    def metric(self) -> str:
        """The primary metric."""
        return self.clean.first.metric

    def within(self, scope: str) -> Damage:
        """Return the corruptions of one name; `all` is all of them."""
        return Damage(self.clean, {key: group for key, group in self.sets.items() if scope in (ALL, key[0])})

    def value(self, severity: int | None = None) -> float | None:
        """Return the mean metric over the corruptions, or over those of one severity; None: there is none."""
        found = [group.summary(self.metric)[0] for key, group in self.sets.items() if severity in (None, key[1])]
        return None if not found or None in found else float(np.mean([one for one in found if one is not None]))

    @property
    def groups(self) -> list[Group]:
        """The clean records, then the others."""
        return [self.clean, *self.sets.values()]

    @property
    def loss(self) -> float | None:
        """By how much the metric gets worse, on average over the corruptions."""
        clean, left = self.clean.summary(self.metric)[0], self.value()
        return None if clean is None or left is None else _sign(self.metric) * (clean - left)

    @functools.cached_property
    def evaluated(self) -> Evaluated | None:
        """The metric on all draws; None where predictions are not stored, or are of other images."""
        terms: list[Term] = []
        first, plan = None, None
        for group in self.groups if self.metric in METRICS else []:
            found = predicted(group) if stored(group) else None
            if found is None or (first is not None and not found.compares(first)):
                return None
            first, plan = first or found, plan or design(found.targets, found.groups)
            terms.append(evaluate(self.metric, found.of(self.metric), found.targets, plan, DRAWS))
        return None if first is None or plan is None else Evaluated(first, plan, terms)

    def lost(self, scope: str, found: Evaluated) -> Term:
        """Return the loss within a scope, for each seed."""
        clean, *others = found.terms
        left = mean_of([term for key, term in zip(self.sets, others, strict=True) if scope in (ALL, key[0])])
        return clean.minus(left) if _sign(self.metric) > 0 else left.minus(clean)


class Evaluated(NamedTuple):
    """The predictions of a row's clean images, and the metric of all its sets on the same draws.

    Attributes:
        clean: The predictions.
        plan: The design of the draws; patients are kept whole.
        terms: The metric of `Damage.groups`.
    """

    clean: Predicted
    plan: Design
    terms: list[Term]


def _sign(metric: str) -> int:
    return -1 if higher_is_better(metric) is False else 1


def damages(records: Iterable[Record], include_random: bool = False) -> tuple[list[Damage], list[str]]:
    """Return what was tested on corrupted images, and notes on what is not shown.

    Args:
        records: Those of one data set.
        include_random: Include random weights.
    """
    groups = collect(records)
    own = {group.place: group for group in groups if group.first.test_on is None}
    shown, notes = pick(group for group in groups if group.first.corruption is not None)
    found: dict[GroupKey, dict[Set, Group]] = {}
    for group in shown:
        name, severity = str(group.first.corruption).split(":")
        base = (*group.place[:3], str(group.first.provenance.get("test_on", {}).get("in_domain")))
        found.setdefault(base, {})[name, int(severity)] = group
    rows = [_of_common_seeds(own[base], sets) for base, sets in found.items() if base in own]
    random = sum(row.clean.first.unit.weights == "random" for row in rows)
    if random and not include_random:
        rows = [row for row in rows if row.clean.first.unit.weights != "random"]
        notes.append(f"{random} row{'s' * (random > 1)} with random weights left out")
    return [row for row in rows if row.clean.records], notes


def _of_common_seeds(clean: Group, sets: Mapping[Set, Group]) -> Damage:
    seeds = [{record.unit.seed for record in group.records} for group in (clean, *sets.values())]
    common = set.intersection(*seeds)
    one, *others = (
        Group(tuple(r for r in group.records if r.unit.seed in common)) for group in (clean, *sets.values())
    )
    return Damage(one, dict(sorted(zip(sets, others, strict=True))))


def corruption_table(dataset: str, records: Iterable[Record], include_random: bool = False) -> Table:
    """Return the table of a data set's corrupted test images: over all corruptions, then a section for each.

    The loss is the clean metric minus the mean over corruptions and severities. Its interval is that of the bootstrap
    over the patients (images where none are known), the same for both sides, and over training seeds.

    Args:
        dataset: The data set.
        records: Its records.
        include_random: Show random weights, too.

    Raises:
        MedbenchError: Nothing was tested on corrupted images.
    """
    rows, notes = damages((record for record in records if record.unit.dataset == dataset), include_random)
    if not rows and not notes:
        raise MedbenchError(
            f"no model has been tested on corrupted images of '{dataset}' yet",
            f"medbench run --model MODEL --protocol PROTOCOL --dataset {dataset} --corrupt all",
        )
    primary = Counter(row.metric for row in rows).most_common(1)[0][0] if rows else ""
    severities = sorted({severity for row in rows for _, severity in row.sets})
    heads = [
        ("clean", f"{primary} clean"),
        ("loss", "loss"),
        ("share", "loss / clean"),
        ("more", "loss over the least"),
    ]
    heads += [(f"severity{one}", f"severity {one}") for one in severities]
    toy = " (TOY DATA: no result about medicine)" if any(row.clean.first.unit.toy for row in rows) else ""
    scopes = [ALL, *sorted({name for row in rows for name, _ in row.sets})]
    with cache.counted("losses", 2 * len(scopes) * len(rows)):
        lines = [line for scope in scopes for line in _section(rows, scope, severities)]
    return Table(
        name=f"corruption/{dataset}",
        title=f"{dataset}{toy}: {primary} on clean and corrupted test images; first rows: over all corruptions",
        heads=("model", "protocol", "settings", "weights", "seeds", "sets", "worst"),
        columns=tuple(Column(name, title, primary, dataset) for name, title in heads),
        rows=tuple(lines),
        notes=(*notes, *_notes(rows)),
        intervals=True,
        lead=3,
    )


def _section(rows: Sequence[Damage], scope: str, severities: Sequence[int]) -> Iterator[Row]:
    """Yield the rows of a scope, by protocol, the least loss first."""
    there = [row for row in rows if row.within(scope).sets]
    there.sort(key=lambda row: (row.clean.first.unit.protocol, row.within(scope).loss or 0.0, row.clean.label))
    for row in there:
        yield _row(row, scope, severities, _over_least(row, there, scope))


def _row(row: Damage, scope: str, severities: Sequence[int], more: Cell) -> Row:
    part, group = row.within(scope), row.clean
    unit, (mean, std, n) = group.first.unit, group.summary(row.metric)
    marks = SEEN_MARK * group.contaminated + FLAW_MARK * group.flawed + RANDOM_MARK * (unit.weights == "random")
    loss, share = _losses(row, part, scope)
    left = [Cell(part.value(severity), form="spread") for severity in severities]
    options = spelt({key: value for key, value in unit.options.items() if key not in TESTED})
    worst = _worst(part) if scope == ALL else ""
    about = {
        "corruption": scope,
        "model": unit.model,
        "protocol": unit.protocol,
        "preset": unit.preset,
        "options": options,
        "weights": group.weights,
        "toy": unit.toy,
        "seeds": " ".join(str(record.unit.seed) for record in group.records),
        "sets": len(part.sets),
        "worst": worst,
        "metric": row.metric,
        "group": group.first.group[:12],
    }
    settings = "; ".join(filter(None, (unit.preset, options)))
    heads = (unit.model, unit.protocol, settings, group.weights, str(group.n), str(len(part.sets)), worst)
    cells = (Cell(mean, std, n, form="spread", mark=marks), loss, share, more, *left)
    return Row(heads, cells, about, "" if scope == ALL else scope)


def _worst(row: Damage) -> str:
    """Return the corruption with the largest loss, averaged over its severities."""
    losses = {name: row.within(name).loss for name, _ in row.sets}
    known = {name: loss for name, loss in losses.items() if loss is not None}
    return max(known, key=known.__getitem__) if known else ""


def _losses(row: Damage, part: Damage, scope: str) -> tuple[Cell, Cell]:
    """Return the loss and its share of the clean metric, with their intervals where predictions are stored."""
    clean, loss = row.clean.summary(row.metric)[0], part.loss

    def computed() -> cache.Numbers:
        if (found := row.evaluated) is None:
            return {}
        lost, whole = (combine([term], found.plan, skewed=False) for term in (row.lost(scope, found), found.terms[0]))
        with np.errstate(divide="ignore", invalid="ignore"):
            values = lost.values / whole.values
        values[~np.isfinite(values)] = np.nan
        shares = Draws(lost.value / whole.value if whole.value else np.nan, values, lost.shape, False, lost.units)
        one, two = lost.interval(), shares.interval()
        return dict(zip(NUMBERS, (lost.value, one.low, one.high, two.low, two.high), strict=True))

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

    def computed() -> cache.Numbers:
        one, two = row.evaluated, least.evaluated
        if one is None or two is None or not one.clean.compares(two.clean):
            return {}
        mine, base = row.lost(scope, one), least.lost(scope, two)
        found = difference(mine, base, one.plan, same_seeds=row.clean.seeds == least.clean.seeds).interval()
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


def _notes(rows: Sequence[Damage]) -> list[str]:
    notes = [
        "loss: how much worse the metric is, on average over corruptions and severities; its interval resamples the "
        "test patients (images if patients are unknown), the same for clean and corrupted images, and the training "
        "seeds",
        "loss over the least: compared with the model that loses least with the same protocol and settings, on the "
        "same images. A model that is poor on clean images has little to lose, so compare also the corrupted metric",
    ]
    sets = {frozenset(row.sets) for row in rows}
    notes += ["rows with different numbers of sets are averages over different corruptions"] * (len(sets) > 1)
    notes += [SEEN] if any(row.clean.contaminated for row in rows) else []
    notes += [FLAW] if any(row.clean.flawed for row in rows) else []
    if any(row.clean.first.unit.weights == "random" for row in rows):
        notes.append(f"{RANDOM_MARK} random weights: a sanity check, not a result")
    return notes
