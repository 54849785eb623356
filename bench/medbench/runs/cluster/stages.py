"""From jobs to tasks: what runs where, what waits for what, and what shares a task."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from medbench.cards.recipes import Settings
from medbench.data.prepared.store import rule_for, store_path
from medbench.runs.cluster.site import Class
from medbench.runs.jobs import Job
from medbench.storage import files

Minutes = Callable[[Job], float]
"""Estimated minutes of a job on the machine of its class."""
Worker = Callable[[str, int], Callable[[], Any]]
"""Stage and number of a task -> what a process runs for it."""


@dataclass(frozen=True)
class Task:
    """What one process does.

    Attributes:
        jobs: Numbers of its jobs in the frozen plan.
        model: Name of their model, which can change what the task gets.
        minutes: Estimate.
    """

    jobs: tuple[int, ...]
    model: str
    minutes: float


@dataclass(frozen=True)
class Stage:
    """Tasks that may run at the same time.

    Attributes:
        name: The class, with a number from the second level of needs on.
        kind: Class of resources.
        tasks: Its tasks, the longest first.
        after: Names of the stages that it waits for.
    """

    name: str
    kind: Class
    tasks: tuple[Task, ...]
    after: tuple[str, ...]


MOST_TASKS = 1_000
"""Most tasks of a stage. By default Slurm accepts arrays of 1,000 tasks, and 10,000 tasks of all users together."""
Numbered = dict[int, Job]
"""Jobs that are to do by their number in the frozen plan, each after those of them that it needs."""


def stages(jobs: Numbered, minutes: Minutes, chunk: float) -> list[Stage]:
    """Return the stages of jobs, in an order in which they can run.

    Images are prepared first, then features are extracted; heads and trained networks follow. Jobs that need others'
    weights wait for them, and so do their features.

    Args:
        jobs: The jobs.
        minutes: Estimate of one job.
        chunk: Small jobs of a model and data set share a task of about this many minutes.
    """
    level = _levels(jobs)
    found: list[Stage] = []
    last: tuple[str, ...] = ()
    stores = {_store(job): number for number, job in reversed(jobs.items())}
    if stores:
        tasks = tuple(Task((number,), jobs[number].model.name, 0.0) for number in sorted(stores.values()))
        found.append(Stage("prepare", "prepare", _joined(tasks), ()))
        last = ("prepare",)
    for depth in range(max(level.values(), default=-1) + 1):
        here = [number for number in jobs if level[number] == depth]
        end = f"-{depth + 1}" if depth else ""
        heads = [number for number in here if not jobs[number].kind.beyond_pooled]
        trained = [number for number in here if jobs[number].kind.beyond_pooled]
        if heads:
            tasks = _chunks(jobs, heads, minutes, chunk)
            found.append(Stage(f"features{end}", "features", _joined(_features(jobs, heads)), last))
            found.append(Stage(f"heads{end}", "heads", _joined(tasks), (f"features{end}",)))
        if trained:
            tasks = _chunks(jobs, trained, minutes, 0.0)
            found.append(Stage(f"train{end}", "train", _joined(tasks), last))
            last = (f"train{end}",)  # only trainings make the weights that others need
    return found


def _levels(jobs: Numbered) -> dict[int, int]:
    """Return the length of the longest chain of jobs that each job needs."""
    places = {job.place: number for number, job in jobs.items()}
    found: dict[int, int] = {}
    for number, job in jobs.items():
        before = [found[places[needed.place]] + 1 for needed in job.needs if needed.place in places]
        found[number] = max(before, default=0)
    return found


def _store(job: Job) -> str:
    """Return what tells a job's prepared images from others'."""
    rule = rule_for(job.dataset, job.settings, job.image_size)
    return files.digest([str(store_path(rule, job.dataset)), *(shift.material for shift in job.shifts)])


def _features(jobs: Numbered, numbers: Iterable[int]) -> tuple[Task, ...]:
    """Return a task for each encoder and data set: of the jobs that see the same views, the one that sees most of them.

    Every job's features include the clean images. Jobs with other views are therefore in one task: two would both
    extract them.
    """
    most: dict[str, dict[str, int]] = {}
    for number in numbers:
        job = jobs[number]
        views = getattr(job.settings, "views", 0)
        drawn = [job.dataset.split_digest, job.settings.augment.model_dump(mode="json")] if views else []  # type: ignore[attr-defined]
        alike = most.setdefault(files.digest(_encoded(job)), {})
        best = alike.setdefault(files.digest(drawn), number)
        if views > getattr(jobs[best].settings, "views", 0):
            alike[files.digest(drawn)] = number
    plain = files.digest([])
    sets = [sorted(one for drawn, one in alike.items() if drawn != plain or len(alike) == 1) for alike in most.values()]
    return tuple(Task(tuple(some), jobs[some[0]].model.name, 0.0) for some in sorted(sets))


def _encoded(job: Job) -> list[Any]:
    """Return what tells the features of a job's clean images from others'."""
    card, without = job.dataset.card, {"split", "precision", "balance", "slices"}
    own = job.settings.model_dump(mode="json", include=set(Settings.model_fields) - without)
    drawn = job.settings.normalise == "dataset" and (card.mean is None or card.std is None) and not job.options.folds
    encoders = [[model.material(), weights.sha256] for model, weights in job.encoders]
    split = job.dataset.split_digest if drawn else ""  # whose training images give mean and deviation
    shifts = [shift.material for shift in job.shifts]
    return [encoders, job.dataset.digest, job.image_size, job.precision, own, split, shifts]


def _chunks(jobs: Numbered, numbers: Iterable[int], minutes: Minutes, least: float) -> tuple[Task, ...]:
    """Return tasks of at least `least` minutes.

    Jobs that share work are in one task: the depths of a sweep, and the splits of a head, which are fitted together.
    """
    shared: dict[tuple[str, ...], list[list[int]]] = {}
    whole: dict[tuple[str, ...], list[int]] = {}
    for number in numbers:
        job = jobs[number]
        common = (job.model.name, job.weights.sha256, job.dataset.digest, job.precision)
        sweep = (*common, job.family) if job.kind.sweep or not job.kind.images else (*common, *job.place)
        if sweep not in whole:
            whole[sweep] = []
            shared.setdefault(common if least else sweep, []).append(whole[sweep])
        whole[sweep].append(number)
    tasks = [task for parts in shared.values() for task in _packed(jobs, parts, minutes, least)]
    return tuple(sorted(tasks, key=lambda task: (-task.minutes, task.jobs)))


def _packed(jobs: Numbered, parts: list[list[int]], minutes: Minutes, least: float) -> list[Task]:
    """Fill tasks with parts in their order until each takes `least` minutes."""
    found: list[Task] = []
    numbers: list[int] = []
    spent = 0.0
    for part in parts:
        numbers += part
        spent += sum(minutes(jobs[number]) for number in part)
        if spent >= least:
            found.append(Task(tuple(numbers), jobs[numbers[0]].model.name, spent))
            numbers, spent = [], 0.0
    if numbers:
        found.append(Task(tuple(numbers), jobs[numbers[0]].model.name, spent))
    return found


def _joined(tasks: tuple[Task, ...]) -> tuple[Task, ...]:
    """Join tasks of the same model until there are at most `MOST_TASKS`, or one for each model; the longest first."""
    if len(tasks) <= MOST_TASKS:
        return tasks
    models: dict[str, list[Task]] = {}
    for task in tasks:
        models.setdefault(task.model, []).append(task)
    size = 2
    while sum(math.ceil(len(one) / size) for one in models.values()) > max(MOST_TASKS, len(models)):
        size += 1
    parts = [one[at : at + size] for one in models.values() for at in range(0, len(one), size)]
    found = [
        Task(tuple(job for task in part for job in task.jobs), part[0].model, sum(task.minutes for task in part))
        for part in parts
    ]
    return tuple(sorted(found, key=lambda task: (-task.minutes, task.jobs)))
