"""`medbench work`: one task of a submission, on whatever machine it is started."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medbench.cli import plan_text
from medbench.errors import MedbenchError
from medbench.progress import Stopped, stoppable

if TYPE_CHECKING:
    from medbench.runs.jobs import Result

log = logging.getLogger(__name__)

INDICES = (("SLURM_ARRAY_TASK_ID", 0), ("PBS_ARRAY_INDEX", 0), ("LSB_JOBINDEX", 1), ("JOB_COMPLETION_INDEX", 0))
"""Variable in which a scheduler tells a task its number, and the number of its first task."""


def work(
    folder: Annotated[Path, typer.Argument(help="Folder of a submission.")],
    stage: Annotated[str, typer.Argument(help="Stage, such as heads.")],
    number: Annotated[
        int | None, typer.Argument(help="Number of the task; default: the index in the scheduler's job array.")
    ] = None,
) -> None:
    """Run one task of a submission.

    Finished units are skipped.
    """
    if status := task(folder, stage, number):
        raise typer.Exit(status)


def task(folder: Path, stage: str, number: int | None) -> int:
    """Run a task with a log of its own, whose last line says how it ended; return the exit status.

    Raises:
        MedbenchError: There is no such task.
    """
    from medbench import progress
    from medbench.records.submitted import DONE, FAILED, log_of
    from medbench.runs.cluster.submit import TABLES, read_tasks
    from medbench.runs.cluster.work import task_of
    from medbench.runs.cluster.work import work as do
    from medbench.runs.jobs import Result

    if stage == TABLES:
        number = 0
        read_tasks(folder)  # before anything is logged there
    else:
        number = _index() if number is None else number
        task_of(folder, stage, number)
    own = log_of(folder, stage, number)
    first = progress.is_first()
    with progress.logged(own, first), progress.quiet(not first):
        try:
            result = tables(folder) if stage == TABLES else do(folder, stage, number)
        except MedbenchError as error:
            result = Result(mistakes=[(f"{stage} {number}", error)])
        except Exception as error:  # noqa: BLE001 - the log must say why a task ended
            log.debug("%s", traceback.format_exc())
            result = Result(failures=[(f"{stage} {number}", f"{type(error).__name__}: {error}")])
    with progress.logged(own):
        status = plan_text.complain(result, progress.say)
        if first or status:
            progress.say(FAILED if status else DONE)
    return status


def _index() -> int:
    for name, first in INDICES:
        if os.environ.get(name, "").isdecimal():
            return int(os.environ[name]) - first
    raise MedbenchError(
        "no task number is given, and no environment variable of a scheduler has it",
        "give one: medbench work FOLDER STAGE N",
    )


def tables(folder: Path) -> Result:
    """Write the tables of the data sets of a submission; those without a record are the result's mistakes."""
    from medbench.report.tables.dataset_table import write_dataset_tables
    from medbench.runs.cluster.frozen import thaw
    from medbench.runs.cluster.submit import TABLES
    from medbench.runs.jobs import Result
    from medbench.storage import paths

    plan, result = thaw(folder), Result()
    for name in sorted({job.dataset.card.name for job in plan.jobs}):
        try:
            write_dataset_tables(plan.options.runs, paths.tables_dir(plan.options.runs), name)
        except MedbenchError as error:  # the other data sets have their tables
            result.mistakes.append((f"{TABLES} {name}", error))
    return result


class Worker:
    """What a scheduler's process runs: a task, again after each requeue."""

    def __init__(self, folder: Path, stage: str, number: int) -> None:
        self.folder, self.stage, self.number = folder, stage, number

    def __call__(self) -> int:
        """Run the task and return the exit status.

        Near its time limit, or if Slurm takes the node away, it saves and asks to be queued again.
        """
        requeue: Any = signal.getsignal(signal.SIGUSR2)  # submitit's, which asks the scheduler and ends the process
        from medbench.runs.cluster import lives

        alone = not _join_ranks()
        try:
            with stoppable():
                lives.check(self.folder, self.stage, self.number)
                status = task(self.folder, self.stage, self.number)
            if status and not alone:
                sys.exit(status)  # srun ends the others, which may wait for this one
            return status
        except Stopped as stop:
            if callable(requeue) and (stop.signal == signal.SIGUSR2 or _preempted(stop)):
                self._again(requeue)
            return 128 + stop.signal
        except MedbenchError as error:
            self._tell(error)
            return 2

    def _again(self, requeue: Callable[[int, None], None]) -> None:
        """Ask to be queued again, which ends the process; if it was queued too often, record this and return."""
        from submitit.core.utils import UncompletedJobError

        from medbench.runs.cluster import lives

        try:
            requeue(signal.SIGUSR2, None)
        except UncompletedJobError:
            why = (
                f"{self.stage} {self.number}: reached its time limit more often than `requeues` in the site file allows"
            )
            lives.end(self.folder, self.stage, self.number, why)
            self._tell(MedbenchError(why, lives.HINT))

    def _tell(self, error: MedbenchError) -> None:
        """Write to the task's log why it ended; of several processes, only the first one does."""
        from medbench import progress
        from medbench.records.submitted import FAILED, log_of

        with (
            progress.quiet(not progress.is_first()),
            progress.logged(log_of(self.folder, self.stage, self.number), progress.is_first()),
        ):
            for line in (f"error: {error.message}", f"hint: {error.hint}", FAILED):
                progress.say(line)

    def checkpoint(self) -> Any:
        """Return what is run after a requeue: the same, since all state is in files."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _preempted(stop: Stopped) -> bool:
    """Tell whether Slurm takes the node away: it signals the task first and requeues it, unless the task ends before.

    A task that is cancelled or at its time limit no longer counts as running when it gets the signal.
    """
    from medbench.runs.cluster.engines import squeue

    job = os.environ.get("SLURM_JOB_ID")
    return stop.signal == signal.SIGTERM and job is not None and squeue.state(job) == "RUNNING"


def _join_ranks() -> bool:
    """Let the processes of one task find each other, as torchrun does; tell whether there are several."""
    if int(os.environ.get("SLURM_NTASKS", "1")) == 1:
        return False
    from submitit.helpers import TorchDistributedEnvironment

    TorchDistributedEnvironment().export(set_cuda_visible_devices=False)  # each process chooses its GPU itself
    return True
