"""SYNTHETIC records: made-up numbers that no model was run for."""

from __future__ import annotations

import json
from pathlib import Path

from medbench.records import Record, SplitCount, Unit
from medbench.records.store import folder_of
from medbench.storage import files


def synthetic(
    model="dinov2", protocol="linear-frozen", dataset="aptos", seeds=(0, 1, 2, 3, 4), *, values=None, **changes
):
    """Records of one group; `values` is metric -> one number per seed (default: around 0.8, told apart by the seed)."""
    values = values or {"kappa_quadratic": [0.80 + 0.01 * s for s in seeds], "log_loss": [0.5 + 0.1 * s for s in seeds]}
    unit = {"preset": "paper", "options": {}, "weights": "official", "toy": False} | {
        k: changes.pop(k) for k in ("preset", "options", "weights", "toy") if k in changes
    }
    material = {"model": {"arch": model}, "weights": "0" * 64, "synthetic": True, "unit": unit, "seeds": list(seeds)}
    material |= changes.pop("material", {})
    shared = {
        "metric": next(iter(values)),
        "n": {"test": SplitCount(images=changes.pop("images", 549), classes={"No DR": 300, "Mild": 249})},
        "group": files.digest([model, protocol, dataset, material]),
        "provenance": {"synthetic": True, "data": {"split": changes.pop("split", "paper")}},
    } | changes
    return [
        Record(
            key=files.digest([model, protocol, dataset, material, seed]),
            unit=Unit(model=model, protocol=protocol, dataset=dataset, seed=seed, **unit),
            material=material,
            metrics={name: row[i] for name, row in values.items()},
            metrics_val={},
            **shared,
        )
        for i, seed in enumerate(seeds)
    ]


def save(runs: Path, records: list[Record]) -> None:
    """Put records where the run store has them (without predictions, which no table reads)."""
    for record in records:
        files.write_json(folder_of(runs, record.unit, record.key) / "record.json", json.loads(record.model_dump_json()))
