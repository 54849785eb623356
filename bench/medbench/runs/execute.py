"""Running a plan: each job under its lock, finished units skipped, failures noted, the rest going on."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
import traceback
from pathlib import Path

import torch

from medbench import files, paths
from medbench.errors import MedbenchError
from medbench.features.extract import Tally
from medbench.locks import alone
from medbench.progress import say
from medbench.protocols import KINDS
from medbench.protocols.base import Context
from medbench.records import Record, store
from medbench.report import write_dataset_tables
from medbench.runs.combined import CombinedInputs
from medbench.runs.device import choose_device, choose_workers
from medbench.runs.inputs import Encoders, JobInputs
from medbench.runs.plan import Job, Plan, Result
from medbench.runs.results import peak_memory_mb, write_records

log = logging.getLogger(__name__)


def execute(plan: Plan) -> Result:
    """Run what is missing of a plan; a job that fails does not stop the others.

    Raises:
        OutputError: The run store cannot be written; nothing has been computed then.
    """
    _check_writable(plan.options.runs)
    device = torch.device(choose_device(plan.options.device))
    workers = choose_workers(plan.options.workers, device.type)
    encoders = Encoders(device)
    result = Result()
    todo = {id(job) for job in plan.todo}
    for job in plan.jobs:
        if id(job) not in todo:
            result.records += [r for folder in job.folders() if (r := store.read(folder))]
            continue
        try:
            records, made = _run_job(job, encoders, workers)
            result.records += records
            result.made += made
        except MedbenchError as error:
            result.mistakes.append((job.name, error))
        except Exception as error:  # noqa: BLE001 - whatever breaks one job must not take the others with it
            log.debug("%s", traceback.format_exc())
            _note_failure(job, error)
            result.failures.append((job.name, f"{type(error).__name__}: {error}"))
    for name in sorted({record.unit.dataset for record in result.records}):
        result.tables += write_dataset_tables(plan.options.runs, paths.tables_dir(plan.options.out), name)
    return result


def _run_job(job: Job, encoders: Encoders, workers: int) -> tuple[list[Record], int]:
    """Run one job under its lock; returns its records and how many were made now."""
    lock = job.options.runs / ".locks" / f"{job.group[:16]}.lock"
    with alone(lock, f"{job.name}: another process works on this; waiting for it"):
        overwrite = job.options.overwrite == "always"
        before = job.done()
        if all(before) and not overwrite:  # another process did it while this one waited
            return [r for folder in job.folders() if (r := store.read(folder))], 0
        say(f"{job.name}: {len(before) - (0 if overwrite else sum(before))} of {len(before)} units to do")
        start, tally = time.perf_counter(), Tally()
        partial = paths.home() / "partial" / job.group[:16]
        kind = CombinedInputs if job.dataset.inputs else JobInputs
        inputs = kind(job, encoders, workers, tally)
        prepared = time.perf_counter()
        dataset = inputs.dataset
        context = Context(
            settings=job.settings,
            seeds=list(job.seeds),
            classes=dataset.n_classes,
            multilabel=dataset.multilabel,
            metric=dataset.card.metric,
            train_targets=dataset.targets("train"),
            val_targets=dataset.targets("val"),
            val_groups=dataset.samples["group"].to_numpy()[dataset.rows("val")] if dataset.grouped else None,
            inputs=inputs,
            device=encoders.device,
            partial=partial,
        )
        outcomes = KINDS[job.protocol.kind].run(context)
        timings = {
            "prepare": prepared - start,
            "extract": tally.seconds,
            "protocol": time.perf_counter() - prepared - tally.seconds,
        }
        counts = {
            "forwards": float(tally.forwards),
            "forwards_reused": float(tally.reused),
            "images_per_second": tally.forwards / tally.seconds if tally.seconds else 0.0,
            "peak_memory_mb": peak_memory_mb(encoders.device),
        }
        records = write_records(job, inputs, outcomes, timings, counts, overwrite=overwrite)
        shutil.rmtree(partial, ignore_errors=True)
        return records, len(before) - (0 if overwrite else sum(before))


def _note_failure(job: Job, error: Exception) -> None:
    text = "".join(traceback.format_exception(error))
    for (unit, key), done in zip(job.units, job.done(), strict=True):
        if not done:
            with contextlib.suppress(MedbenchError):
                store.write_failure(job.options.runs, unit, key, text)


def _check_writable(runs: Path) -> None:
    probe = runs / f".probe-{os.getpid()}"
    with files.writing(runs):
        runs.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
