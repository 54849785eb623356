"""Run a plan: each job under its lock; finished units are skipped, and a failed job does not stop the others."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import shutil
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from medbench import progress
from medbench.cards import Settings
from medbench.errors import MedbenchError
from medbench.features.extract import Tally
from medbench.features.store import FeatureFolder
from medbench.progress import say
from medbench.protocols.context import Context, Outcome
from medbench.records import Record, pending, store
from medbench.runs.device import choose_device, choose_workers
from medbench.runs.inputs.choose import inputs_of
from medbench.runs.inputs.features import Encoders
from medbench.runs.inputs.siblings import Siblings
from medbench.runs.inputs.towers import Towers
from medbench.runs.jobs import Job, Plan, Result
from medbench.runs.results.provenance import peak_memory_mb
from medbench.runs.results.write_records import write_records
from medbench.storage import cache_folder, files, paths
from medbench.storage.locks import BusyError, exclusive

if TYPE_CHECKING:
    from medbench.training.machine import Machine

log = logging.getLogger(__name__)

Told = Callable[[list[Record]], None]
"""Is told of a job's records when the job ends."""


def execute(plan: Plan, told: Told | None = None) -> Result:
    """Run the missing units of a plan; a job that fails does not stop the others.

    Under torchrun or `accelerate launch` every process runs the plan: all of them train, and only the first one does
    the rest and writes.

    Args:
        plan: What to run.
        told: Is called with each job's records when the job ends.

    Raises:
        OutputError: The run store cannot be written; nothing was computed.
        Stopped: By SIGINT or SIGTERM; the state was saved after the step that was being made.
    """
    options, work = plan.options, _Execution(plan)
    if work.first:
        _check_writable(options.runs)
        files.sweep(options.runs, paths.home())
    result = Result(writer=work.first)
    _run_jobs(plan, work, result, told)
    for bank in work.banks:
        with contextlib.suppress(MedbenchError, OSError):  # the results are there
            cache_folder.release(bank.path)
    return result


def _run_jobs(plan: Plan, work: _Execution, result: Result, told: Told | None) -> None:
    options = plan.options
    units = (planned for job in plan.todo for planned in job.planned)
    noted = pending.noted(options.runs, units) if work.first else contextlib.nullcontext()
    todo = {id(job) for job in plan.todo}
    hushed = progress.quiet(not work.first or progress.is_quiet())
    whole = progress.bar("all jobs", len(todo), "jobs") if len(todo) > 1 else contextlib.nullcontext(_uncounted)
    logged = progress.logged(options.runs / "log.txt", work.first)
    found: dict[int, list[Record]] = {}
    with noted, hushed, logged, progress.stoppable(), whole as advance:
        turns = _Turns(plan.jobs)
        for number, job, alone in turns:
            if id(job) not in todo:
                found[number] = job.records()
                _tell(told, found[number])
                continue
            say(f"job {number} of {len(plan.jobs)}")
            try:
                found[number], made = _run_job(job, work, wait=alone or work.world > 1)
                result.made += made
                _tell(told, found[number])
                result.failures += _broken(job)
            except BusyError:
                say(f"{job.name}: another process is working on this job; it is tried again later")
                turns.later(number, job)
                continue
            except MedbenchError as error:
                result.mistakes.append((job.name, error))
                if work.first:
                    _note_failure(job, str(error))
            except Exception as error:  # no error of one job may stop the others
                log.debug("%s", traceback.format_exc())
                _note_failure(job, "".join(traceback.format_exception(error)))
                result.failures.append((job.name, f"{type(error).__name__}: {error}"))
                if work.world > 1:
                    raise  # the other processes wait for this one
            advance(1)
    result.records = [record for number in sorted(found) for record in found[number]]


class _Turns:
    """The jobs of a plan in their order; a job that another process works on is put after the others.

    A process, perhaps with a GPU, thus waits only when nothing else is left. Jobs of one family are passed over
    together, since whoever works on one of them shares its work with the others.
    """

    def __init__(self, jobs: list[Job]) -> None:
        self._left = deque(enumerate(jobs, start=1))
        self._passed: list[Job] = []  # since the last job that was carried out

    def __iter__(self) -> Iterator[tuple[int, Job, bool]]:
        """Yield (number in the plan, job, whether all jobs that are left have been passed over)."""
        while self._left:
            number, job = self._left.popleft()
            passed = len(self._passed)
            nothing_else = passed > len(self._left)
            if self._needs_passed(job) or (not nothing_else and self._is_of_passed_family(job)):
                self.later(number, job)
                continue
            yield number, job, nothing_else
            if len(self._passed) == passed:
                self._passed.clear()

    def later(self, number: int, job: Job) -> None:
        """Pass over a job."""
        self._left.append((number, job))
        self._passed.append(job)

    def _needs_passed(self, job: Job) -> bool:
        places = {other.place for _, other in self._left} if job.needs else set()
        return any(needed.place in places and not all(needed.done()) for needed in job.needs)

    def _is_of_passed_family(self, job: Job) -> bool:
        return bool(self._passed) and job.family in {other.family for other in self._passed}


def _tell(told: Told | None, records: list[Record]) -> None:
    if told is not None:
        with contextlib.suppress(BrokenPipeError):  # whoever read the results has gone: the work goes on
            told(records)


def _uncounted(n: int = 1, note: str = "") -> None:
    """Count nothing: a single job needs no bar over jobs."""


class _Execution:
    """What the jobs of a plan share: device, processes, the last encoder.

    Attributes:
        device: The device of this process.
        workers: Loader processes.
        encoders: Holds the last encoder.
        towers: Holds the last text tower.
        siblings: Jobs that can be solved together.
        machine: Processes and precision, if anything is trained.
        world: Number of processes.
        first: Whether this process writes.
        banks: Features to remove at the end.
    """

    def __init__(self, plan: Plan) -> None:
        options = plan.options
        place = choose_device(options.device)
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        self.workers = choose_workers(options.workers, torch.device(place).type)
        self.machine: Machine | None = None
        if self.world > 1 or any(job.kind.images for job in plan.todo):
            from medbench.training.machine import machine

            log, folder = options.log, options.runs / "logs"
            self._made = functools.partial(machine, device=place, workers=self.workers, log=log, folder=folder)
            self.machine = self._made(plan.jobs[0].precision)
        self.device = torch.device(place) if self.machine is None else self.machine.device
        self.first = self.machine is None or self.machine.rank == 0
        self.encoders = Encoders(self.device)
        self.towers = Towers(self.device)
        self.siblings = Siblings(plan)
        self.banks: list[FeatureFolder] = []

    def machine_of(self, job: Job) -> Machine | None:
        """Return the processes at the job's precision, if anything is trained; jobs may differ in it."""
        if self.machine is not None and self.machine.precision != job.precision:
            self.machine = self._made(job.precision)
        return self.machine

    def told(self, value: Any) -> Any:
        """Return the first process's value in every process."""
        if self.world == 1:
            return value
        from medbench.training.machine import agreed

        return agreed(value)


def _run_job(job: Job, work: _Execution, *, wait: bool) -> tuple[list[Record], int]:
    """Run one job under its lock; return its records and the number of new ones.

    Raises:
        BusyError: Another process works on it, and `wait` is False.
    """
    with _held(job, wait=wait) if work.first else contextlib.nullcontext():
        overwrite = job.options.overwrite == "always"
        before = work.told(job.done())
        if all(before) and not overwrite:  # another process finished it while this one waited
            return job.records(), 0
        check_needs(job)
        units = [False] * len(job.all_units) if overwrite else job.finished()
        say(f"{job.name}: {len(units) - sum(units)} of {len(units)} units to do")
        _say_again(job, units)
        start, tally = time.perf_counter(), Tally()
        inputs = inputs_of(job, work.encoders, work.workers, tally)
        prepared = time.perf_counter()
        context = _context(job, inputs, work, _Earlier.of(job, [] if overwrite else before), tally)
        outcomes = job.kind.run(context) if job.kind.images or work.first else {}
        timings = {
            "prepare": prepared - start,
            "extract": tally.seconds,
            "protocol": time.perf_counter() - prepared - tally.seconds,
        }
        counts = {
            "forwards": float(tally.forwards),
            "forwards_reused": float(tally.reused),
            "images_per_second": tally.forwards / tally.seconds if tally.seconds else 0.0,
            "peak_memory_mb": peak_memory_mb(work.device),
        }
        work.banks += getattr(inputs, "banks", [])
        records = []
        if work.first:
            records = write_records(job, inputs, _with_told(outcomes, context), timings, counts, overwrite=overwrite)
            shutil.rmtree(context.partial, ignore_errors=True)
        work.told(None)
        return records, sum(job.finished()) - sum(units) if work.first else 0


def _say_again(job: Job, units: list[bool]) -> None:
    """Say which finished units are computed again, since only further test images are missing."""
    n = len(job.seeds)
    if again := sum(units[at] and not all(units[at::n]) for at in range(n)):
        what = "1 finished unit is" if again == 1 else f"{again} finished units are"
        say(f"{job.name}: {what} computed again for the further test images: records do not hold what was fitted")


def _with_told(outcomes: dict[int, Outcome], context: Context[Settings]) -> dict[int, Outcome]:
    """Return outcomes with the warnings about the texts, if the job uses texts."""
    told = context.language.warnings if context.language else ()
    return {seed: replace(one, warnings=(*told, *one.warnings)) for seed, one in outcomes.items()}


@contextlib.contextmanager
def _held(job: Job, *, wait: bool) -> Iterator[None]:
    """Keep other processes from doing the same job, into this run store or with the same unfinished work."""
    busy = f"{job.name}: another process is working on this job; waiting for it"
    own = job.options.runs / ".locks" / f"{job.group[:16]}.lock"
    partial = pending.unfinished(job.partial)
    unfinished = partial.parent / f".{partial.name}.lock"
    with exclusive(own, busy, wait=wait), exclusive(unfinished, busy, wait=wait):
        yield


@dataclass(frozen=True)
class _Earlier:
    """What an earlier run leaves to do: the seeds, and the choice of hyper-parameters that they take over, if any."""

    seeds: list[int]
    chosen: dict[str, Any] | None = None

    @classmethod
    def of(cls, job: Job, done: list[bool]) -> _Earlier:
        """Compare a job with its finished units; where the choice depends on all seeds, all are to do."""
        finished = {seed for seed, is_done in zip(job.seeds, done, strict=False) if is_done}
        if not finished or not hasattr(job.settings, "lr_search_seeds") or not finished.issuperset(job.choosing):
            return cls(list(job.seeds))
        left = [seed for seed in job.seeds if seed not in finished]
        record = store.read(job.folders()[job.seeds.index(job.choosing[0])]) if job.choosing else None
        if job.choosing and record is None:
            return cls(list(job.seeds))
        return cls(left, {**record.chosen, "selection": record.selection} if record else None)


def _context(job: Job, inputs: Any, work: _Execution, earlier: _Earlier, tally: Tally) -> Context[Settings]:
    dataset = inputs.dataset

    def of(sibling: Job) -> Context[Settings]:
        inputs = inputs_of(sibling, work.encoders, work.workers, tally)
        return _context(sibling, inputs, work, _Earlier(list(sibling.seeds)), tally)

    return Context(
        settings=job.settings,
        seeds=earlier.seeds,
        chosen=earlier.chosen,
        classes=dataset.n_classes,
        multilabel=dataset.multilabel,
        ordinal=dataset.card.task == "ordinal",
        metric=dataset.card.metric,
        train_targets=dataset.targets("train"),
        val_targets=dataset.targets("val"),
        val_groups=dataset.samples["group"].to_numpy()[dataset.rows("val")] if dataset.grouped else None,
        inputs=inputs,
        device=work.device,
        partial=pending.unfinished(job.partial),
        name=job.name,
        machine=work.machine_of(job),
        sweep=job.sweep,
        depth=job.depth,
        tuned=next((needed.weights_of(needed.seeds[0]) for needed in job.needs if needed.protocol.seeded), None),
        keep_weights=bool(job.keep),
        split_digest=dataset.split_digest,
        language=work.towers.language(job.model, job.weights, job.language),
        together=work.siblings.solver(job, of),
    )


def check_needs(job: Job) -> None:
    """Refuse a job whose weights are missing because the job that makes them failed."""
    for needed in job.needs:
        if not (file := needed.weights_of(needed.seeds[0])).is_file():
            raise MedbenchError(
                f"{job.name} needs {file}, which {needed.name} did not write", "run medbench status to see why"
            )


def _broken(job: Job) -> list[tuple[str, str]]:
    """Return the seeds of a job that failed (such as with a loss of nan) while the job itself went on."""
    return [(f"{job.name}, seed {seed}", text) for seed, text in store.failures_of(job.folders())]


def _note_failure(job: Job, text: str) -> None:
    """Write why a job ended to each of its units that is not done."""
    for (unit, key), done in zip(job.all_units, job.finished(), strict=True):
        if not done:
            with contextlib.suppress(MedbenchError):
                store.write_failure(job.options.runs, unit, key, text)


def _check_writable(runs: Path) -> None:
    with files.writing(runs):
        runs.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=runs).close()
