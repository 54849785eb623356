"""The test sets of a job: its own, and those of `--test-on` and `--corrupt`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medbench import metrics
from medbench.cards.model import seen
from medbench.data.checks.leaks import leaks_of
from medbench.data.dataset import Dataset
from medbench.data.shift import Shifted
from medbench.errors import few
from medbench.protocols.context import Outcome
from medbench.records import SplitCount, Unit
from medbench.records.groups import ABSENT, LACK, LEAK
from medbench.runs.inputs.features import JobInputs
from medbench.runs.inputs.several import CombinedInputs
from medbench.runs.jobs import Job
from medbench.runs.results.provenance import provenance

FLAWS = {
    "groups-across": LEAK,
    "duplicates-across": LEAK,
    "absent-train": LACK,
    "absent-val": ABSENT,
    "absent-test": ABSENT,
}
"""Kind of a finding about the split -> how a record's warning about it begins."""


@dataclass(frozen=True)
class Part:
    """One data set that a job is tested on.

    Attributes:
        dataset: The data set; its `test` is used.
        units: The units of the seeds, with their keys.
        shared: What the records of all seeds share.
        warnings: Those that do not depend on the outcome.
        rows: The place of its test images among all that the job scored; None: all of them.
        shift: The data set, where it is not the job's own.
    """

    dataset: Dataset
    units: list[tuple[Unit, str]]
    shared: dict[str, Any]
    warnings: list[str]
    rows: slice | None = None
    shift: Shifted | None = None

    def of(self, outcome: Outcome) -> Outcome:
        """Return the outcome on this data set."""
        if self.rows is None or outcome.log_odds_test is None:
            return outcome
        total = len(outcome.log_odds_test)
        whole = self.shift is None or len(self.shift.columns) == outcome.log_odds_test.shape[1]
        further = {name: one._replace(scores=one.scores[self.rows]) for name, one in outcome.further.items()}
        found = replace(
            outcome,
            log_odds_test=self._scored(outcome.log_odds_test),
            spread={name: self._scored(one) for name, one in outcome.spread.items()},
            further=further if whole else {},
            arrays={name: one[self.rows] if len(one) == total else one for name, one in outcome.arrays.items()},
        )
        if self.shift is None or found.log_odds_test is None:
            return found
        nothing = found.log_odds_val if self.shift.corruption else found.log_odds_test[:0]
        arrays = {name: one for name, one in found.arrays.items() if len(outcome.arrays[name]) == total}
        return replace(found, log_odds_val=nothing, arrays=arrays, history={}, tables={}, weights={})

    def _scored(self, log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log-odds of this set's images and classes."""
        found = log_odds[self.rows]
        if self.shift is None or len(self.shift.columns) == found.shape[1]:
            return found
        if self.dataset.multilabel:
            return found[:, list(self.shift.columns)]
        return metrics.among(found, self.shift.columns)


def parts_of(job: Job, inputs: JobInputs | CombinedInputs) -> Iterator[Part]:
    """Yield the job's own data set, then the others that it is tested on, with what their records share."""
    own = inputs.dataset
    n = {split: _count(own, split) for split in ("train", "val", "test")}
    source = provenance(job, inputs)
    common = warnings_of(job, inputs)
    shared = {"group": job.group, "material": job.material, "n": n, "provenance": source}
    end = len(own.rows("test"))
    planned, *planned_on = job.planned
    yield Part(own, planned.units(), shared, common, slice(0, end) if job.shifts else None)
    for shift, other, planned in zip(job.shifts, inputs.elsewhere, planned_on, strict=True):
        start, end = end, end + len(other.dataset.rows("test"))
        shared = {
            "group": job.group_on(shift),
            "material": {**job.material, "test_on": shift.material},
            "n": {**n, "test": _count(other.dataset, "test")},
            "provenance": {**source, "test_on": _described(job, shift, other)},
        }
        told = [text for text in common if not text.startswith(f"{ABSENT}test")]
        told += [text for text in _warnings_on(job, shift, other) if text not in told]
        yield Part(other.dataset, planned.units(), shared, told, slice(start, end), shift)


def _described(job: Job, shift: Shifted, inputs: JobInputs) -> dict[str, Any]:
    """Return where the number comes from, for the record; `in_domain` is the group of the same seeds on their own."""
    return {
        "dataset": shift.name,
        "in_domain": job.group,
        "digest": shift.dataset.digest,
        "licence": shift.original.licence,
        "part": shift.part,
        "classes": shift.classes,
        "scored": shift.dataset.card.class_names,
        "closed": shift.closed,
        "dropped": shift.dropped,
        "left_out": inputs.left_out | dict.fromkeys(shift.dataset.missing, "not there"),
        "input": inputs.described(),
    }


def _warnings_on(job: Job, shift: Shifted, inputs: JobInputs) -> list[str]:
    """Return the warnings about another data set that a job is tested on."""
    data = replace(shift.dataset, card=shift.original)
    found = [*_about(job, data), *_left_out(data, inputs.left_out)]
    if gone := sum(shift.dropped.values()):
        order = sorted(shift.dropped.items(), key=lambda pair: -pair[1])
        why = few([f"{name}: {n}" for name, n in order], 4)
        found.append(f"{gone} images of {shift.name} have no class of {job.dataset.card.name} and were left out: {why}")
    classes, scored = job.dataset.card.class_names, shift.dataset.card.class_names
    if len(scored) < len(classes):
        left = [name for name in classes if name not in scored]
        found.append(f"classes that are absent from {shift.name} are not scored on it: {few(left, 8)}")
    else:
        counts = _count(inputs.dataset, "test").classes
        if lacking := [name for name, n in counts.items() if not n]:
            found.append(f"{ABSENT}test has no image of {few(lacking, 8)}: metrics are computed without these")
    return found


def warnings_of(job: Job, inputs: JobInputs | CombinedInputs) -> list[str]:
    """Return the warnings that do not depend on the outcome."""
    found = ["random weights: a sanity check, not a result"] if job.origin == "random" else []
    leaks = [leak for leak in leaks_of(inputs.dataset) if leak.kind in FLAWS]
    if job.kind.pairs:  # it learns from texts: which classes are there does not matter
        leaks = [leak for leak in leaks if not leak.kind.startswith("absent-")]
    flaws = [FLAWS[leak.kind] + leak.text for leak in leaks]
    return [*found, *_about(job, job.dataset), *flaws, *_left_out(job.dataset, inputs.left_out)]


def _about(job: Job, dataset: Dataset) -> list[str]:
    card, found = dataset.card, []
    if dataset.toy:
        found.append("toy data: generated images that say nothing about medicine")
    for model in {model.name: model for model, _ in job.encoders}.values():
        if named := seen(model, card):
            found.append(f"contamination: {model.name} was pre-trained on {', '.join(named)}")
    if not card.verified:
        found.append(f"unverified data: the counts in card {card.name} have not been checked against the release")
    return found + list(dataset.taken.doubts)


def _left_out(dataset: Dataset, left_out: dict[str, str]) -> list[str]:
    found = []
    for what, ids in (("unreadable", sorted(left_out)), ("missing", dataset.missing)):
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
