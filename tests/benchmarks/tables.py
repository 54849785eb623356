"""Ten thousand SYNTHETIC records to a table, command line and all; and how much of it is reading."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.commands import wall
from benchmarks.row import Row, by_turns
from medbench.metrics import ids_for
from medbench.records import Record, SplitCount, Unit, store
from medbench.records.store import records_of
from medbench.storage import files

RECORDS, SEEDS = 10_000, 5
LIMIT = 1.2
PAPERS = ("dino", "imagenet", "resnet152", "sam", "seem", "openclip", "dinov2", "blip")
DATASETS = ("aptos", "ddsm", "isic2019", "chexpert")


def run(folder: Path, device: str) -> list[Row]:
    wide, paper = folder / "wide", folder / "paper"
    groups = RECORDS // SEEDS
    write(wide, [(f"model{i}", "linear-frozen", "aptos", {}) for i in range(groups)])
    places = [
        (PAPERS[i % 8], "linear-frozen", DATASETS[i // 8 % 4], {"trial": i // 32} if i >= 32 else {})
        for i in range(groups)
    ]
    write(paper, places)
    rows = []
    for name, runs, what in (
        ("dataset/aptos", wide, f"{groups:,} rows"),
        ("wacv2024/table1", paper, "8 models on 4 data sets, settings beside the paper's"),
    ):
        words = ["table", name, "--runs", str(runs), "--format", "csv"]
        seconds = wall(words, rounds=3)
        rows.append(
            Row(
                f"table {name} of {RECORDS:,} records ({what})",
                f"{seconds:.2f} s",
                "best of 3",
                None,
                f"≤ {LIMIT:g} s",
                seconds <= LIMIT,
            )
        )
    ours, plain = by_turns(lambda: records_of(wide, "aptos"), lambda: list(store.read_all(wide, "aptos")), rounds=2)
    rows.append(
        Row(
            f"reading {RECORDS:,} records",
            f"{ours:.2f} s",
            f"{plain:.2f} s with the collector on",
            ours / plain,
            "≤ 0.8",
            ours <= 0.8 * plain,
        )
    )
    return rows


def write(runs: Path, places: list[tuple[str, str, str, dict]]) -> None:
    """Write synthetic records of the size that a grid of four rates over a hundred epochs leaves (15 KB)."""
    for i, (model, protocol, dataset, options) in enumerate(places):
        text = json.dumps(json.loads(record(i, model, protocol, dataset, options).model_dump_json()), indent=1)
        for seed in range(SEEDS):
            key = files.digest([i, seed])
            own = text.replace('"seed": 0', f'"seed": {seed}').replace('"key": "made"', f'"key": "{key}"')
            unit = Unit(model=model, protocol=protocol, dataset=dataset, seed=seed, preset="paper")
            place = store.folder_of(runs, unit, key) / store.RECORD
            place.parent.mkdir(parents=True)
            place.write_text(own, encoding="utf-8")


def record(i: int, model: str, protocol: str, dataset: str, options: dict) -> Record:
    curve = [0.5 + 0.4 * epoch / 100 + i * 1e-6 for epoch in range(100)]
    candidates = [{"learning_rate": 10.0**-k, "mean": curve[-1], "curve": curve} for k in range(4)]
    values = dict.fromkeys(ids_for("ordinal"), 0.5 + i * 37 % 1000 / 2500)
    count = SplitCount(images=549, classes=dict.fromkeys(("none", "mild", "moderate", "severe", "proliferative"), 100))
    return Record(
        key="made",
        group=files.digest([i]),
        unit=Unit(model=model, protocol=protocol, dataset=dataset, seed=0, preset="paper", options=options),
        material={
            "synthetic": True,
            "model": {"arch": model},
            "protocol": {"views": 100, "epochs": 100, "n": list(range(40))},
        },
        metric="kappa_quadratic",
        metrics={**values, "auroc": 0.8},
        metrics_val=values,
        n=dict.fromkeys(("train", "val", "test"), count),
        selection={"candidates": candidates},
        provenance={"synthetic": True, "libraries": {f"lib{k}": "1.0" for k in range(9)}},
    )
