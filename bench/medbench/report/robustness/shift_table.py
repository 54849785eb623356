"""The table of domain shift: what was fitted on one data set, tested on it and on others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from medbench import metrics, stats
from medbench.errors import MedbenchError
from medbench.metrics import METRICS, log_odds_of, score
from medbench.records import Record
from medbench.records.groups import SEEN, SEEN_MARK, TESTED, Group, collect, pick, spelt
from medbench.report import cache
from medbench.report.inference import DRAWS, Predicted, predicted
from medbench.report.tables.dataset_table import spoken
from medbench.report.tables.marks import RANDOM_MARK, interval, stored
from medbench.report.tables.table import Cell, Column, Row, Table
from medbench.stats.unpaired import Sample, unpaired

NUMBERS = ("value", "low", "high", "mean", "std", "own_low", "own_high")


@dataclass(frozen=True)
class Drop:
    """One row of the table.

    Attributes:
        shifted: The records on the other data set.
        in_domain: The records of the same job on its own data set; None: they are gone.
        metric: The metric.
        own: Its mean, standard deviation and 95 % interval in domain, on the classes that are scored on the other set.
        value: In domain minus shifted, over the seeds that both have; None: not known.
        low: Lower end of its 95 % interval; None: no predictions are stored.
        high: Its upper end.
    """

    shifted: Group
    in_domain: Group | None
    metric: str
    own: Cell = field(default_factory=Cell)
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
    own = {group.place: group for group in groups if group.first.test_on is None}
    away = (group for group in groups if group.first.test_on is not None and group.first.corruption is None)
    shown, notes = pick(away)
    random = sum(group.first.unit.weights == "random" for group in shown)
    if random and not include_random:
        shown = [group for group in shown if group.first.unit.weights != "random"]
        notes.append(f"{random} row{'s' * (random > 1)} with random weights left out")
    found = []
    with cache.counted("drops", len(shown)):
        for group in shown:
            base = own.get((*group.place[:3], str(group.first.provenance.get("test_on", {}).get("in_domain"))))
            found.append(_drop(group, base, draws))
    return found, notes


def _drop(shifted: Group, base: Group | None, draws: int) -> Drop:
    metric = shifted.first.metric
    seeds = [{record.unit.seed for record in group.records} for group in (base or shifted, shifted)]
    common = seeds[0] & seeds[1]
    if base is None or not common:
        return Drop(shifted, base, metric)
    one, two = (Group(tuple(r for r in group.records if r.unit.seed in common)) for group in (base, shifted))
    found = cache.cached_numbers("drop", NUMBERS, metric, draws, [one, two], lambda: _computed(one, two, metric, draws))
    known = {name: None if np.isnan(value) else value for name, value in found.items()}
    if known.get("value") is not None:
        own = Cell(known["mean"], known["std"], one.n, low=known["own_low"], high=known["own_high"])
        return Drop(shifted, base, metric, own, known["value"], known["low"], known["high"])
    if len(_scored(one)) > len(_scored(two)):  # over other classes: no drop
        return Drop(shifted, base, metric)
    means = [group.summary(metric)[0] for group in (one, two)]
    gap = None if None in means else float(np.subtract(*means))  # type: ignore[arg-type]
    return Drop(shifted, base, metric, Cell(*one.summary(metric)), gap)


def _computed(base: Group, shifted: Group, metric: str, draws: int) -> cache.Numbers:
    if metric not in METRICS or not (stored(base) and stored(shifted)):
        return {}
    one, two = predicted(base), predicted(shifted)
    if one is None or two is None:
        return {}
    one = among(one, [i for i, name in enumerate(_scored(base)) if name in _scored(shifted)])
    a, b = (Sample(side.of(metric), side.targets, side.groups) for side in (one, two))
    drawn, alone = unpaired(metric, a, b, draws), stats.bootstrap(metric, *a, draws=draws)
    ends, own = drawn.interval(), alone.interval()
    values = [score(metric, scores, a.targets) for scores in a.scores]
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return dict(zip(NUMBERS, (drawn.value, ends.low, ends.high, alone.value, spread, own.low, own.high), strict=True))


def _scored(group: Group) -> list[str]:
    return list(group.first.n["test"].classes) if "test" in group.first.n else []


def among(found: Predicted, columns: Sequence[int]) -> Predicted:
    """Return the predictions for some classes: of the images that have one of them, by the softmax over them.

    In a multilabel task all images stay, and the other findings are left out.
    """
    ranks = found.scores if found.ranks is None else found.ranks
    if len(columns) == ranks.shape[2]:
        return found
    if found.targets.ndim == 2:
        kept, at = ranks[:, :, columns], np.arange(len(found.ids))
        targets = found.targets[:, columns]
    else:
        at = np.flatnonzero(np.isin(found.targets, columns))
        log_odds = log_odds_of(found.scores) if found.ranks is None else found.ranks
        kept, targets = metrics.among(log_odds[:, at], columns), np.searchsorted(columns, found.targets[at])
    scores = found.scores[:, :, columns] if found.targets.ndim == 2 else metrics.probabilities(kept)
    groups = None if found.groups is None else found.groups[at]
    return Predicted(tuple(np.array(found.ids)[at]), scores, targets, groups, kept)


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
            f"no model trained on '{dataset}' has been tested on another data set yet",
            f"medbench run --model MODEL --protocol PROTOCOL --dataset {dataset} --test-on OTHER",
        )
    primary = Counter(drop.metric for drop in found).most_common(1)[0][0] if found else ""
    heads = (("in_domain", f"{primary} in domain"), ("shifted", "shifted"), ("drop", "drop"))
    found.sort(key=lambda drop: (drop.on, -(drop.shifted.summary(drop.metric)[0] or 0.0), drop.shifted.label))
    toy = any(drop.shifted.first.unit.toy for drop in found)
    return Table(
        name=f"shift/{dataset}",
        title=f"trained on {dataset}{' (TOY DATA: no result about medicine)' if toy else ''}: results on its own "
        f"test images and on those of another data set, and the drop with its 95 % interval",
        heads=("tested on", "model", "protocol", "settings", "weights", "seeds"),
        columns=tuple(Column(name, title, primary, dataset) for name, title in heads),
        rows=tuple(_row(drop, several=len({drop.shifted.content for drop in found}) > 1) for drop in found),
        notes=(*notes, *_notes(found)),
        intervals=True,
    )


def _row(drop: Drop, *, several: bool) -> Row:
    group, unit = drop.shifted, drop.shifted.first.unit
    marks = SEEN_MARK * group.contaminated + RANDOM_MARK * (unit.weights == "random")
    numbers = [drop.own._replace(mark=marks if drop.own.value is not None else ""), _cell(group, drop.metric, marks)]
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
    return Row(heads, (*numbers, gap), about, f"data {group.data}" if several else "")


def _cell(group: Group, metric: str, marks: str) -> Cell:
    mean, std, n = group.summary(metric)
    low, high = interval(group, metric)
    return Cell(mean, std, n, low=low, high=high, mark=marks)


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
    notes += [SEEN] if any(drop.shifted.contaminated for drop in found) else []
    if any(drop.shifted.first.unit.weights == "random" for drop in found):
        notes.append(f"{RANDOM_MARK} random weights: a sanity check, not a result")
    said: dict[str, list[str]] = {}
    for drop in found:
        model, away = drop.shifted.first.unit.model, spoken(drop.shifted)
        here = [] if drop.in_domain is None else spoken(drop.in_domain)
        for warning in away:
            said.setdefault(warning, []).append(f"{model} on {drop.on}")
        for warning in (text for text in here if text not in away):
            said.setdefault(warning, []).append(f"{model} in domain")
    return notes + [f"{'; '.join(dict.fromkeys(who))}: {warning}" for warning, who in said.items()]
