"""`medbench status`: what is done, what failed and what is still to be run."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from medbench.cli import options, output
from medbench.cli.cluster.jobs import show_jobs

COLUMNS = (
    "dataset",
    "model",
    "protocol",
    "settings",
    "weights",
    "split",
    "data",
    "precision",
    "done",
    "failed",
    "planned",
    "begun",
    "seeds",
    "metric",
    "mean",
    "seen",
)
TELLING = ("weights", "split", "data", "precision", "failed", "planned", "begun", "seen")
"""Columns that are shown only where they tell rows apart, or hold something."""
LAST = ("begun", "seen", "planned", "failed", "data", "split", "precision", "weights", "seeds", "done", "settings")
"""What a narrow terminal leaves out, the first to go first."""


def status(
    runs: options.Runs = None,
    out: options.OutRuns = None,
    jobs: Annotated[bool, typer.Option("--jobs", help="Show the tasks that were submitted with --on slurm.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show finished, failed and planned units.

    Prints one line for each row of the result tables, and failed units with their errors. The column `seen`
    marks models that saw the data set in pre-training.
    """
    from medbench.records.status import statuses
    from medbench.storage import paths

    place = paths.runs_dir(runs or out)
    if jobs:
        show_jobs(place, as_json=as_json)
        return
    rows = statuses(place)
    if as_json:
        output.write_json(rows)
        return
    done, failed, planned = (sum(row[key] for row in rows) for key in ("done", "failed", "planned"))
    if rows:
        columns = _telling(rows)
        output.write_rows(rows, columns, title=str(place), last=[name for name in LAST if name in columns])
    for row in rows:
        for failure in row["failures"]:
            where = f"{row['dataset']} {row['model']} {row['protocol']} seed {failure['seed']}"
            output.write(f"failed: {where}: {failure['error']}")
    more = f", {planned} planned" if planned else ""
    if planned:
        output.note("planned: units of running or interrupted runs; rerun the command to continue")
    output.note(f"{done} done, {failed} failed{more}, in {place}" if rows else f"nothing has been run yet in {place}")


def _telling(rows: list[dict[str, Any]]) -> list[str]:
    """Return the columns, without those in which all rows say the same, or nothing.

    Splits and contents of data are told where one data set has several.
    """
    return [name for name in COLUMNS if name not in TELLING or _tells(rows, name)]


def _tells(rows: list[dict[str, Any]], name: str) -> bool:
    if name in ("split", "data"):
        known = {(row["dataset"], row[name]) for row in rows if row[name]}
        return len(known) > len({dataset for dataset, _ in known})
    return len({row[name] or None for row in rows}) > 1
