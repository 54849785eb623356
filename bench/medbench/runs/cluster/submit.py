"""From a plan to a submission: what is neither done nor queued is frozen, cut into stages and given to an engine."""

from __future__ import annotations

import dataclasses
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from medbench import progress
from medbench.errors import MedbenchError, unknown
from medbench.records import Record
from medbench.records.listing import Listing
from medbench.records.store import Place
from medbench.records.submitted import Submission, SubmittedTask, note, submissions
from medbench.runs.cluster.engines import slurm, squeue
from medbench.runs.cluster.frozen import freeze
from medbench.runs.cluster.site import Class, Site
from medbench.runs.cluster.stages import Stage, stages
from medbench.runs.estimate import Speeds
from medbench.runs.jobs import Job, Options, Plan
from medbench.storage import files


class NothingToSubmitError(MedbenchError):
    """All requested units are done or queued; `queued` is the number of units that are queued."""

    def __init__(self, queued: int) -> None:
        what = "all units are done" if not queued else f"the {queued} unfinished units are already queued"
        super().__init__(f"nothing to submit: {what}", "see: medbench status --jobs")
        self.queued = queued


TASKS = "tasks.json"
TABLES = "tables"
"""Name of the last task, which writes the tables of the run store."""


@dataclass(frozen=True)
class TaskList:
    """The tasks of a frozen plan.

    Attributes:
        device: The workers' device.
        needs: Whether a task does itself what it needs and is not done yet.
        stages: The stages.
    """

    device: str
    needs: bool
    stages: list[Stage]

    def stage(self, name: str) -> Stage:
        """Return a stage by its name.

        Raises:
            MedbenchError: There is none.
        """
        known = {one.name: one for one in self.stages}
        if name not in known:
            raise unknown("stage", name, known)
        return known[name]


TASKLIST = TypeAdapter(TaskList)


@dataclass(frozen=True)
class Prepared:
    """A frozen plan with its tasks.

    Attributes:
        name: Of the submission.
        folder: The frozen plan.
        jobs: Its jobs.
        stages: Its stages.
        queued: Units that are not submitted because they are queued already.
    """

    name: str
    folder: Path
    jobs: tuple[Job, ...]
    stages: list[Stage]
    queued: int


def for_site(options: Options, site: Site) -> Options:
    """Return options under which a plan is that of the site's workers, not of this machine."""
    return dataclasses.replace(options, device=site.device, elsewhere=site.precision, processes=site.processes())


def prepare(plan: Plan, records: Iterable[Record], device: str, chunk: float, *, needs: bool = False) -> Prepared:
    """Freeze what is neither done nor queued, and cut it into tasks.

    Args:
        plan: Made for the workers' machine.
        records: Finished units, whose times say how long jobs take.
        device: The workers' device.
        chunk: Least minutes of a task of small jobs.
        needs: Whether a task does itself what it needs and is not done yet, for engines that keep no order.

    Raises:
        NothingToSubmitError: Nothing is left to submit.
        MedbenchError: The plan is not to run what is missing, or squeue does not answer.
    """
    if plan.options.overwrite != "missing":  # a task that is queued again would start from the beginning each time
        raise MedbenchError(
            f"--overwrite {plan.options.overwrite} does not work with --on",
            "remove one of them; to run units again on a cluster, delete their folders first",
        )
    waiting = queued(plan.options.runs)
    there = Listing(plan.options.runs)
    lacking = [(job, missing(job, there)) for job in plan.todo]
    todo = [job for job, units in lacking if not waiting.issuperset(units)]
    held = sum(len(units) for _, units in lacking if waiting.issuperset(units))
    if not todo:
        raise NothingToSubmitError(held)
    jobs = with_needs(todo)
    places = {job.place for job in todo}
    numbered = {number: job for number, job in enumerate(jobs) if job.place in places}
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    folder = (plan.options.runs / ".submitted" / name).absolute()  # tasks run in other folders
    speeds = Speeds.of(records)
    made = stages(numbered, speeds.minutes, chunk)
    freeze(jobs, folder)
    files.write_json(folder / TASKS, TASKLIST.dump_python(TaskList(device, needs, made), mode="json"))
    return Prepared(name, folder, tuple(jobs), made, held)


def read_tasks(folder: Path) -> TaskList:
    """Return the tasks of a frozen plan.

    Raises:
        MedbenchError: It has none.
    """
    try:
        return TASKLIST.validate_json((folder / TASKS).read_bytes())
    except (OSError, ValueError) as error:
        raise MedbenchError(f"{folder} contains no tasks: {error}", "give the folder of a submission") from error


def with_needs(jobs: Sequence[Job]) -> list[Job]:
    """Return jobs, each after those that it needs, whether these are done or not.

    A given job replaces its equal among those that others need: it may keep more weights.
    """
    given = {job.place: job for job in jobs}
    found: dict[tuple[str, ...], Job] = {}

    def put(job: Job) -> None:
        for needed in job.needs:
            put(given.get(needed.place, needed))
        found.setdefault(job.place, job)

    for job in jobs:
        put(job)
    return list(found.values())


def missing(job: Job, there: Listing) -> list[tuple[Place, str]]:
    """Return a job's units, as (place, key), that were not done when the run store was listed."""
    return [(job.shelf, key) for key, done in zip(job.keys, job.finished(there), strict=True) if not done]


def queued(runs: Path) -> set[tuple[Place, str]]:
    """Return the units, as (place, key), that a scheduler has in its queue, or runs.

    Raises:
        MedbenchError: Units of an earlier submission are not done, and squeue does not answer.
    """
    there = Listing(runs)
    tasks = [task for one in submissions(runs) if one.engine == "slurm" for task in one.tasks if task.units]
    names = _alive(needed=not all(there.is_done(place, key) for task in tasks for place, key in task.places))
    return {unit for task in tasks if task.job in names for unit in task.places}


def alive(runs: Path) -> list[str]:
    """Return the names of the submissions with tasks that Slurm runs or has in its queue.

    Raises:
        MedbenchError: squeue does not answer.
    """
    names = _alive()
    return [one.name for one in submissions(runs) if any(task.job in names for task in one.tasks)]


def _alive(*, needed: bool = True) -> set[str]:
    """Return Slurm's names of the tasks that it runs or has in its queue; none on a machine without Slurm.

    Raises:
        MedbenchError: squeue does not answer, and its answer is needed.
    """
    found = squeue.queue()
    if found is None and needed and shutil.which("squeue"):
        raise MedbenchError(
            "squeue does not answer, so medbench cannot know what is already queued",
            "nothing was submitted; try again in a few minutes",
        )
    return {name for name, (state, _) in (found or {}).items() if state in squeue.ALIVE}


def to_slurm(made: Prepared, site: Site, command: str, worker: Callable[[str, int], Callable[[], Any]]) -> Submission:
    """Submit all stages to Slurm, and a last task that writes the tables; the note of it is written stage by stage.

    Args:
        made: The frozen plan.
        site: The cluster.
        command: The command line, for the note.
        worker: Stage and number of a task -> what its process runs.

    Raises:
        MedbenchError: Slurm refuses a stage; what was submitted before stays in the queue and in the note.
        Stopped: After the stage that was being submitted, which stays in the queue, too.
    """
    runs = made.folder.parent.parent
    logs = runs / "logs" / made.name
    names: dict[str, list[str]] = {}
    tasks: list[SubmittedTask] = []
    last = Stage(TABLES, "heads", made.stages[-1].tasks[-1:], tuple(stage.name for stage in made.stages))
    with progress.steps() as stopped:
        for stage in (*made.stages, last):
            after = [name for earlier in stage.after for name in _arrays(names[earlier])]
            try:
                names[stage.name] = slurm.submit(stage, site, after, logs / "submitit", made.name, worker)
            except MedbenchError as error:
                if not tasks:  # nothing of it is in the queue
                    shutil.rmtree(made.folder, ignore_errors=True)
                    raise
                raise MedbenchError(
                    f"{stage.name}: {error.message}; the {len(tasks)} tasks before it are in the queue",
                    f"{error.hint}; then run the same command to submit the rest; to cancel the queued tasks: "
                    f"medbench cancel",
                ) from error
            tasks += [
                SubmittedTask(stage.name, number, job, units_of(made, stage, number))
                for number, job in enumerate(names[stage.name])
            ]
            note(runs, Submission(made.name, "slurm", made.folder, logs, command, tuple(tasks)))
            if stopped():
                break
    return Submission(made.name, "slurm", made.folder, logs, command, tuple(tasks))


def units_of(made: Prepared, stage: Stage, number: int) -> tuple[Any, ...]:
    """Return the units that a task makes; none for tasks that prepare, extract or write tables."""
    if stage.kind not in ("heads", "train") or stage.name == TABLES:
        return ()
    return tuple(unit for job in stage.tasks[number].jobs for unit in made.jobs[job].all_units)


def _arrays(names: Sequence[str]) -> list[str]:
    """Return the arrays that tasks are in: to wait for an array is to wait for its tasks."""
    return list(dict.fromkeys(name.partition("_")[0] for name in names))


def hours(made: Prepared, site: Site) -> dict[Class, float]:
    """Return the most hours that each class may take: GPU hours if it has GPUs, else hours of tasks.

    A task may take its time limit, or its estimate if that is longer, because Slurm then queues it again.
    """
    found: dict[Class, float] = {}
    for stage in made.stages:
        for task in stage.tasks:
            own = site.resources(stage.kind, task.model)
            spent = max(task.minutes, own.minutes)
            found[stage.kind] = found.get(stage.kind, 0.0) + spent / 60 * max(1, own.gpus)
    return found
