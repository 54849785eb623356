"""The table of domain shift: what was fitted on one data set, tested on it and on others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from medbench import stats
from medbench.errors import MedbenchError
from medbench.metrics.measures import biased, higher_is_better, measure
from medbench.records import Record
from medbench.records.groups import Group
from medbench.report import cache
from medbench.report.inference import DRAWS
from medbench.report.measured import NOT_STORED, Measured, lacking
from medbench.report.robustness import tested as rows
from medbench.report.robustness.tested import tested
from medbench.report.tables.choose import notes_of
from medbench.report.tables.dataset_table import spoken
from medbench.report.tables.marks import interval
from medbench.report.tables.table import Cell, Row, Table
from medbench.report.weighted_metric import WeightedMetric, weighted_metric
from medbench.stats.unpaired import apart

NUMBERS = ("value", "low", "high", "mean", "std", "own_low", "own_high")
AWAY = ("away_mean", "away_std", "away_n", "away_low", "away_high")
"""Further numbers of a metric that no record holds."""
HEADS = (("in_domain", "{} in domain"), ("shifted", "shifted"), ("drop", "drop"))


@dataclass(frozen=True)
class Drop:
    """One row of the table.

    Attributes:
        shifted: The records on the other data set.
        in_domain: The records of the same job on its own data set; None: they are gone.
        metric: The metric.
        own: Its mean, standard deviation and 95 % interval in domain, on the classes that are scored on the other set.
        away: The same on the other set.
        value: In domain minus shifted, over the seeds that both have; None: not known.
        low: Lower end of its 95 % interval; None: no predictions are stored.
        high: Its upper end.
    """

    shifted: Group
    in_domain: Group | None
    metric: str
    own: Cell = field(default_factory=Cell)
    away: Cell = field(default_factory=Cell)
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


def drops(
    records: Iterable[Record], include_random: bool = False, draws: int = DRAWS, metric: str = ""
) -> tuple[list[Drop], list[str]]:
    """Return how much a metric falls on other data sets, and notes on what is not shown.

    The interval is that of the bootstrap over the patients (images where none are known) of both test sets, which are
    drawn separately, and over training seeds (`stats.unpaired`). Thresholds and temperatures of metrics that no record
    holds are those that validation in domain chose.

    Args:
        records: Those of one data set that was trained on.
        include_random: Show random weights, too.
        draws: Of the bootstrap.
        metric: The metric; empty: the primary one of each record.
    """
    pairs, notes = tested(records, corrupted=False)
    pairs = rows.without_random(pairs, lambda pair: pair.group, notes, include_random=include_random)
    with cache.counted("drops", len(pairs)):
        return [_drop(group, base, draws, metric or group.first.metric) for group, base in pairs], notes


def _drop(shifted: Group, base: Group | None, draws: int, metric: str) -> Drop:
    away = _cell(shifted, metric) if _holds(shifted, metric) else Cell()
    seeds = [{record.unit.seed for record in group.records} for group in (base or shifted, shifted)]
    common = seeds[0] & seeds[1]
    if base is None or not common:
        return Drop(shifted, base, metric, away=away)
    one, two = (Group(tuple(r for r in group.records if r.unit.seed in common)) for group in (base, shifted))
    held = _holds(shifted, metric)
    kind, names = ("drop", NUMBERS) if held else ("drop on demand", (*NUMBERS, *AWAY))
    found = cache.cached_numbers(kind, names, metric, draws, [one, two], lambda: _computed(one, two, metric, draws))
    known = {name: None if math.isnan(value) else value for name, value in found.items()}
    if known.get("value") is not None:
        own = Cell(known["mean"], known["std"], one.n, low=known["own_low"], high=known["own_high"])
        if not held:
            mean, std, n, low, high = (known[name] for name in AWAY)
            away = Cell(mean, std, int(n or 0), low=low, high=high)
        return Drop(shifted, base, metric, own, away, known["value"], known["low"], known["high"])
    if not held or len(_scored(one)) > len(_scored(two)):  # over other classes: no drop
        return Drop(shifted, base, metric, away=away)
    means = [group.summary(metric)[0] for group in (one, two)]
    gap = None if means[0] is None or means[1] is None else means[0] - means[1]
    return Drop(shifted, base, metric, Cell(*one.summary(metric)), away, gap)


def _cell(group: Group, metric: str) -> Cell:
    mean, std, n = group.summary(metric)
    low, high = interval(group, metric)
    return Cell(mean, std, n, low=low, high=high)


def _computed(base: Group, shifted: Group, metric: str, draws: int) -> cache.Numbers:
    classes = [i for i, name in enumerate(_scored(base)) if name in _scored(shifted)]
    one = weighted_metric(base, metric, classes=classes)
    two = weighted_metric(shifted, metric, held=base, classes=() if _holds(shifted, metric) else classes)
    if one is None or two is None:
        return {}
    drawn = apart(one.values, two.values, one.plan, two.plan, draws)
    ends = drawn.interval()
    low, high = (math.nan, math.nan) if biased(metric) else (ends.low, ends.high)
    mean, std, _, *own = _summary(one, draws)
    found = dict(zip(NUMBERS, (drawn.value, low, high, mean, std, *own), strict=True))
    return found if _holds(shifted, metric) else found | dict(zip(AWAY, _summary(two, draws), strict=True))


def _summary(one: WeightedMetric, draws: int) -> tuple[float, ...]:
    """Return mean, deviation and number of seeds, and the ends of the 95 % interval; nan for what is undefined."""
    term = one.term(draws)
    mean, std, n = stats.summary(term.split.tolist())
    ends = one.interval(term, draws)
    return math.nan if mean is None else mean, math.nan if std is None else std, n, ends.low, ends.high


def _holds(group: Group, metric: str) -> bool:
    """Tell whether the records hold a metric; any other one is computed from predictions."""
    return metric in group.first.metrics


def _scored(group: Group) -> list[str]:
    return list(group.first.n["test"].classes) if "test" in group.first.n else []


def shift_table(
    dataset: str, records: Iterable[Record], include_random: bool = False, metrics: Sequence[str] = ()
) -> Table:
    """Return the table of what was trained on a data set and tested on others, a section for each of these.

    Args:
        dataset: The data set that was trained on.
        records: Its records.
        include_random: Show random weights, too.
        metrics: The metrics, each with its three columns; none: the primary one.

    Raises:
        CardError: A metric is unknown, or not for the task.
        MedbenchError: Nothing was tested elsewhere.
    """
    own = [record for record in records if record.unit.dataset == dataset]
    pairs, _ = tested(own, corrupted=False)
    if not pairs:
        raise MedbenchError(
            f"no model trained on '{dataset}' has been tested on another data set yet",
            f"medbench run --model MODEL --protocol PROTOCOL --dataset {dataset} --test-on OTHER",
        )
    names = rows.metrics_of(metrics, [pair.group for pair in pairs])
    made = [drops(own, include_random, metric=name) for name in names]
    notes, lines = made[0][1], list(zip(*(found for found, _ in made), strict=True))
    lines.sort(key=lambda line: (line[0].on, _order(line[0]), line[0].shifted.label))
    groups = [line[0].shifted for line in lines] or [pair.group for pair in pairs]
    several = len({group.content for group in groups}) > 1
    return Table(
        name=f"shift/{dataset}",
        title=f"trained on {dataset}{rows.TOY * any(group.first.unit.toy for group in groups)}: results on its own "
        "test images and on those of another data set, and the drop with its 95 % interval",
        heads=("tested on", "model", "protocol", "settings", "weights", "seeds"),
        columns=rows.columns_of(HEADS, names, rows.primary_of(groups), dataset, _low_first),
        rows=tuple(_row(line, several=several) for line in lines),
        notes=(*notes, *(_notes([drop for line in lines for drop in line]) if lines else ())),
        intervals=True,
    )


def _low_first(name: str, metric: str) -> bool | None:
    """Tell whether a low drop is the best: not of a metric that rises as the model gets worse."""
    return higher_is_better(metric) is not False if name == "drop" else None


def _order(drop: Drop) -> float:
    """Return the sort key of a row within its section: the best on the other set first."""
    value = drop.away.value or 0.0
    return value if higher_is_better(drop.metric) is False else -value


def _row(line: Sequence[Drop], *, several: bool) -> Row:
    first, group = line[0], line[0].shifted
    marks, own = rows.marks_of(group), rows.marks_of(first.in_domain or group)
    cells = [
        cell
        for drop in line
        for cell in (
            drop.own._replace(mark=own if drop.own.value is not None else ""),
            drop.away._replace(mark=marks),
            Cell(drop.value, low=drop.low, high=drop.high, form="difference"),
        )
    ]
    about = {"test_on": first.on} | rows.about_of(group) | {"metric": first.metric, "group": group.first.group[:12]}
    heads = (first.on, *rows.texts_of(group))
    return Row(heads, tuple(cells), about, f"data {group.data}" if several else "")


def _notes(found: list[Drop]) -> list[str]:
    notes = [
        "drop: in domain minus shifted; its interval resamples the patients (images if patients are unknown) of each "
        "test set separately, and the training seeds"
    ]
    if any(drop.shifted.first.unit.options.get("closed") for drop in found):
        notes.append(
            "closed: both numbers are over the classes that both data sets have; in domain, only images of these "
            "classes are used"
        )
    notes += rows.bias_notes(dict.fromkeys(drop.metric for drop in found), "drop")
    made = [drop for drop in found if not _holds(drop.shifted, drop.metric)]
    why = [(drop.shifted, {drop.metric: Measured(lacking=_lacking(drop))}) for drop in made]
    notes += notes_of(why, [*dict.fromkeys(drop.metric for drop in made)])
    notes += rows.mark_notes([group for drop in found for group in (drop.shifted, drop.in_domain) if group is not None])
    said: dict[str, dict[str, None]] = {}
    for drop in found:
        model, away = drop.shifted.first.unit.model, spoken(drop.shifted)
        here = [] if drop.in_domain is None else spoken(drop.in_domain)
        for warning in away:
            said.setdefault(warning, {})[f"{model} on {drop.on}"] = None
        for warning in (text for text in here if text not in away):
            said.setdefault(warning, {})[f"{model} in domain"] = None
    return notes + [f"{'; '.join(who)}: {warning}" for warning, who in said.items()]


def _lacking(drop: Drop) -> str:
    """Return why a metric that no record holds has no number; empty: it has one."""
    if drop.value is not None:
        return ""
    if drop.in_domain is None:
        return "its records in domain are gone"
    return lacking(drop.shifted) or lacking(drop.in_domain, measure(drop.metric)) or NOT_STORED
