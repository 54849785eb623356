"""Write records from a protocol's outcome. Test labels are read only here, once per unit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medbench import metrics
from medbench.cards.dataset import Task
from medbench.cards.model import seen
from medbench.data.checks.leaks import leaks_of
from medbench.data.dataset import Dataset
from medbench.protocols.context import Outcome
from medbench.records import Record, SplitCount, store
from medbench.records.groups import ABSENT, LACK, LEAK
from medbench.runs.inputs.features import JobInputs
from medbench.runs.inputs.several import CombinedInputs
from medbench.runs.jobs import Job
from medbench.runs.results.provenance import provenance
from medbench.runs.results.result_notes import notes_of
from medbench.storage.tensors import save_tensors

FLAWS = {
    "groups-across": LEAK,
    "duplicates-across": LEAK,
    "absent-train": LACK,
    "absent-val": ABSENT,
    "absent-test": ABSENT,
}
"""Kind of a finding about the split -> how a record's warning of it begins."""


def write_records(
    job: Job,
    inputs: JobInputs | CombinedInputs,
    outcomes: dict[int, Outcome],
    timings: dict[str, float],
    counts: dict[str, float],
    told: tuple[str, ...] = (),
    *,
    overwrite: bool,
) -> list[Record]:
    """Score each seed on validation and test and write its record; existing records stay unless `overwrite`."""
    dataset = inputs.dataset
    shared = {
        "group": job.group,
        "material": job.material,
        "n": {split: _count(dataset, split) for split in ("train", "val", "test")},
        "timings": {name: round(value, 3) for name, value in timings.items()},
        "provenance": provenance(job, inputs),
    }
    runs, common = job.options.runs, [*warnings_of(job, inputs), *told]
    records: list[Record] = []
    for unit, key in job.units:
        outcome, folder = outcomes.get(unit.seed), store.folder_of(runs, unit, key)
        if outcome is not None and outcome.failed:
            store.write_failure(runs, unit, key, outcome.failed)
            continue
        if outcome is not None and outcome.weights and unit.seed in job.keep:
            save_tensors(folder / store.WEIGHTS, outcome.weights)
        kept = store.read(folder) if store.is_done(runs, unit, key) and not overwrite else None
        if outcome is None or kept is not None:  # without an outcome, an earlier run finished it
            records += [kept] if kept is not None else []
            continue
        truth = dataset.targets("test")
        record = Record(
            key=key,
            unit=unit,
            chosen=outcome.chosen,
            selection=outcome.selection,
            warnings=[*common, *outcome.warnings, *notes_of(dataset, outcome, truth)],
            counts={name: round(value, 3) for name, value in {**counts, **outcome.counts}.items()},
            **_metrics(dataset, outcome, truth),
            **shared,
        )
        scored = [split for split in ("val", "test") if len(dataset.rows(split))]
        parts = [] if outcome.log_odds_test is None else [_predictions(dataset, split, outcome) for split in scored]
        frame = pd.concat(parts) if parts else None
        tables = {name: pd.DataFrame(dict(columns)) for name, columns in outcome.tables.items()}
        history = pd.DataFrame(dict(outcome.history))
        records.append(store.write(runs, record, frame, history, tables, outcome.arrays))
    return records


def _metrics(dataset: Dataset, outcome: Outcome, truth: NDArray[np.integer]) -> dict[str, Any]:
    """Return the record's metrics: computed from scores, or given by the protocol."""
    if outcome.log_odds_test is None or outcome.log_odds_val is None:
        return {"metric": next(iter(outcome.metrics)), "metrics": dict(outcome.metrics), "metrics_val": {}}
    card = dataset.card
    tested, absent = _computed(card.task, outcome.log_odds_test, truth)
    held = dataset.targets("val")
    validated = _computed(card.task, outcome.log_odds_val, held)[0] if len(held) else {}
    missing = {name: [card.class_names[i] for i in classes] for name, classes in absent.items() if classes}
    return {
        "metric": card.metric,
        "metrics": {**tested, **outcome.metrics},
        "metrics_val": validated,
        "spread": {name: _spread(card.metric, found, truth) for name, found in outcome.spread.items()},
        "absent": missing,
    }


def _computed(
    task: Task, log_odds: NDArray[np.float64], truth: NDArray[np.integer]
) -> tuple[dict[str, float | None], dict[str, list[int]]]:
    return metrics.compute(task, metrics.probabilities(log_odds), truth, log_odds)


def _spread(metric: str, log_odds: NDArray[np.float64], truth: NDArray[np.integer]) -> float | None:
    value = metrics.score(metric, metrics.scores_for(metric, log_odds), truth)
    return value if math.isfinite(value) else None


def warnings_of(job: Job, inputs: JobInputs | CombinedInputs) -> list[str]:
    """Return the warnings that do not depend on the outcome."""
    card, found = job.dataset.card, []
    if job.origin == "random":
        found.append("random weights: this is a sanity row, not a result")
    if job.dataset.toy:
        found.append("toy data: generated images that say nothing about medicine")
    for model in {model.name: model for model, _ in job.encoders}.values():
        if named := seen(model, card):
            found.append(f"contamination: {model.name} was pre-trained on {', '.join(named)}")
    if not card.verified:
        found.append(f"unverified data: the counts in card {card.name} have not been checked against the release")
    found += job.dataset.taken.doubts
    found += [FLAWS[leak.kind] + leak.text for leak in leaks_of(inputs.dataset) if leak.kind in FLAWS]
    for what, ids in (("unreadable", sorted(inputs.left_out)), ("missing", job.dataset.missing)):
        if ids:
            found.append(f"{len(ids)} {what} images were left out: {', '.join(ids[:5])}{' …' if len(ids) > 5 else ''}")
    return found


def _count(dataset: Dataset, split: str) -> SplitCount:
    targets = dataset.targets(split)
    per_class = targets.sum(axis=0) if dataset.multilabel else np.bincount(targets, minlength=dataset.n_classes)
    groups = dataset.samples["group"].to_numpy()[dataset.rows(split)]
    return SplitCount(
        images=len(targets),
        groups=len(set(groups)) if dataset.grouped else None,
        classes=dict(zip(dataset.card.class_names, (int(n) for n in per_class), strict=True)),
    )


def _predictions(dataset: Dataset, split: str, outcome: Outcome) -> pd.DataFrame:
    """Return a split's predictions: the classes' probabilities, and their log-odds, which do not round to 0 or 1."""
    rows = dataset.rows(split)
    log_odds = outcome.log_odds_val if split == "val" else outcome.log_odds_test
    assert log_odds is not None
    columns = [name for name in dataset.samples.columns if name == "target" or name.startswith("target_")]
    frame = dataset.samples.loc[rows, ["id", "group", "split", *columns]].reset_index(drop=True)
    for i, name in enumerate(dataset.card.class_names):
        frame[f"score_{name}"] = metrics.probabilities(log_odds[:, i])
    for i, name in enumerate(dataset.card.class_names):
        frame[f"log_odds_{name}"] = log_odds[:, i]
    return frame
