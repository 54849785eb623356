"""`medbench status --jobs`, `medbench logs` and `medbench cancel`: what a cluster does with what was submitted."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import options, output
from medbench.errors import MedbenchError

COLUMNS = ("submission", "task", "job", "state", "done", "units", "why")
PRINTED_LINES = 20
"""Lines that are shown of what a process printed outside its log."""


def show_jobs(runs: Path, *, as_json: bool) -> None:
    """Show the tasks that are not done, and how many are in each state."""
    from medbench.runs.cluster.follow import states

    found = list(states(runs))
    rows = [asdict(one) for one in found if as_json or one.state != "done"]
    if rows or as_json:
        output.write_rows(rows, COLUMNS, title=str(runs), as_json=as_json, last=("submission", "units", "done"))
    if as_json:
        return
    counts = Counter(one.state for one in found)
    told = ", ".join(f"{number} {state}" for state, number in counts.items())
    output.note(f"tasks: {told}, in {runs}" if found else f"no tasks were submitted from {runs}")
    if counts["lost"] + counts["failed"]:
        output.note(
            "log of a task: medbench logs JOB; to submit unfinished tasks again, repeat the medbench run command"
        )


def logs(
    what: Annotated[
        str, typer.Argument(metavar="JOB|UNIT", help="Slurm job, such as 12 or 12_3; or DATASET/MODEL/PROTOCOL.")
    ],
    runs: options.Runs = None,
) -> None:
    """Print the logs of submitted tasks."""
    from medbench.records.submitted import last_lines, submissions
    from medbench.runs.cluster.follow import logs as tasks_of
    from medbench.storage import paths

    place = paths.runs_dir(runs)
    if next(submissions(place), None) is None:
        raise MedbenchError(
            f"no tasks were submitted to Slurm from {place}",
            f"logs of --on node and --on commands are in {place / 'logs'}",
        )
    for one in tasks_of(place, what):
        output.write(f"{one.submission} {one.task}, job {one.job}: {one.state}{one.why and f' ({one.why})'}")
        output.write(f"{one.log}:")
        if one.log.is_file():
            output.write(one.log.read_text(encoding="utf-8", errors="replace").rstrip("\n"))
        if one.state != "done" and (lines := last_lines(one.printed, PRINTED_LINES)):
            output.write(f"{one.printed}, the last lines:")
            output.write("\n".join(lines))


def cancel(
    submission: Annotated[
        str | None, typer.Argument(help="Name of the submission; default: all submissions of the run store.")
    ] = None,
    runs: options.Runs = None,
) -> None:
    """Cancel submitted tasks.

    Running and waiting tasks are ended. Finished units are kept; to submit the rest again, repeat the `medbench run`
    command.
    """
    from medbench.runs.cluster.follow import cancel as end
    from medbench.storage import paths

    ended = end(paths.runs_dir(runs), submission)
    output.write(f"{len(ended)} tasks cancelled: {', '.join(ended)}")
