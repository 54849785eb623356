"""Slurm by submitit: a stage is an array of jobs; a task that nears its time limit saves and is queued again."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from medbench.errors import MedbenchError, unknown
from medbench.runs.cluster.engines.squeue import cancel, told
from medbench.runs.cluster.site import Resources, Site
from medbench.runs.cluster.stages import Stage, Worker

MOST_AT_ONCE = 1001
"""Slurm's default MaxArraySize, if its configuration cannot be read."""


def check(site: Site | None = None) -> None:
    """Refuse to submit where nothing can be submitted.

    Args:
        site: Its partitions must exist; None: partitions are not checked.

    Raises:
        MedbenchError: There is no sbatch here, submitit is not installed, or the cluster has no such partition.
    """
    if absent := [tool for tool in ("sbatch", "srun", "squeue") if shutil.which(tool) is None]:
        raise MedbenchError(
            f"--on slurm: the command {absent[0]} is not on this machine",
            "submit on a login node of the cluster; on one machine with several GPUs use --on node",
        )
    try:
        import submitit  # noqa: F401
    except ImportError as error:
        raise MedbenchError("--on slurm needs the package submitit", "pip install 'medbench[slurm]'") from error
    known = (told("sinfo", "--all", "-h", "-o", "%R") or "").split()
    for own in site.every() if site and known else ():
        for name in (own.partition or known[0]).split(","):  # Slurm takes the one that starts first
            if name not in known:
                raise unknown("partition of this cluster", name, known)


def submit(stage: Stage, site: Site, after: Sequence[str], logs: Path, name: str, worker: Worker) -> list[str]:
    """Submit a stage and return Slurm's name of each task, such as 12_0.

    Tasks wait until all of `after` have ended, also if these failed: a task that needs missing work says so itself.

    Args:
        stage: The stage.
        site: The cluster.
        after: Slurm's names of jobs.
        logs: Folder of submitit's files.
        name: Of the submission, shown in the queue.
        worker: Makes what a process runs.

    Raises:
        MedbenchError: Slurm refuses it.
    """
    found: dict[int, str] = {}
    groups: dict[Resources, list[int]] = {}
    for number, task in enumerate(stage.tasks):
        groups.setdefault(site.resources(stage.kind, task.model), []).append(number)
    for resources, numbers in groups.items():
        for part in _parts(numbers, longest_array()):
            executor = _executor(stage, site, resources, after, logs, name)
            calls = [worker(stage.name, number) for number in part]
            try:
                found |= dict(zip(part, _submitted(executor, calls), strict=True))
            except MedbenchError:
                cancel(list(found.values()))  # a stage is submitted completely or not at all
                raise
    return [found[number] for number in range(len(stage.tasks))]


def _executor(stage: Stage, site: Site, own: Resources, after: Sequence[str], logs: Path, name: str) -> Any:
    import submitit

    executor = submitit.SlurmExecutor(folder=logs, max_num_timeout=own.requeues, python=site.python)
    given = {
        "job_name": f"medbench-{name}-{stage.name}",
        "time": own.minutes,
        "cpus_per_task": own.cpus,
        "mem": f"{round(own.memory_gb * 1024)}MB",  # sbatch takes whole numbers
        "partition": own.partition,
        "constraint": own.constraint,
        "gpus_per_node": own.gpus or None,
        "ntasks_per_node": own.processes,
        "array_parallelism": site.at_once,
        "signal_delay_s": site.signal_seconds,
        "stderr_to_stdout": True,
        "setup": [*(f"export {key}={shlex.quote(value)}" for key, value in site.env.items()), *site.setup],
        # not all versions of srun inherit the first from sbatch; the second ends processes that wait for a failed one
        "srun_args": [f"--cpus-per-task={own.cpus}", "--kill-on-bad-exit=1", *site.srun_args],
        "dependency": f"afterany:{':'.join(after)}" if after else None,
        "additional_parameters": dict(site.extra),
    }
    executor.update_parameters(**{key: value for key, value in given.items() if value is not None})
    return executor


def _submitted(executor: Any, calls: list[Callable[[], Any]]) -> list[str]:
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        with _without_ctrl_c(), executor.batch():
            jobs = [executor.submit(call) for call in calls]
        return [str(job.job_id) for job in jobs]
    except (FailedJobError, FailedSubmissionError) as error:
        said = next((line for line in reversed(str(error).splitlines()) if line.strip()), str(error))
        raise MedbenchError(
            f"Slurm refuses the jobs: {said.strip().removeprefix('sbatch: error: ')}",
            "fix the site file (medbench doctor --site FILE checks it), or wait if the queue is full",
        ) from error


@contextlib.contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Hear Ctrl-C only after this block, and keep it from the programs that the block starts.

    A terminal sends Ctrl-C to all of them. If it ended sbatch, jobs could be in the queue that no note knows.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def longest_array() -> int:
    """Return the most tasks that one array of this cluster may have."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", told("scontrol", "show", "config") or "")
    return max(1, int(found[1]) - 1) if found else MOST_AT_ONCE - 1


def _parts(numbers: Sequence[int], most: int) -> list[Sequence[int]]:
    return [numbers[start : start + most] for start in range(0, len(numbers), most)]
