"""The cost of a plan: image forwards, and hours where this machine's records allow an estimate."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from medbench.cards import Settings
from medbench.cards.catalogues.features_file import LIBRARY
from medbench.cards.recipes import KINDS
from medbench.records import Record
from medbench.runs.device import choose_device
from medbench.runs.jobs import Job, Plan
from medbench.storage import files

Speed = tuple[str, str, int, str]
"""(model, kind of protocol or `features`, image size, precision)."""


@dataclass(frozen=True)
class Estimate:
    """The cost of a plan's unfinished jobs.

    Attributes:
        forwards: Upper limit of the image forwards: features that are stored already are not subtracted.
        hours: Estimate for the measured part; None: nothing was measured.
        basis: Measured images per second behind the hours, one text per model and kind.
        unknown: The models and kinds that were not measured.
        device: The device, as records name it.
    """

    forwards: int
    hours: float | None
    basis: tuple[str, ...]
    unknown: tuple[str, ...]
    device: str


@dataclass(frozen=True)
class Speeds:
    """How fast finished jobs were, to estimate others.

    Attributes:
        images: Images per second.
        heads: (kind, data set) -> seconds of the protocol itself, where features come from the store.
    """

    images: dict[Speed, float]
    heads: dict[tuple[str, str], float]

    @classmethod
    def of(cls, records: Iterable[Record]) -> Speeds:
        """Return the medians over the finished jobs of the same model, kind, size and precision."""
        return cls(*_measured(records))

    def minutes(self, job: Job) -> float:
        """Return the minutes of a job, its features not counted; a minute where nothing like it was measured."""
        kind = job.protocol.kind
        if from_features(kind):
            return self.heads.get((kind, job.dataset.card.name), 60.0) / 60
        speed = self.images.get((job.model.name, kind, job.image_size, job.precision))
        return trained_forwards(job) / speed / 60 if speed else 1.0


def estimate(plan: Plan, records: Iterable[Record]) -> Estimate:
    """Return the cost of a plan's unfinished jobs.

    Hours are forwards over images per second, plus the time that the protocol itself took; both are medians over the
    finished jobs of the same model, kind, size and precision (the latter: kind and data set) on the same device.

    Args:
        plan: The plan.
        records: Finished units of any machine; those of other devices do not count.
    """
    protocols = [(job.protocol.kind, job.dataset.card.name) for job in plan.todo]
    return priced(_forwards(plan.todo), protocols, records, plan.options.device)


def priced(
    work: Mapping[Speed, int], protocols: Iterable[tuple[str, str]], records: Iterable[Record], machine: str
) -> Estimate:
    """Return the cost of image forwards, and of what protocols do after them.

    Args:
        work: Image forwards by speed.
        protocols: (kind, data set) of each job.
        records: Finished units of any machine; those of other devices do not count.
        machine: The device, as options name it.
    """
    device = device_name(machine)
    speeds, heads = _measured(record for record in records if record.provenance.get("device") == device)
    seconds, forwards = 0.0, 0
    basis: dict[str, None] = {}
    unknown: dict[str, None] = {}
    for speed, number in work.items():
        forwards += number
        what = f"{speed[0]} {speed[1]} at {speed[2]} px"
        if speed in speeds:
            seconds += number / speeds[speed]
            basis[f"{what} {speeds[speed]:,.0f}"] = None
        else:
            unknown[what] = None
    for place in protocols if basis else ():
        seconds += heads.get(place, 0.0)
    return Estimate(forwards, seconds / 3600 if basis else None, tuple(basis), tuple(unknown), device)


def device_name(asked: str) -> str:
    """Return the device as records name it; torch is imported only for a GPU."""
    device = choose_device(asked)
    if device == "cpu":
        return f"cpu ({platform.machine()})"
    import torch

    return torch.cuda.get_device_name(device)


def trained_forwards(job: Job) -> int:
    """Return the image forwards of a job that trains the network: all candidate rates, seeds and epochs.

    Early stopping is ignored. In each epoch the training images (DINO: every crop) and the validation images go through
    once; test images go through once per unit.
    """
    further = sum(shift.dataset.sizes["test"] for shift in job.shifts)
    return forwards_of_training(job.settings, job.dataset.sizes, len(job.dataset.samples), len(job.seeds), further)


def forwards_of_training(
    settings: Settings, sizes: Mapping[str, int], images: int, seeds: int, further: int = 0
) -> int:
    """Return the image forwards of all seeds of a protocol that trains the network.

    Args:
        settings: Of the protocol.
        sizes: Part of the split -> number of images.
        images: In all.
        seeds: Number of seeds.
        further: Images of other test sets.
    """
    epochs = getattr(settings, "epochs", None)
    if epochs is None:
        return images
    train, val, test = (sizes.get(split, 0) for split in ("train", "val", "test"))
    crops = 4 + getattr(settings, "local_crops", 0) if hasattr(settings, "local_crops") else 1
    rates = len(getattr(settings, "learning_rates", (0,)))
    searched = min(getattr(settings, "lr_search_seeds", seeds), seeds)
    runs = rates * searched + seeds - searched
    return int(runs * epochs * (crops * train + val) + seeds * (test + further))


def from_features(kind: str) -> bool:
    """Tell whether a kind's images go through the encoder once per view; their features are stored and shared."""
    return kind in KINDS and not KINDS[kind].images


def _forwards(jobs: Iterable[Job]) -> dict[Speed, int]:
    """Return the forwards of jobs per speed; features that jobs share are counted once."""
    found: dict[Speed, int] = {}
    shared: dict[str, tuple[Speed, int]] = {}
    for job in jobs:
        kind = job.protocol.kind
        speed: Speed = (job.model.name, "features" if from_features(kind) else kind, job.image_size, job.precision)
        if job.model.library == LIBRARY:
            continue
        if from_features(kind):
            views = getattr(job.settings, "views", 0)
            number = sum(len(part.samples) for part in job.dataset.inputs.values()) or len(job.dataset.samples)
            number += views * job.dataset.sizes.get("train", 0)
            number += sum(shift.extracted for shift in job.shifts)
            common = job.settings.model_dump(mode="json", include=set(Settings.model_fields))
            key = files.digest([speed, job.kind.tokens, job.weights.sha256, job.dataset.digest, common])
            shared[key] = (speed, max(number, shared.get(key, (speed, 0))[1]))
        else:
            found[speed] = found.get(speed, 0) + trained_forwards(job)
    for speed, number in shared.values():
        found[speed] = found.get(speed, 0) + number
    return found


def _measured(records: Iterable[Record]) -> tuple[dict[Speed, float], dict[tuple[str, str], float]]:
    """Return the images per second of each speed, and the protocol's own seconds by kind and data set."""
    jobs = {record.group: record for record in records}  # the seeds of a job share its times
    speeds: dict[Speed, list[float]] = {}
    heads: dict[tuple[str, str], list[float]] = {}
    for record in jobs.values():
        kind = str(record.material.get("protocol", {}).get("kind", ""))
        extract, own = (record.timings.get(name, 0.0) for name in ("extract", "protocol"))
        ready = from_features(kind)
        if ready:
            heads.setdefault((kind, record.unit.dataset), []).append(own)
        forwards, seconds = record.counts.get("forwards", 0.0), extract if ready else extract + own
        if forwards > 0 and seconds > 0:
            size, precision = int(record.material.get("image_size", 0)), str(record.material.get("precision", ""))
            speed = (record.unit.model, "features" if ready else kind, size, precision)
            speeds.setdefault(speed, []).append(forwards / seconds)
    return (
        {speed: statistics.median(values) for speed, values in speeds.items()},
        {place: statistics.median(values) for place, values in heads.items()},
    )
