"""Notes of what was submitted to a scheduler: with them nothing is submitted twice, and nothing is lost."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from medbench.records.schema import Unit
from medbench.records.store import Place
from medbench.storage import files

FOLDER = ".submitted"
PLAN = "plan.json"
"""File of a frozen plan that is written last, before its tasks are submitted."""
DONE, FAILED = "task done", "task failed"
"""Last line of a task's log."""


def log_of(folder: Path, stage: str, number: int) -> Path:
    """Return the log of a task of the submission whose plan is in `folder`."""
    return folder.parents[1] / "logs" / folder.name / f"{stage}-{number}.txt"


@dataclass(frozen=True)
class SubmittedTask:
    """One task of a submission.

    Attributes:
        stage: Name of its stage.
        number: Its place in the stage.
        job: The scheduler's name of it, such as 1234_5; empty: not submitted.
        units: The units that it makes, with their keys; none for tasks that prepare or extract.
    """

    stage: str
    number: int
    job: str
    units: tuple[tuple[Unit, str], ...] = ()

    @property
    def places(self) -> list[tuple[Place, str]]:
        """Where its records are, with their keys: two cards of one network and one file have the same keys."""
        return [((unit.dataset, unit.model, unit.protocol), key) for unit, key in self.units]


@dataclass(frozen=True)
class Submission:
    """What one command submitted.

    Attributes:
        name: Its name, and that of the folder of its plan.
        engine: The scheduler.
        folder: The frozen plan.
        logs: Folder of the tasks' logs.
        command: The command line.
        tasks: Its tasks.
    """

    name: str
    engine: str
    folder: Path
    logs: Path
    command: str
    tasks: tuple[SubmittedTask, ...]

    def log(self, task: SubmittedTask) -> Path:
        """Return the log of a task."""
        return log_of(self.folder, task.stage, task.number)

    def printed(self, task: SubmittedTask) -> Path:
        """Return the file of what a task's process printed."""
        return self.logs / "submitit" / f"{task.job}_0_log.out"


def last_lines(file: Path, number: int) -> list[str]:
    """Return the last lines of a file; none if there is no such file."""
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            return [line.rstrip("\n") for line in deque(lines, maxlen=number)]
    except OSError:
        return []


SUBMISSION = TypeAdapter(Submission)


def note(runs: Path, submission: Submission) -> Path:
    """Write the note of a submission and return its path.

    Raises:
        OutputError: The folder is read-only or full.
    """
    place = runs / FOLDER / f"{submission.name}.json"
    files.write_json(place, SUBMISSION.dump_python(submission, mode="json"))
    return place


def submissions(runs: Path) -> Iterator[Submission]:
    """Yield the submissions of a run store, the oldest first; a damaged note is skipped."""
    for file in sorted((runs / FOLDER).glob("*.json")):
        try:
            yield SUBMISSION.validate_python(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, ValidationError):
            continue
