"""Which units of a run store are done, failed and planned."""

from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from medbench.records import pending, store
from medbench.records.groups import Group, collect, rank_of, spelt
from medbench.records.schema import Unit

Place = tuple[str, ...]
NAMES = ("dataset", "model", "protocol", "preset", "options", "weights")


def statuses(runs: Path) -> list[dict[str, Any]]:
    """Return one mapping per row of a table in the run store: records that differ in nothing but their seed.

    Keys: `dataset`, `model`, `protocol`, `preset`, `options` (changed settings), `settings` (these two), `weights`;
    `split`, `data` and `group` (the beginnings of digests) and `precision`, None where nothing is done; `done`,
    `failed` and `planned` (numbers of units; planned ones belong to running or interrupted runs); `begun` (planned
    units with saved progress, from which they resume); `seeds` (the finished ones); `metric` and the `mean` of its
    defined values over these seeds; `seen` (contamination: whether the model's pre-training has seen the data); and
    `failures` (seed, error, folder). Units that failed or are planned stand in the row of their settings with the most
    seeds, then the newest.
    """
    with store.gc_paused():
        return _rows(runs)


def _rows(runs: Path) -> list[dict[str, Any]]:
    done: dict[Place, list[Group]] = defaultdict(list)
    failed: dict[Place, list[dict[str, Any]]] = defaultdict(list)
    for group in collect(store.read_all(runs, selection=False)):
        done[_place(group.first.unit)].append(group)
    for folder, unit, error in store.failures(runs):
        failed[_place(unit)].append({"seed": unit.seed, "error": error, "folder": str(folder)})
    left: dict[Place, Counter[bool]] = defaultdict(Counter)
    for job, begun in pending.left(runs):
        left[_place(job.unit)][begun] += len(job.seeds)
    rows = []
    for place in sorted({*done, *failed, *left}, key=_natural):
        groups: list[Group | None] = [*sorted(done[place], key=rank_of, reverse=True)]
        rows.append(_row(place, groups[0] if groups else None, failed[place], left[place]))
        rows += [_row(place, group, [], Counter()) for group in groups[1:]]
    return rows


def _natural(place: Place) -> list[list[str | int]]:
    """Return a sort key that puts 2 shots before 10: numbers in the texts are compared as numbers."""
    return [_words(part) for part in place]


@functools.lru_cache(4096)  # most rows share most of their parts
def _words(part: str) -> list[str | int]:
    return [int(word) if i % 2 else word for i, word in enumerate(re.split(r"(\d+)", part))]


def _place(unit: Unit) -> Place:
    return unit.dataset, unit.model, unit.protocol, unit.preset, spelt(unit.options), unit.weights


def _row(place: Place, group: Group | None, failures: list[dict[str, Any]], left: Counter[bool]) -> dict[str, Any]:
    records = group.records if group else ()
    metric = group.first.metric if group else None
    row: dict[str, Any] = dict(zip(NAMES, place, strict=True))
    return {
        **row,
        "settings": "; ".join(filter(None, (row["preset"], row["options"]))),
        "split": group.split if group else None,
        "data": group.data if group else None,
        "group": group.first.group[:12] if group else None,
        "precision": group.first.material.get("precision") if group else None,
        "done": len(records),
        "failed": len(failures),
        "planned": left.total(),
        "begun": left[True],
        "seeds": [record.unit.seed for record in records],
        "metric": metric,
        "mean": group.summary(metric)[0] if group and metric else None,
        "seen": bool(group and group.contaminated),
        "failures": failures,
    }
