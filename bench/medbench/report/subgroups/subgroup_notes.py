"""What the notes of a table of subgroups say: which p to cite, what was left out, and what the gap is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from medbench.metrics.measures import biased, higher_is_better
from medbench.records.groups import title
from medbench.report.measured import task_of
from medbench.report.subgroups.by import By
from medbench.report.subgroups.numbers import Curves
from medbench.report.subgroups.part import Part
from medbench.report.tables.choose import HELD
from medbench.stats.subgroups import in_several

BEST_MARK, WORST_MARK = "▲", "▼"


def notes_of(parts: Sequence[Part], names: Sequence[str], by: By) -> list[str]:
    """Return the notes of a table of subgroups.

    Args:
        parts: What it shows.
        names: The metrics.
        by: What makes the groups.
    """
    tests = sum(one.p == one.p for part in parts for one in part.metrics.values())
    notes = [
        f"gap: difference of the best group ({BEST_MARK}) and the worst ({WORST_MARK}), with its interval; p: "
        f"permutation test of whether groups differ beyond their class proportions; patients (images if patients are "
        f"unknown) are permuted between groups within their class"
    ]
    if tests > 1:
        notes.append(
            f"cite p (Holm): it is adjusted for the {tests} tests of this table; use p only for a single test that "
            f"was chosen before seeing the results"
        )
    shown = [one for part in parts for one in part.metrics.values() if one.gap is not None]
    if any(sum(number.value is not None for number in one.numbers) > 2 for one in shown):
        notes.append(
            "the interval of a gap among three groups or more contains the true gap in at least 95 % of test splits"
        )
    if parts and task_of(parts[0].group) in ("multiclass", "ordinal"):
        notes.append(f"classes: shares of {', '.join(parts[0].group.first.n['test'].classes)}, in this order")
    if any(higher_is_better(name) is None for name in names):
        notes.append(f"of metrics without a better direction, {BEST_MARK} is the highest and {WORST_MARK} the lowest")
    return [*notes, *_left_out(parts, by), *_fixed(parts, names)]


def _left_out(parts: Sequence[Part], by: By) -> Iterator[str]:
    """Yield what was left out of parts of the table, with the runs that it is said of unless these are all."""
    said: dict[str, list[str]] = {}
    for part in parts:
        for line in _about(part, by):
            said.setdefault(line, []).append(title(part.group))
    runs = {title(part.group) for part in parts}
    for line, titles in said.items():
        yield line if len(titles) == len(runs) else f"{'; '.join(titles)}: {line}"


def _about(part: Part, by: By) -> Iterator[str]:
    """Yield what was left out of one part of the table."""
    members, loaded = part.members, part.loaded
    unit = "images" if loaded.groups is None else "patients"
    small = [name for g, name in enumerate(members.names) if g not in part.measured]
    if small:
        (
            yield f"{members.by}: fewer than {by.fewest} {unit} in {'; '.join(small)}: only counts are shown, and the "
            f"groups are not compared"
        )
    if (members.member < 0).any():
        yield f"{members.by}: images without a value in the labels are not compared"
    if loaded.groups is not None and (several := in_several(members.member, loaded.groups)):
        (
            yield f"{members.by}: {several} patients have images in several groups; the test permutes these within the "
            f"patient"
        )
    classes = list(part.group.first.n["test"].classes)
    for metric, one in part.metrics.items():
        where = f"{metric} by {members.by}"
        if one.left_out and one.gap is not None:
            (
                yield f"{where}: the mean is computed without {', '.join(classes[i] for i in one.left_out)}, which a "
                f"group lacks"
            )
        if one.unequal:
            (
                yield f"{where}: no gap, because the groups have different classes, so their means are over different "
                f"classes"
            )
        undefined = [
            name for g, name in enumerate(members.names) if g in part.measured and one.numbers[g].value is None
        ]
        if undefined:
            yield f"{where}: undefined in {'; '.join(undefined)}, as where all images have one class"


def _fixed(parts: Sequence[Part], names: Sequence[str]) -> Iterator[str]:
    """Yield why numbers are missing, what is the same for all groups, and which gaps have no interval."""
    held = False
    uneven: dict[str, None] = {}
    why: dict[tuple[str, str], dict[str, None]] = {}
    for part in parts:
        for metric in names:
            if reason := part.lacking(metric):
                why.setdefault((metric, reason), {})[title(part.group)] = None
        for metric in part.metrics:
            curves = Curves(part.loaded, metric)
            held |= curves.on_demand is not None and curves.on_demand.on_validation
            uneven |= {metric: None} if biased(metric) else {}
    for (metric, reason), titles in why.items():
        yield f"{metric}: no number for {'; '.join(titles)}: {reason}"
    if held:
        yield f"{HELD}; all groups of a run have the same"
    if uneven:
        yield (
            f"{', '.join(uneven)}: noise alone makes these higher in small groups, so the gap has no interval; the "
            "test is valid, because groups keep their sizes"
        )
