"""`medbench demo`: the whole way on toy data, from drawn images to a table of metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import output

MODELS, PROTOCOLS, DATASET = "toy-vit,toy-cnn", "linear-frozen,knn", "toy"


def demo(
    out: Annotated[Path | None, typer.Option(help="Run store; default: MEDBENCH_RUNS or results/runs.")] = None,
) -> None:
    """Run two toy models on toy data, offline, and print the table (under a minute on two cores)."""
    from medbench.api import RunFailedError, run
    from medbench.cli.commands.table import write_table
    from medbench.report.tables import lookup
    from medbench.storage import paths

    try:
        run(MODELS, PROTOCOLS, DATASET, out=out)
    except RunFailedError as error:
        output.note(f"error: {error.message}\nhint: {error.hint}")
        raise typer.Exit(1) from error
    write_table(lookup.table(f"dataset/{DATASET}", paths.runs_dir(out), include_random=True))
    output.write(f"\nrecords: {paths.runs_dir(out) / DATASET}")
    output.note(f"next: medbench ls models; medbench run --model toy-vit --protocol linear-frozen --dataset {DATASET}")
