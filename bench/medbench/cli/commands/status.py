"""`medbench status`: what is done, what failed and what a run has still to do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import output
from medbench.records.status import statuses

COLUMNS = (
    "dataset",
    "model",
    "protocol",
    "preset",
    "done",
    "failed",
    "planned",
    "begun",
    "seeds",
    "metric",
    "mean",
    "seen",
)


def status(
    out: Annotated[Path | None, typer.Option(help="Run store; default: MEDBENCH_RUNS or results/runs.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show which units are done, failed (with their errors) and planned, and where a model has seen the data."""
    from medbench.storage import paths

    runs = paths.runs_dir(out)
    rows = statuses(runs)
    if as_json:
        output.write_json(rows)
        return
    done, failed, planned = (sum(row[key] for row in rows) for key in ("done", "failed", "planned"))
    if rows:
        output.write_rows(rows, COLUMNS, title=str(runs))
    for row in rows:
        for failure in row["failures"]:
            where = f"{row['dataset']} {row['model']} {row['protocol']} seed {failure['seed']}"
            output.write(f"failed: {where}: {failure['error']}")
    more = f", {planned} planned" if planned else ""
    if planned:
        output.note("planned: by runs that go on, or were broken off: the same command goes on (notes: .plans there)")
    output.note(f"{done} done, {failed} failed{more}, in {runs}" if rows else f"nothing was run yet in {runs}")
