"""The table of domain shift: what was fitted on one data set, tested on it and on others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from medbench.errors import MedbenchError
from medbench.metrics import METRICS
from medbench.records import Record
from medbench.records.groups import SEEN, SEEN_MARK, TESTED, Group, collect, pick, spelt
from medbench.report import cache
from medbench.report.inference import DRAWS, predicted
from medbench.report.tables.dataset_table import spoken
from medbench.report.tables.marks import RANDOM_MARK, interval, stored
from medbench.report.tables.table import Cell, Column, Row, Table
from medbench.stats.unpaired import Sample, unpaired

NUMBERS = ("value", "low", "high")


@dataclass(frozen=True)
class Drop:
    """One row of the table.

    Attributes:
        shifted: The records on the other data set.
        in_domain: The records of the same job on its own data set; None: they have gone.
        metric: The metric.
        value: in_domain - shifted, over the seeds that both have; None: not known.
        low: Lower end of its 95 % interval; None: no predictions are stored.
        high: Its upper end.
    """

    shifted: Group
    in_domain: Group | None
    metric: str
    value: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def on(self) -> str:
        """The other data set, and how its images were taken."""
        options = self.shifted.first.unit.options
        how = [f"{options['test_part']} part"] if "test_part" in options else []
        how += ["closed"] if options.get("closed") else []
        return f"{self.shifted.first.test_on}" + (f" ({', '.join(how)})" if how else "")


def drops(records: Iterable[Record], include_random: bool = False, draws: int = DRAWS) -> tuple[list[Drop], list[str]]:
    """Return how much each metric falls on other data sets, and notes on what is not shown.

    The interval is that of the bootstrap over the patients (images where none are known) of both test sets, which are
    drawn separately, and over training seeds (`stats.unpaired`).

    Args:
        records: Those of one data set that was trained on.
        include_random: Show random weights, too.
        draws: Of the bootstrap.
    """
    groups = collect(records)
    own = {group.first.group: group for group in groups if group.first.test_on is None}
    shown, notes = pick(group for group in groups if group.first.test_on is not None)
    random = sum(group.first.unit.weights == "random" for group in shown)
    if random and not include_random:
        shown = [group for group in shown if group.first.unit.weights != "random"]
        notes.append(f"{random} row{'s' * (random > 1)} with random weights left out")
    found = []
    with cache.counted("drops", len(shown)):
        for group in shown:
            base = own.get(str(group.first.provenance.get("test_on", {}).get("in_domain")))
            found.append(_drop(group, base, draws))
    return found, notes


def _drop(shifted: Group, base: Group | None, draws: int) -> Drop:
    metric = shifted.first.metric
    if base is None:
        return Drop(shifted, None, metric)
    common = {r.unit.seed for r in base.records} & {r.unit.seed for r in shifted.records}
    one, two = (Group(tuple(r for r in group.records if r.unit.seed in common)) for group in (base, shifted))
    if not common:
        return Drop(shifted, base, metric)
    ends = cache.cached_numbers("drop", NUMBERS, metric, draws, [one, two], lambda: _computed(one, two, metric, draws))
    if ends and not any(map(np.isnan, ends.values())):
        return Drop(shifted, base, metric, **{name: ends[name] for name in NUMBERS})
    means = [group.summary(metric)[0] for group in (one, two)]
    return Drop(shifted, base, metric, None if None in means else float(np.subtract(*means)))  # type: ignore[arg-type]


def _computed(base: Group, shifted: Group, metric: str, draws: int) -> cache.Numbers:
    if metric not in METRICS or not (stored(base) and stored(shifted)):
        return {}
    one, two = predicted(base), predicted(shifted)
    if one is None or two is None:
        return {}
    a, b = (Sample(side.of(metric), side.targets, side.groups) for side in (one, two))
    drawn = unpaired(metric, a, b, draws)
    found = drawn.interval()
    return {"value": drawn.value, "low": found.low, "high": found.high}


def shift_table(dataset: str, records: Iterable[Record], include_random: bool = False) -> Table:
    """Return the table of what was trained on a data set and tested on others, a section for each of these.

    Args:
        dataset: The data set that was trained on.
        records: Its records.
        include_random: Show random weights, too.

    Raises:
        MedbenchError: Nothing was tested elsewhere.
    """
    found, notes = drops((record for record in records if record.unit.dataset == dataset), include_random)
    if not found and not notes:
        raise MedbenchError(
            f"nothing that was trained on '{dataset}' has been tested on another data set yet",
            f"medbench run --model MODEL --protocol PROTOCOL --dataset {dataset} --test-on OTHER",
        )
    primary = Counter(drop.metric for drop in found).most_common(1)[0][0] if found else ""
    heads = (("in_domain", f"{primary} in domain"), ("shifted", "shifted"), ("drop", "drop"))
    found.sort(key=lambda drop: (drop.on, -(drop.shifted.summary(drop.metric)[0] or 0.0), drop.shifted.label))
    toy = any(drop.shifted.first.unit.toy for drop in found)
    return Table(
        name=f"shift/{dataset}",
        title=f"trained on {dataset}{' (TOY DATA: no result about medicine)' if toy else ''}: on its own test images,"
        " on those of another data set, and the drop with its 95 % interval",
        heads=("tested on", "model", "protocol", "settings", "weights", "seeds"),
        columns=tuple(Column(name, title, primary, dataset) for name, title in heads),
        rows=tuple(_row(drop) for drop in found),
        notes=(*notes, *_notes(found)),
        intervals=True,
    )


def _row(drop: Drop) -> Row:
    group, unit = drop.shifted, drop.shifted.first.unit
    marks = SEEN_MARK * group.contaminated + RANDOM_MARK * (unit.weights == "random")
    numbers = [_cell(one, drop.metric, marks) for one in (drop.in_domain, group)]
    gap = Cell(drop.value, low=drop.low, high=drop.high, form="difference")
    options = spelt({key: value for key, value in unit.options.items() if key not in TESTED})
    about = {
        "test_on": drop.on,
        "model": unit.model,
        "protocol": unit.protocol,
        "preset": unit.preset,
        "options": options,
        "weights": group.weights,
        "toy": unit.toy,
        "seeds": " ".join(str(record.unit.seed) for record in group.records),
        "metric": drop.metric,
        "group": group.first.group[:12],
    }
    heads = (
        drop.on,
        unit.model,
        unit.protocol,
        "; ".join(filter(None, (unit.preset, options))),
        group.weights,
        str(group.n),
    )
    return Row(heads, (*numbers, gap), about)


def _cell(group: Group | None, metric: str, marks: str) -> Cell:
    if group is None:
        return Cell()
    mean, std, n = group.summary(metric)
    low, high = interval(group, metric)
    return Cell(mean, std, n, low=low, high=high, mark=marks)


def _notes(found: list[Drop]) -> list[str]:
    notes = [
        "drop: in domain minus shifted; its interval draws the patients (images where none are known) of each test set"
        " separately, and the training seeds"
    ]
    notes += [SEEN] if any(drop.shifted.contaminated for drop in found) else []
    if any(drop.shifted.first.unit.weights == "random" for drop in found):
        notes.append(f"{RANDOM_MARK} random weights: a sanity row, not a result")
    said: dict[str, list[str]] = {}
    for drop in found:
        for warning in spoken(drop.shifted):
            said.setdefault(warning, []).append(f"{drop.shifted.first.unit.model} on {drop.on}")
    return notes + [f"{'; '.join(dict.fromkeys(who))}: {warning}" for warning, who in said.items()]
