"""The cost of a plan: image forwards, disk, and hours where this machine was measured."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field

from medbench.records import Record
from medbench.runs.device import choose_device
from medbench.runs.jobs import Job, Plan
from medbench.runs.planning.speeds import calibrate as measure
from medbench.runs.planning.speeds import stored
from medbench.runs.planning.work import Disk, Speed, Task, Work, from_features


@dataclass(frozen=True)
class Estimate:
    """The cost of a plan's unfinished jobs.

    Attributes:
        forwards: Upper limit of the image forwards: features that are stored already are not subtracted.
        hours: Estimate for the measured part; None: nothing was measured.
        basis: Measured images per second behind the hours, one text per model and kind.
        unknown: The models and kinds that were not measured.
        device: The device, as records name it.
        disk: What the jobs leave on disk.
    """

    forwards: int
    hours: float | None
    basis: tuple[str, ...]
    unknown: tuple[str, ...]
    device: str
    disk: Disk = field(default_factory=Disk)


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


def estimate(plan: Plan, records: Iterable[Record], *, calibrate: bool = False) -> Estimate:
    """Return the cost of a plan's unfinished jobs.

    Hours are forwards over images per second, plus the time that the protocol itself took; both are medians over the
    finished jobs of the same model, kind, size and precision (the latter: kind and data set) on the same device. Where
    there are none, images per second are those of an earlier calibration.

    Args:
        plan: The plan.
        records: Finished units of any machine; those of other devices do not count.
        calibrate: Measure the models that have no images per second yet.
    """
    return priced(Work.of(map(_task, plan.todo)), records, plan.options.device, calibrate=calibrate)


def priced(work: Work, records: Iterable[Record], machine: str, *, calibrate: bool = False) -> Estimate:
    """Return the cost of work, and of what protocols do after image forwards.

    Args:
        work: The work.
        records: Finished units of any machine; those of other devices do not count.
        machine: The device, as options name it.
        calibrate: Measure the models that have no images per second yet.
    """
    device = device_name(machine)
    speeds, heads = _measured(record for record in records if record.provenance.get("device") == device)
    others = {speed: work.models[speed[0]] for speed in work.forwards if speed not in speeds}
    if calibrate:
        measure(((card, speed) for speed, card in others.items()), choose_device(machine), device)
    alone = {speed: found for speed, card in others.items() if (found := stored(card, speed, device)) is not None}
    seconds, basis, unknown = 0.0, dict[str, None](), dict[str, None]()
    for speed, number in work.forwards.items():
        what, rate = f"{speed[0]} {speed[1]} at {speed[2]} px", speeds.get(speed, alone.get(speed))
        if rate is None:
            unknown[what] = None
        else:
            seconds += number / rate
            basis[f"{what} {rate:,.{1 if rate < 10 else 0}f}{' (calibrated)' * (speed in alone)}"] = None
    for place in work.protocols if basis else ():
        seconds += heads.get(place, 0.0)
    hours = seconds / 3600 if basis else None
    return Estimate(sum(work.forwards.values()), hours, tuple(basis), tuple(unknown), device, work.disk)


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
    return _task(job).trained


def _task(job: Job) -> Task:
    inputs, samples = job.dataset.inputs.values(), len(job.dataset.samples)
    return Task(
        name=job.model.name,
        model=job.model,
        dataset=job.dataset.card,
        kind=job.protocol.kind,
        settings=job.settings,
        image_size=job.image_size,
        precision=job.precision,
        sizes=job.dataset.sizes,
        images=sum(len(part.samples) for part in inputs) or samples,
        seeds=len(job.seeds),
        kept=len({*job.keep} & {*job.seeds}),  # with folds, a job has one of the seeds
        tested=sum(shift.dataset.sizes["test"] for shift in job.shifts),
        extracted=sum(shift.extracted for shift in job.shifts),
        same=(job.weights.sha256, job.dataset.digest),
    )


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
