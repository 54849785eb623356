"""Write records from a protocol's outcome. Test labels are read only here, once per unit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medbench import metrics
from medbench.cards.dataset import SUBGROUP, Task
from medbench.data.dataset import Dataset
from medbench.protocols.context import Outcome
from medbench.records import Record, Unit, store
from medbench.runs.inputs.features import JobInputs
from medbench.runs.inputs.several import CombinedInputs
from medbench.runs.jobs import Job
from medbench.runs.results.chosen_on_validation import chosen_on_validation
from medbench.runs.results.made_model import keep_weights
from medbench.runs.results.model_card import write_model_card
from medbench.runs.results.parts import Part, parts_of
from medbench.runs.results.result_notes import notes_of


def write_records(
    job: Job,
    inputs: JobInputs | CombinedInputs,
    outcomes: dict[int, Outcome],
    timings: dict[str, float],
    counts: dict[str, float],
    *,
    overwrite: bool,
) -> list[Record]:
    """Score each seed on validation and test and write its record; existing records stay unless `overwrite`.

    A job that is tested on further data sets has one more record for each set and seed.
    """
    spent = {name: round(value, 3) for name, value in timings.items()}
    records: list[Record] = []
    for part in parts_of(job, inputs):
        for unit, key in part.units:
            outcome = outcomes.get(unit.seed)
            if outcome is not None and outcome.failed:
                store.write_failure(job.options.runs, unit, key, outcome.failed)
                continue
            record = _kept(job, part, unit, key, outcome, overwrite=overwrite)
            if record is None and outcome is not None:
                record = _write(job, part, (unit, key), part.of(outcome), spent, counts)
            records += [] if record is None else [record]
    return records


def _kept(job: Job, part: Part, unit: Unit, key: str, outcome: Outcome | None, *, overwrite: bool) -> Record | None:
    """Return the record of an earlier run that stays; the weights of this one are kept next to it, where asked for."""
    runs = job.options.runs
    folder = store.folder_of(runs, unit, key)
    keeps = _keeps(job, part, unit, outcome)
    if outcome is not None and keeps:
        keep_weights(job, outcome, folder)
    record = store.read(folder) if store.is_done(runs, unit, key) and not overwrite else None
    if record is not None and keeps:
        write_model_card(job, record, folder)
    return record


def _keeps(job: Job, part: Part, unit: Unit, outcome: Outcome | None) -> bool:
    return outcome is not None and bool(outcome.weights) and unit.seed in job.keep and part.shift is None


def _write(
    job: Job, part: Part, unit: tuple[Unit, str], outcome: Outcome, timings: dict[str, float], counts: dict[str, float]
) -> Record:
    dataset, truth = part.dataset, part.dataset.targets("test")
    record = Record(
        key=unit[1],
        unit=unit[0],
        chosen=outcome.chosen,
        selection=outcome.selection,
        warnings=[*part.warnings, *outcome.warnings, *notes_of(dataset, outcome, truth)],
        counts={name: round(value, 3) for name, value in {**counts, **outcome.counts}.items()},
        timings=timings,
        **_metrics(dataset, outcome, truth),
        **part.shared,
    )
    if _keeps(job, part, record.unit, outcome):
        write_model_card(job, record, store.folder_of(job.options.runs, *unit))
    kept = ("val", "test") if part.shift is None else ("test",)  # elsewhere validation is that of the own record
    held = [split for split in kept if len(dataset.rows(split))]
    parts = [] if outcome.log_odds_test is None else [_predictions(dataset, split, outcome) for split in held]
    frame = pd.concat(parts) if parts else None
    tables = {name: pd.DataFrame(dict(columns)) for name, columns in outcome.tables.items()}
    history = pd.DataFrame(dict(outcome.history))
    return store.write(job.options.runs, record, frame, history, tables, outcome.arrays)


def _metrics(dataset: Dataset, outcome: Outcome, truth: NDArray[np.integer]) -> dict[str, Any]:
    """Return the record's metrics: computed from scores, or given by the protocol."""
    if outcome.log_odds_test is None or outcome.log_odds_val is None:
        return {"metric": next(iter(outcome.metrics)), "metrics": dict(outcome.metrics), "metrics_val": {}}
    card = dataset.card
    tested, absent = _computed(card.task, outcome.log_odds_test, truth)
    held = dataset.targets("val")
    validated = _computed(card.task, outcome.log_odds_val, held)[0] if len(held) else {}
    further = {name: _value(metric, scores, truth) for name, (metric, scores) in outcome.further.items()}
    missing = {name: [card.class_names[i] for i in classes] for name, classes in absent.items() if classes}
    return {
        "metric": card.metric,
        "metrics": {**tested, **outcome.metrics, **further},
        "metrics_val": validated,
        "spread": {name: _value(card.metric, found, truth) for name, found in outcome.spread.items()},
        "absent": missing,
        **chosen_on_validation(card, outcome.log_odds_test, truth, outcome.log_odds_val, held),
    }


def _computed(
    task: Task, log_odds: NDArray[np.float64], truth: NDArray[np.integer]
) -> tuple[dict[str, float | None], dict[str, list[int]]]:
    return metrics.compute(task, metrics.probabilities(log_odds), truth, log_odds)


def _value(metric: str, log_odds: NDArray[np.float64], truth: NDArray[np.integer]) -> float | None:
    value = metrics.score(metric, metrics.scores_for(metric, log_odds), truth)
    return value if math.isfinite(value) else None


def _predictions(dataset: Dataset, split: str, outcome: Outcome) -> pd.DataFrame:
    """Return a split's predictions: the classes' probabilities, and their log-odds, which do not round to 0 or 1.

    The texts of the card's subgroups go with them, so that tables by subgroup need no data.
    """
    rows = dataset.rows(split)
    log_odds = outcome.log_odds_val if split == "val" else outcome.log_odds_test
    assert log_odds is not None
    columns = [name for name in dataset.samples.columns if name == "target" or name.startswith(("target_", SUBGROUP))]
    frame = dataset.samples.loc[rows, ["id", "group", "split", *columns]].reset_index(drop=True)
    for i, name in enumerate(dataset.card.class_names):
        frame[f"score_{name}"] = metrics.probabilities(log_odds[:, i])
    for i, name in enumerate(dataset.card.class_names):
        frame[f"log_odds_{name}"] = log_odds[:, i]
    return frame
