"""Two rows compared over data sets and seeds, on the same test images, from stored predictions alone."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from medbench import stats
from medbench.errors import CardError, MedbenchError, unknown
from medbench.metrics import METRICS
from medbench.metrics.measures import Measure, measure, spellings
from medbench.records.groups import Group, collect
from medbench.records.store import gc_paused, places, records_of
from medbench.report import cache
from medbench.report.comparison import selectors
from medbench.report.comparison.comparison_table import Line, SeedValues, compared_table
from medbench.report.comparison.on_demand import measured_difference
from medbench.report.comparison.selectors import Side
from medbench.report.inference import Predicted, predicted
from medbench.report.measured import lacking, task_of
from medbench.report.tables.marks import stored
from medbench.report.tables.table import Table
from medbench.stats.bootstrap import DRAWS
from medbench.storage import paths

NUMBERS = ("difference", "low", "high", "se", "freedom", "p", "permutation")
FEWEST, MOST = 100, 1_000_000
"""Draws below which an interval's ends are a matter of luck, and above which they cost memory and tell nothing new."""


@dataclass
class _Comparison:
    """One comparison in the making: what is asked for, and what is said of it."""

    a: Side
    b: Side
    metrics: tuple[str, ...]
    preset: str | None
    include_random: bool
    draws: int
    named: bool = False
    several: bool = False
    notes: dict[str, list[str]] = field(default_factory=dict)
    refused: dict[str, list[str]] = field(default_factory=dict)

    def note(self, where: str, *notes: str) -> None:
        """Say something of what is compared; of what is refused, the reason alone is said."""
        self.notes.setdefault(where, []).extend(notes)

    def refuse(self, why: str, where: str) -> None:
        self.refused.setdefault(why, []).append(where)


def compare(
    a: str,
    b: str,
    dataset: str | None = None,
    metric: str | None = None,
    preset: str | None = None,
    include_random: bool = False,
    draws: int = DRAWS,
    runs: Path | None = None,
) -> Table:
    """Return the comparison of two (model, protocol) rows, one row per data set (protocol, settings).

    Columns: mean ± std of both, their difference A - B with its 95 % interval, the p of the paired bootstrap, the same
    after Holm over all rows, that of the permutation test, and the minimal detectable difference. Seeds are paired
    where both sides have the same ones. Below: the mean over the data sets, with a signed-rank test over (data set,
    seed) pairs.

    Args:
        a: `MODEL`, `MODEL/PROTOCOL` or `MODEL/PROTOCOL/SETTINGS`; settings are a preset and `key=value` options, a
            comma between them. Without a protocol it is the other side's, or all that both were run with.
        b: The other side.
        dataset: Names or globs, a comma between them; None: all on which both were run.
        metric: A comma list of metrics, also of those that tables compute on demand (`sensitivity@specificity=0.9`);
            None: each data set's primary one.
        preset: What was run under this preset alone.
        include_random: Compare random weights too, marked.
        draws: Bootstrap draws and permutations.
        runs: The run store; None: `MEDBENCH_RUNS` or `results/runs`.

    Raises:
        CardError: A name is unknown among what was run.
        MedbenchError: There is nothing to compare, or both sides are the same.
    """
    asked = tuple(dict.fromkeys(word.strip().lower() for word in (metric or "").split(",") if word.strip()))
    for name in asked:
        if name not in METRICS:
            measure(name)
    if not FEWEST <= draws <= MOST:
        few = "few" if draws < FEWEST else "many"
        hint = f"{FEWEST} to {MOST:,}; the default is {DRAWS:,}"
        raise MedbenchError(f"--draws {draws}: too {few} for an interval", hint)
    store = paths.runs_dir(runs)
    ran = places(store)
    work = _Comparison(
        selectors.parse(a, ran), selectors.parse(b, ran), asked, preset, include_random, draws, dataset is not None
    )
    both = selectors.protocols(work.a, work.b, ran)
    if work.a.model == work.b.model and both[0][0] == both[0][1] and set(work.a.settings) == set(work.b.settings):
        raise MedbenchError(f"{a} and {b} are the same", "name another model, protocol or settings for one of them")
    work.several = len(both) > 1
    with gc_paused():
        sides = [(side.model, name) for pair in both for side, name in zip((work.a, work.b), pair, strict=True)]
        groups = {name: collect(records_of(store, name, sides)) for name in selectors.datasets(dataset, ran)}
    lines = _lines(work, groups, both)
    if not lines:
        why = "; ".join(_reasons(work)) or "they have no results on the chosen data sets"
        raise MedbenchError(f"nothing to compare between {a} and {b}", why)
    return compared_table(work.a, work.b, _with_holm(lines), [*_said(work), *_reasons(work)], draws)


def _with_holm(lines: Sequence[Line]) -> list[Line]:
    adjusted = stats.holm(line.p for line in lines).tolist()
    return [dataclasses.replace(line, p_holm=p) for line, p in zip(lines, adjusted, strict=True)]


def _said(work: _Comparison) -> list[str]:
    """Return the notes on what is compared."""
    refused = {where for places in work.refused.values() for where in places}
    return [f"{where}: {note}" for where, notes in work.notes.items() if where not in refused for note in notes]


def _reasons(work: _Comparison) -> list[str]:
    """Return one line per reason for which something is not compared."""
    return [f"not compared: {', '.join(dict.fromkeys(where))} ({why})" for why, where in work.refused.items()]


def _lines(work: _Comparison, groups: dict[str, list[Group]], both: Sequence[tuple[str, str]]) -> list[Line]:
    chosen = _chosen(work, groups, both)
    lines = []
    wanted = work.metrics or ("",)
    with cache.counted("comparing", len(chosen) * len(wanted)):
        for (where, a, b), name in itertools.product(chosen, wanted):
            found = _line(work, a, b, name)
            if isinstance(found, str):
                work.refuse(found, where)
            else:
                lines.append(found)
    return lines


def _chosen(
    work: _Comparison, groups: dict[str, list[Group]], both: Sequence[tuple[str, str]]
) -> list[tuple[str, Group, Group]]:
    """Return (name for notes, A, B) of what is to be compared."""
    everything = [group for found in groups.values() for group in found]
    presets = {group.first.unit.preset for group in everything}
    if work.preset is not None and work.preset not in presets:
        raise unknown("preset", work.preset, presets, selectors.WHERE)
    for i, side in enumerate((work.a, work.b)):
        selectors.check_settings([g for pair in both for g in selectors.meant(everything, side, pair[i])], side)
    found = []
    for dataset, there in groups.items():
        for pair in both:
            where = f"{dataset} · {pair[0]}" if work.several else dataset
            found += [(where, a, b) for a, b in _pairs(work, where, there, pair)]
    return found


def _pairs(work: _Comparison, where: str, groups: list[Group], pair: tuple[str, str]) -> list[tuple[Group, Group]]:
    """Return the groups to compare on one data set, having noted why others are not."""
    asked, real = [], []
    for side, protocol in zip((work.a, work.b), pair, strict=True):
        meant = selectors.having(selectors.meant(groups, side, protocol), side.settings)
        asked.append([g for g in meant if work.preset in (None, g.first.unit.preset)])
        real.append([g for g in asked[-1] if work.include_random or g.first.unit.weights != "random"])
    lacks = [name for name, found in zip("AB", asked, strict=True) if not found]
    if len(lacks) == 2:
        if work.named and not work.several:
            work.refuse("neither was run", where)
        return []
    if lacks:
        work.refuse(f"only {'B' if lacks == ['A'] else 'A'} was run", where)
        return []
    for name, found, kept_ in zip("AB", asked, real, strict=True):
        if not kept_:
            work.refuse(f"{name} was run only with random weights; to compare it: --random", where)
        elif len(kept_) < len(found):
            work.note(where, f"runs of {name} with random weights are not compared; to compare them: --random")
    if not all(real):
        return []
    chosen, notes = selectors.pairs(*real)
    work.note(where, *notes)
    if not chosen:
        work.refuse("A and B are the same records", where)
    return chosen


def _line(work: _Comparison, a: Group, b: Group, asked: str) -> Line | str:
    """Return the comparison of two groups in a metric (empty: the primary one), or why there is none."""
    if lacks := [name for name, group in (("A", a), ("B", b)) if not stored(group)]:
        return f"no stored predictions of {' and '.join(lacks)}"
    metric = _metric(a, b, asked)
    if metric is None:
        return f"{asked or a.first.metric} is not a metric of both A and B"
    if isinstance(metric, Measure) and (why := lacking(a, metric) or lacking(b, metric)):
        return f"{metric.id}: {why}"
    if a.content != b.content:
        return (
            f"different data with the same name: A {a.data}, B {b.data}; images, labels, patients or classes differ, "
            f"so run both on the same copy"
        )
    one, two = predicted(a), predicted(b)
    if one is None or two is None:
        side = "A" if one is None else "B"
        return f"the predictions of {side} are damaged, or its seeds were tested on different images"
    found = _aligned(one, two)
    if isinstance(found, str):
        return found
    numbers, values = _compared(a, b, one, found, metric, work.draws)
    if not numbers:
        return f"the validation predictions of A or B are damaged or missing, and {asked} needs them"
    patients = a.first.n["test"].groups if one.groups is None and "test" in a.first.n else None
    return Line(
        a,
        b,
        metric if isinstance(metric, str) else metric.id,
        images=len(one.ids),
        patients=patients if one.groups is None else len(set(one.groups.tolist())),
        detectable=stats.detectable(numbers["se"], freedom=numbers["freedom"]),
        asked=asked,
        on_demand=values,
        **{name: numbers[name] for name in NUMBERS if name != "freedom"},
    )


def _metric(a: Group, b: Group, asked: str) -> str | Measure | None:
    """Return the metric of the records of both, or one that is computed on demand; None: it is not for the task."""
    held = set.intersection(*({*r.metrics} for g in (a, b) for r in g.records)) & METRICS.keys()
    if not asked:
        return a.first.metric if a.first.metric in held else None
    if found := sorted(held & ({asked} if asked in held else spellings(asked))):
        return found[0]
    try:
        return measure(asked, task_of(a))
    except CardError:
        return None


def _compared(
    a: Group, b: Group, one: Predicted, two: Predicted, metric: str | Measure, draws: int
) -> tuple[cache.Numbers, SeedValues | None]:
    """Return the numbers of `NUMBERS`, and for a metric on demand its values of each seed of A and B."""
    if isinstance(metric, str):
        found = cache.cached_numbers(
            "comparison", NUMBERS, metric, draws, [a, b], lambda: _numbers(a, b, one, two, metric, draws)
        )
        return found, None
    names = [[f"{side} {i}" for i in range(group.n)] for side, group in (("a", a), ("b", b))]
    same = a.seeds == b.seeds
    found = cache.cached_numbers(
        "measured comparison",
        (*NUMBERS, *names[0], *names[1]),
        metric.id,
        draws,
        [a, b],
        lambda: measured_difference((a, b), one.ids, metric, draws, same_seeds=same),
    )
    if not found:
        return found, None
    first, second = (
        {seed: None if math.isnan(found[name]) else found[name] for seed, name in zip(group.seeds, own, strict=True)}
        for group, own in zip((a, b), names, strict=True)
    )
    return found, (first, second)


def _aligned(one: Predicted, two: Predicted) -> Predicted | str:
    """Return the predictions of B in the order of those of A, or why the two do not compare."""
    if set(one.ids) != set(two.ids):
        common = len(set(one.ids) & set(two.ids))
        return f"different test images: A {len(one.ids)}, B {len(two.ids)}, {common} in both"
    places = {name: i for i, name in enumerate(two.ids)}
    order = np.array([places[name] for name in one.ids])
    targets = two.targets[order]
    if one.scores.shape[2] != two.scores.shape[2] or not np.array_equal(one.targets, targets):
        return "the same test images have different labels"
    ranks = None if two.ranks is None else two.ranks[:, order]
    return dataclasses.replace(two, ids=one.ids, scores=two.scores[:, order], targets=targets, ranks=ranks)


def _numbers(a: Group, b: Group, one: Predicted, two: Predicted, metric: str, draws: int) -> cache.Numbers:
    """Return the numbers of `NUMBERS`: seeds are drawn together where both sides have the same ones."""
    truth, pair = (one.targets, one.groups), (one.of(metric), two.of(metric))
    same = a.seeds == b.seeds
    drawn = stats.paired(metric, *pair, *truth, draws=draws, same_seeds=same)
    found = drawn.interval()
    p = math.nan
    swapped = _swapped(a, b)
    if swapped is not None:
        first, second = (scores[seeds] for scores, seeds in zip(pair, swapped, strict=True))
        p = stats.permutation(metric, first, second, *truth, permutations=draws)
    freedom = min(drawn.shape.freedom, 1e9)  # JSON has no infinity
    return dict(zip(NUMBERS, (drawn.value, found.low, found.high, found.se, freedom, drawn.p(), p), strict=True))


def _swapped(a: Group, b: Group) -> tuple[list[int], list[int]] | None:
    """Return the places of the seeds whose predictions are swapped: all, or where their numbers differ the common."""
    one, two = a.seeds, b.seeds
    if len(one) == len(two) or 1 in (len(one), len(two)):
        return list(range(len(one))), list(range(len(two)))
    common = [seed for seed in one if seed in two]
    return ([one.index(seed) for seed in common], [two.index(seed) for seed in common]) if common else None
