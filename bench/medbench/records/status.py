"""Which units of a run store are done, failed and planned."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from medbench.records import pending, store
from medbench.stats import summary


def statuses(runs: Path) -> list[dict[str, Any]]:
    """Return one mapping per (data set, model, protocol, preset, weights) in the run store.

    Keys: these five; `done`, `failed` and `planned` (numbers of units; planned ones belong to running or interrupted
    runs); `begun` (planned units with saved progress, from which they resume); `seeds` (the finished ones); `metric`
    and the `mean` of its defined values over the finished seeds; `seen` (contamination: whether the model's
    pre-training has seen the data); and `failures` (seed, error, folder).
    """
    done: dict[tuple[str, ...], list[Any]] = defaultdict(list)
    failed: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for record in store.read_all(runs):
        done[_place(record.unit)].append(record)
    for folder, unit, error in store.failures(runs):
        failed[_place(unit)].append({"seed": unit.seed, "error": error, "folder": str(folder)})
    left: dict[tuple[str, ...], list[bool]] = defaultdict(list)
    for unit, begun in pending.left(runs):
        left[_place(unit)].append(begun)
    return [_row(place, done[place], failed[place], left[place]) for place in sorted({*done, *failed, *left})]


def _place(unit: Any) -> tuple[str, ...]:
    return (unit.dataset, unit.model, unit.protocol, unit.preset, unit.weights)


def _row(
    place: tuple[str, ...], records: list[Any], failures: list[dict[str, Any]], left: list[bool]
) -> dict[str, Any]:
    mean, _, _ = summary(record.score for record in records)
    return {
        **dict(zip(("dataset", "model", "protocol", "preset", "weights"), place, strict=True)),
        "done": len(records),
        "failed": len(failures),
        "planned": len(left),
        "begun": sum(left),
        "seeds": sorted({record.unit.seed for record in records}),
        "metric": records[0].metric if records else None,
        "mean": mean,
        "seen": any(text.startswith("contamination:") for record in records for text in record.warnings),
        "failures": failures,
    }
