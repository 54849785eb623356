"""One task of a frozen plan: what a worker does. It may run any number of times and skips what is done."""

from __future__ import annotations

import dataclasses
import logging
import platform
import traceback
from collections.abc import Sequence
from pathlib import Path

import torch

from medbench import progress
from medbench.errors import MedbenchError
from medbench.features.extract import Tally
from medbench.runs.cluster import lives
from medbench.runs.cluster.frozen import thaw
from medbench.runs.cluster.site import GPU_CLASSES
from medbench.runs.cluster.stages import Stage
from medbench.runs.cluster.submit import TaskList, read_tasks, with_needs
from medbench.runs.cluster.task_here import task_here
from medbench.runs.device import choose_device, choose_workers
from medbench.runs.execute import check_needs, execute
from medbench.runs.inputs.choose import features_of
from medbench.runs.inputs.features import Encoders
from medbench.runs.jobs import Job, Plan, Result

log = logging.getLogger(__name__)


def task_of(folder: Path, stage: str, number: int) -> tuple[TaskList, Stage]:
    """Return the tasks of a submission and the stage of one of them.

    Raises:
        MedbenchError: There is no such task.
    """
    tasks = read_tasks(folder)
    found = tasks.stage(stage)
    if not 0 <= number < len(found.tasks):
        raise MedbenchError(f"{stage} has no task {number}", f"give a number from 0 to {len(found.tasks) - 1}")
    return tasks, found


def work(folder: Path, stage: str, number: int) -> Result:
    """Do one task.

    Args:
        folder: The frozen plan.
        stage: Name of the task's stage.
        number: The task's place in it.

    Raises:
        MedbenchError: There is no such task, the plan is of another version, or the machine lacks its GPU.
    """
    tasks, one = task_of(folder, stage, number)
    plan = thaw(folder, one.tasks[number].jobs)
    place = tasks.device if one.kind in GPU_CLASSES else "cpu"
    options = dataclasses.replace(plan.options, device=place, elsewhere=None, download=False)
    here = ", ".join(f"{key} {value}" for key, value in task_here().items())
    progress.say(f"{folder.name}: {stage} {number} on {choose_device(place)}{here and f'; {here}'}")
    jobs = with_needs(plan.jobs) if tasks.needs and one.kind != "prepare" else plan.jobs
    if progress.is_first():
        lives.begin(folder, stage, number, jobs)
    _check_weights(plan.jobs)
    if one.kind not in ("prepare", "features"):
        return execute(Plan(jobs, options))
    asked = {job.place for job in plan.jobs}
    before = [job for job in jobs if job.place not in asked]
    result = execute(Plan(before, options)) if before else Result()
    if not (result.mistakes or result.failures):
        _make_inputs(Plan(plan.jobs, options), one, result)
    return result


def _check_weights(jobs: Sequence[Job]) -> None:
    """Refuse to work on a machine that does not see the weights; nothing is downloaded there.

    Raises:
        MedbenchError: A file is missing; the units of all these jobs say so.
    """
    files = (weights.path for job in jobs for _, weights in job.encoders if weights.origin in ("official", "file"))
    if absent := next((path for path in files if path is not None and not path.is_file()), None):
        message = f"there is no {absent} on this machine ({platform.node()})"
        for job in jobs:
            lives.note(job.options.runs, job.all_units, message)
        raise MedbenchError(message, "keep weights where all nodes see them: set MEDBENCH_HOME to a shared folder")


def _make_inputs(plan: Plan, stage: Stage, result: Result) -> None:
    """Prepare the images of jobs; in a stage of features extract these, too. An error of one job stops no other."""
    device = torch.device(choose_device(plan.options.device))
    encoders = Encoders(device)
    for job in plan.jobs:
        try:
            _make_input(job, encoders, stage)
        except MedbenchError as error:
            result.mistakes.append((job.name, error))
        except Exception as error:  # noqa: BLE001 - as `execute` does
            log.debug("%s", traceback.format_exc())
            result.failures.append((job.name, f"{type(error).__name__}: {error}"))


def _make_input(job: Job, encoders: Encoders, stage: Stage) -> None:
    if stage.kind == "features":
        check_needs(job)
    workers = choose_workers(job.options.workers, encoders.device.type)
    inputs = features_of(job, encoders, workers, Tally())
    if stage.kind == "features":
        inputs.clean("test")
        if views := getattr(job.settings, "views", None):
            inputs.views(views, job.settings.augment)  # type: ignore[attr-defined]
