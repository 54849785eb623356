"""The table of a comparison."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medbench import stats
from medbench.errors import MedbenchError
from medbench.metrics.measures import higher_is_better, measure
from medbench.records.groups import FLAW, FLAW_MARK, SEEN, SEEN_MARK, Group
from medbench.report.comparison.selectors import Side
from medbench.report.tables.choose import HELD
from medbench.report.tables.marks import RANDOM_MARK, SANITY
from medbench.report.tables.table import Cell, Column, Form, Row, Table, p_value
from medbench.stats.significance import FEWEST

TITLES = {
    "a": "A",
    "b": "B",
    "difference": "A − B",
    "p": "p",
    "p_holm": "p (Holm)",
    "p_permutation": "p (permutation)",
    "detectable": "detectable",
}
SeedValues = tuple[dict[int, float | None], dict[int, float | None]]
"""Seed -> value, of A and of B."""


@dataclass(frozen=True)
class Line:
    """Two groups compared on one data set; nan stands for what is undefined.

    Attributes:
        a: The one.
        b: The other.
        metric: The metric.
        images: Test images.
        patients: Test patients, where they are known.
        difference: A - B.
        low: Lower end of its 95 % interval.
        high: Upper end.
        se: Its standard error.
        detectable: Minimal detectable difference.
        p: Of the paired bootstrap.
        permutation: p of the permutation test.
        p_holm: p after Holm over all rows.
        asked: The metric as it was asked for; empty: the primary one of the data set.
        on_demand: Values of each seed of A and B, if no record holds the metric.
    """

    a: Group
    b: Group
    metric: str
    images: int
    patients: int | None
    difference: float
    low: float
    high: float
    se: float
    detectable: float
    p: float
    permutation: float
    p_holm: float = math.nan
    asked: str = ""
    on_demand: SeedValues | None = None

    @property
    def dataset(self) -> str:
        """The data set's name."""
        return self.a.first.unit.dataset

    @property
    def protocols(self) -> tuple[str, str]:
        """The protocols of A and B."""
        return self.a.first.unit.protocol, self.b.first.unit.protocol

    @property
    def seeds(self) -> tuple[str, str]:
        """The seeds of A and B."""
        one, two = (" ".join(str(record.unit.seed) for record in group.records) for group in (self.a, self.b))
        return one, two

    def differences(self) -> list[float]:
        """Return A - B of the seeds that both have and on which it is defined."""
        own, others = self.values
        pairs = [(value, others.get(seed)) for seed, value in own.items()]
        return [one - two for one, two in pairs if one is not None and two is not None]

    @property
    def values(self) -> SeedValues:
        """The metric of each seed of A and B."""
        if self.on_demand is not None:
            return self.on_demand
        first, second = (
            {record.unit.seed: record.metrics[self.metric] for record in group.records} for group in (self.a, self.b)
        )
        return first, second


Heads = dict[str, Callable[[Line], str]]


def compared_table(a: Side, b: Side, lines: Sequence[Line], notes: Sequence[str], draws: int) -> Table:
    """Return the table of a comparison: one row a line, and the mean over data sets of each part of `_parts`.

    Args:
        a: The one side.
        b: The other.
        lines: What was compared; at least one.
        notes: What to say of the rest.
        draws: Bootstrap draws and permutations.
    """
    heads = _heads(lines)
    parts = _parts(lines)
    tests, said = _signed_ranks(parts)
    rows = [Row(tuple(shown(line) for shown in heads.values()), _cells(line), _about(line)) for line in lines]
    rows += [_mean(heads, x, test) for x, test in zip(parts, tests, strict=True) if len(x) > 1 and _one_way(x)]
    names = list(dict.fromkeys(line.metric for line in lines))
    metric = names[0] if len(names) == 1 else ""
    who = [
        " · ".join(filter(None, (side.model, _shared(line.protocols[i] for line in lines))))
        for i, side in enumerate((a, b))
    ]
    return Table(
        name="compare",
        title=f"A = {who[0]} against B = {who[1]}: test split, mean ± sample standard deviation over seeds"
        + (f", by {metric}" if metric else "")
        + ("" if "settings" in heads else f" ({lines[0].a.settings})"),
        heads=tuple(heads),
        columns=tuple(Column(name, title, metric, "") for name, title in TITLES.items()),
        rows=tuple(rows),
        notes=(*said, _which_p(lines), _legend(lines, draws), *_notes(lines), *dict.fromkeys(notes)),
        intervals=True,
    )


def _parts(lines: Sequence[Line]) -> list[list[Line]]:
    """Return what means and signed-rank tests are over: the lines of each protocol and metric, no data set twice.

    Where a data set has several lines of a protocol, they differ in settings, and each settings are a part of their
    own. Parts of one data set among several parts have no mean, and are left out.
    """
    found: list[list[Line]] = []
    for key in dict.fromkeys((line.protocols, line.asked) for line in lines):
        part = [line for line in lines if (line.protocols, line.asked) == key]
        if len({line.dataset for line in part}) == len(part):
            found.append(part)
        else:
            found += [[x for x in part if _settings(x) == own] for own in dict.fromkeys(map(_settings, part))]
    return [part for part in found if len(part) > 1 or len(found) == 1]


def _settings(line: Line) -> str:
    return _either(line.a.settings, line.b.settings)


def _name(part: Sequence[Line]) -> str:
    """Return what tells a part from others: protocols, metric, and settings where all its lines share them."""
    return " · ".join(filter(None, (_either(*part[0].protocols), part[0].asked, _shared(map(_settings, part)))))


def _shared(texts: Iterable[str]) -> str:
    """Return the one text that all are; empty: they differ."""
    found = set(texts)
    return found.pop() if len(found) == 1 else ""


def _either(one: str, two: str) -> str:
    return one if one == two else f"{one} | {two}"


def _heads(lines: Sequence[Line]) -> Heads:
    """Return title -> text of the head columns; what is the same in all rows has none."""
    heads: Heads = {"data set": lambda line: line.dataset}
    optional: Heads = {
        "protocol": lambda line: _either(*line.protocols),
        "settings": _settings,
        "metric": lambda line: line.metric,
    }
    for title, shown in optional.items():
        texts = {shown(line) for line in lines}
        if len(texts) > 1 or (title == "settings" and " | " in next(iter(texts))):
            heads[title] = shown
    heads["test"] = lambda line: f"{line.images}" + (f" ({line.patients})" if line.patients else "")
    heads["seeds"] = lambda line: _either(str(line.a.n), str(line.b.n))
    return heads


def _cells(line: Line) -> tuple[Cell, ...]:
    return (
        _level(line.a, line.values[0]),
        _level(line.b, line.values[1]),
        Cell(_known(line.difference), low=_known(line.low), high=_known(line.high), form="difference"),
        *(Cell(_known(p), form="p") for p in (line.p, line.p_holm, line.permutation)),
        Cell(_known(line.detectable), form="number"),
    )


def _level(group: Group, values: dict[int, float | None]) -> Cell:
    mean, std, n = stats.summary(values.values())
    random = group.first.unit.weights == "random"
    marks = (RANDOM_MARK, random), (SEEN_MARK, group.contaminated), (FLAW_MARK, group.flawed)
    mark = "".join(sign for sign, holds in marks if holds and mean is not None)
    return Cell(mean, std, n, show_n=n != group.n, mark=mark, form="spread")


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _about(line: Line) -> dict[str, Any]:
    about: dict[str, Any] = {
        "dataset": line.dataset,
        "metric": line.metric,
        "images": line.images,
        "patients": line.patients,
    }
    for i, (name, group) in enumerate((("a", line.a), ("b", line.b))):
        about |= {
            f"model_{name}": group.first.unit.model,
            f"protocol_{name}": group.first.unit.protocol,
            f"preset_{name}": group.first.unit.preset,
            f"options_{name}": group.options,
            f"weights_{name}": group.weights,
            f"seeds_{name}": line.seeds[i],
            f"group_{name}": group.first.group[:12],
        }
    return about | {"se": _known(line.se), "toy": line.a.first.unit.toy}


def _one_way(lines: Sequence[Line]) -> bool:
    """Tell whether a positive difference speaks for the same side in all lines."""
    return len({higher_is_better(line.metric) for line in lines}) == 1


def _mean(heads: Heads, lines: Sequence[Line], test: dict[str, float]) -> Row:
    """Return the unweighted mean over the data sets of one part."""
    name = f"mean of {len(lines)}"
    shown = {"data set": name, "protocol": _either(*lines[0].protocols), "settings": _shared(map(_settings, lines))}
    shown |= {"metric": lines[0].asked}
    columns = zip(*([cell.value for cell in _cells(line)[:3]] for line in lines), strict=True)
    forms: tuple[Form, ...] = ("spread", "spread", "difference", "p", "p", "p", "number")
    means = [None if None in values else float(np.mean(values)) for values in columns]
    cells = [Cell(value, form=form) for value, form in zip([*means, *[None] * 4], forms, strict=True)]
    about = {"dataset": name, **{f"protocol_{x}": y for x, y in zip("ab", lines[0].protocols, strict=True)}}
    return Row(tuple(shown.get(title, "") for title in heads), tuple(cells), about | test)


def _signed_ranks(parts: Sequence[Sequence[Line]]) -> tuple[list[dict[str, float]], list[str]]:
    """Return, of each part, the signed-rank test over its (data set, seed) pairs, and what to say of it."""
    found: list[tuple[str, int, stats.Wilcoxon | None]] = []
    for part in parts:
        differences = [value for line in part for value in line.differences()]
        test = None
        with contextlib.suppress(MedbenchError):  # too few pairs differ
            test = stats.wilcoxon(differences) if _one_way(part) else None
        found.append((_name(part), len(differences), test))
    adjusted = stats.holm(math.nan if test is None else test.p for _, _, test in found).tolist()
    tests: list[dict[str, float]] = []
    notes = []
    for part, (protocol, pairs, test), p in zip(parts, found, adjusted, strict=True):
        of = f", {protocol}" if len(parts) > 1 else ""
        what = f"Wilcoxon signed-rank test over {pairs} (data set, seed) pair{'s' * (pairs != 1)}{of}"
        if test is None:
            tests.append({})
            few = f"with fewer than {FEWEST} pairs that differ, p cannot reach 0.05"
            notes.append(
                f"{what}: not made, because {few if _one_way(part) else 'lower is better in only some of them'}"
            )
            continue
        tests.append({f"wilcoxon_{name}": value for name, value in (vars(test) | {"p_holm": p}).items()})
        holm = f" (after Holm over these tests: {p_value(p)})" if len(parts) > 1 else ""
        dropped = f", {test.zeros} without a difference dropped" if test.zeros else ""
        notes.append(
            f"{what}: p {p_value(test.p)}{holm}, statistic {test.statistic:g}{dropped}; pairs of one data set share "
            f"its test images, so with few data sets p is too small"
        )
    return tests, notes


def _which_p(lines: Sequence[Line]) -> str:
    """Return which of the p to cite."""
    own = f"p (Holm), which corrects for the {len(lines)} tested rows," if len(lines) > 1 else "p"
    return f"cite {own} with the interval; p (permutation) is a check that treats the training seeds as fixed"


def _legend(lines: Sequence[Line], draws: int) -> str:
    return (
        "test: number of images (and of patients, if known); p: paired bootstrap over test patients (images if "
        f"patients are unknown) and seeds, like the interval; p (Holm): adjusted over {len(lines)} "
        f"row{'s' * (len(lines) > 1)}; p (permutation): A and B swapped at random for each patient; {draws} draws "
        f"each; detectable: the smallest true difference that would be found in about 80 % of test splits at the 5 % "
        f"level"
    )


def _notes(lines: Sequence[Line]) -> list[str]:
    """Return what a reader must know of the rows before reading the differences."""
    cases = {
        "lower is better, so a negative difference favours A": [
            line.metric for line in lines if higher_is_better(line.metric) is False
        ],
        "A and B were trained on different splits of the data": [
            line.dataset for line in lines if _splits_differ(line)
        ],
        "A and B have different seeds, which are therefore drawn independently": [
            line.dataset for line in lines if line.seeds[0] != line.seeds[1]
        ],
        "toy data: generated images that say nothing about medicine": [
            line.dataset for line in lines if line.a.first.unit.toy
        ],
    }
    notes = [f"{', '.join(dict.fromkeys(names))}: {text}" for text, names in cases.items() if names]
    measured = [line.metric for line in lines if line.on_demand is not None]
    if measured:
        notes.append(
            f"{', '.join(dict.fromkeys(measured))}: no p (permutation), because each run has its own thresholds"
        )
    notes += [HELD] * any(measure(name).on_validation for name in measured)
    marks = "".join(cell.mark for line in lines for cell in _cells(line))
    notes += [SANITY] if RANDOM_MARK in marks else []
    return notes + ([SEEN] if SEEN_MARK in marks else []) + ([FLAW] if FLAW_MARK in marks else [])


def _splits_differ(line: Line) -> bool:
    one, two = ((group.split, str(group.first.material.get("split", ""))) for group in (line.a, line.b))
    return one != two
