"""The GPUs of one machine: a queue of tasks, and one process at a time for each slot on a GPU or the CPU."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medbench.errors import MedbenchError
from medbench.progress import Advance, Stopped, bar
from medbench.runs.cluster.site import GPU_CLASSES
from medbench.runs.cluster.stages import Stage

POLL = 0.2
"""Seconds between two looks at a process."""
Command = Callable[[str, int], Sequence[str]]
"""Stage and number of a task -> the words of the command that runs it."""


def run(stages: Sequence[Stage], gpus: Sequence[int], outputs: Path, cores: int, command: Command) -> dict[str, str]:
    """Run all tasks and return those that failed, as STAGE-NUMBER, with what ended them.

    A stage starts when the stages that it waits for have ended; stages that do not wait for each other run side by
    side. Each task is a process of its own that sees one GPU or none. One that a signal ends is started a second time.
    All processes end with this one: each gets one SIGTERM, on which it saves; a second signal to this process kills
    them.

    Args:
        stages: The stages.
        gpus: Numbers of the GPUs; one that is named twice takes two tasks at once; empty: CPU alone.
        outputs: Folder for what each process prints.
        cores: Processors that tasks without a GPU may use.
        command: What a process runs.

    Raises:
        Stopped: This process got a signal.
        MedbenchError: The folder cannot be made.
    """
    try:
        outputs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MedbenchError(f"{outputs}: {error.strerror}", "give another run store with --runs") from error
    tasks = _Queue(stages, [(stage, number, 0) for stage in stages for number in range(len(stage.tasks))])
    pools = {True: [stage for stage in stages if _on_gpu(stage, gpus)]}
    pools[False] = [stage for stage in stages if stage not in pools[True]]
    most = max((len(stage.tasks) for stage in pools[False]), default=0)
    slots = [(True, str(gpu)) for gpu in gpus if pools[True]] + [(False, "")] * min(most, cores)
    with bar("tasks", len(tasks.todo), "tasks") as advance:

        def serve(on_gpu: bool, gpu: str) -> None:
            def start(stage: Stage, number: int) -> subprocess.Popen[bytes]:
                together = len(gpus) if on_gpu else min(len(stage.tasks), cores)
                output = outputs / f"{stage.name}-{number}.txt"
                return _start(command(stage.name, number), gpu, output, max(1, cores // together))

            tasks.serve(pools[on_gpu], start, advance)

        _join([threading.Thread(target=serve, args=slot) for slot in slots], tasks)
    return tasks.failed


@dataclass
class _Queue:
    """The tasks of all stages.

    Attributes:
        stages: The stages.
        todo: (stage, number, lives before) of tasks that wait.
        failed: Task -> what ended it.
        open: Number of tasks of each stage that have not ended.
        changed: Held while these change.
        stop: Set when all processes are to save and end.
        kill: Set when they are to end at once.
    """

    stages: Sequence[Stage]
    todo: list[tuple[Stage, int, int]]
    failed: dict[str, str] = field(default_factory=dict)
    open: Counter[str] = field(default_factory=Counter)
    changed: threading.Condition = field(default_factory=threading.Condition)
    stop: threading.Event = field(default_factory=threading.Event)
    kill: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.open.update(stage.name for stage, _, _ in self.todo)

    def serve(
        self, pool: Sequence[Stage], start: Callable[[Stage, int], subprocess.Popen[bytes]], advance: Advance
    ) -> None:
        """Run tasks of some stages one after the other until all have ended."""
        while (taken := self._take(pool)) is not None:
            stage, number, lives = taken
            try:
                status = self._ended(start(stage, number))
                why = f"ended twice by signal {-status}" if status < 0 else f"exit status {status}"
            except Exception as error:  # noqa: BLE001 - a task that cannot start has failed; the others run
                status, why = 1, f"{type(error).__name__}: {error}"
            with self.changed:
                if self.stop.is_set():
                    return
                if status < 0 and lives == 0:
                    self.todo.append((stage, number, 1))
                else:
                    self.open[stage.name] -= 1
                    if status:
                        self.failed[f"{stage.name}-{number}"] = why
                    advance(1)
                self.changed.notify_all()

    def _take(self, pool: Sequence[Stage]) -> tuple[Stage, int, int] | None:
        """Return a task that can start, waiting for one; None if all tasks of the stages have ended, or all stop."""
        with self.changed:
            while not self.stop.is_set() and any(self.open[stage.name] for stage in pool):
                for place, (stage, _, _) in enumerate(self.todo):
                    if stage in pool and not any(self.open[name] for name in stage.after):
                        return self.todo.pop(place)
                self.changed.wait(POLL)
        return None

    def _ended(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for a process and return its exit status; tell it once to stop when all are to stop."""
        told = False
        while process.poll() is None:
            if self.kill.is_set():
                process.kill()
            elif self.stop.is_set() and not told:
                process.terminate()
                told = True
            time.sleep(POLL)
        return process.returncode


def _on_gpu(stage: Stage, gpus: Sequence[int]) -> bool:
    return bool(gpus) and stage.kind in GPU_CLASSES


def _join(servers: Sequence[threading.Thread], tasks: _Queue) -> None:
    """Start threads and wait for them; on a signal all processes stop, on a second one they are killed."""
    try:
        for server in servers:
            server.start()
        while any(server.is_alive() for server in servers):
            time.sleep(POLL)
    except (Stopped, KeyboardInterrupt):
        tasks.stop.set()
        raise
    finally:
        tasks.stop.set()
        try:
            for server in servers:
                if server.ident is not None:
                    server.join()
        except (Stopped, KeyboardInterrupt):
            tasks.kill.set()
            raise


def _start(words: Sequence[str], gpu: str, output: Path, threads: int) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own: a terminal's Ctrl-C reaches it once, through this process."""
    variables = {**os.environ, "CUDA_VISIBLE_DEVICES": gpu, "OMP_NUM_THREADS": str(threads)}
    with output.open("ab") as file:
        return subprocess.Popen(  # noqa: S603 - our own command
            words, env=variables, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
