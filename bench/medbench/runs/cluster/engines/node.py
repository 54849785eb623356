"""The GPUs of one machine: a queue of tasks, and one process at a time for each slot on a GPU or the CPU."""

from __future__ import annotations

import shlex
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medbench.progress import Advance, Stopped, bar
from medbench.runs.cluster.site import GPU_CLASSES
from medbench.runs.cluster.stages import Stage, Worker

POLL = 0.2
"""Seconds between two looks at a process."""


def run(stages: Sequence[Stage], gpus: Sequence[int], logs: Path, cores: int, worker: Worker) -> list[str]:
    """Run all tasks, stage by stage, and return those that failed twice, as STAGE-NUMBER.

    Each task is a process of its own that sees one GPU; one that dies is started a second time. All processes end with
    this one.

    Args:
        stages: The stages.
        gpus: Numbers of the GPUs; one that is named twice takes two tasks at once; empty: CPU alone.
        logs: Folder of submitit's files.
        cores: Processors that tasks without a GPU may use.
        worker: Makes what a process runs.
    """
    failed: list[str] = []
    for stage in stages:
        slots: list[tuple[int, ...]] = [(gpu,) for gpu in gpus] if stage.kind in GPU_CLASSES and gpus else []
        slots = slots or [()] * max(1, min(len(stage.tasks), cores))
        failed += _stage(stage, slots, logs, max(1, cores // len(slots)), worker)
    return failed


@dataclass
class _Queue:
    """The tasks of one stage.

    Attributes:
        todo: (number, lives before).
        failed: Numbers of tasks that failed twice.
        stop: Set when all processes are to end.
    """

    todo: list[tuple[int, int]]
    failed: list[int] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def serve(self, start: Callable[[int], Any], advance: Advance) -> None:
        """Start tasks one after the other until none is left; one that dies is put back once."""
        while self.todo and not self.stop.is_set():
            number, lives = self.todo.pop(0)
            if _ended_well(start(number), self.stop):
                advance(1)
            elif self.stop.is_set():
                return
            elif lives == 0:
                self.todo.append((number, 1))
            else:
                self.failed.append(number)
                advance(1)


def _stage(stage: Stage, slots: Sequence[tuple[int, ...]], logs: Path, threads: int, worker: Worker) -> list[str]:
    tasks = _Queue([(number, 0) for number in range(len(stage.tasks))])
    with bar(stage.name, len(stage.tasks), "tasks") as advance:

        def serve(gpus: tuple[int, ...]) -> None:
            tasks.serve(lambda number: _start(worker(stage.name, number), gpus, logs, threads), advance)

        servers = [threading.Thread(target=serve, args=(gpus,)) for gpus in slots]
        for server in servers:
            server.start()
        try:
            while any(server.is_alive() for server in servers):
                time.sleep(POLL)
        except (Stopped, KeyboardInterrupt):
            tasks.stop.set()
            raise
        finally:
            for server in servers:
                server.join()
    return [f"{stage.name}-{number}" for number in tasks.failed]


def _start(call: Callable[[], Any], gpus: tuple[int, ...], logs: Path, threads: int) -> Any:
    import submitit

    # not by `setup`: that would put a shell in between, which passes no signal on
    python = f"env OMP_NUM_THREADS={threads} {shlex.quote(sys.executable)}"
    executor = submitit.LocalExecutor(folder=logs, python=python)
    executor.update_parameters(
        gpus_per_node=len(gpus), visible_gpus=gpus, timeout_min=60 * 24 * 365, stderr_to_stdout=True
    )
    return executor.submit(call)


def _ended_well(job: Any, stop: threading.Event) -> bool:
    """Wait for a process, or end it when all is to stop; tell whether it returned 0."""
    while job.get_info()["jobState"] == "RUNNING":
        if stop.is_set():
            job.cancel()
        time.sleep(POLL)
    try:
        return bool(job.result() == 0)
    except Exception:  # noqa: BLE001 - whatever ended it is in its log
        return False
