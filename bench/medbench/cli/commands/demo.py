"""`medbench demo`: every step on toy data, from images to a table of metrics."""

from __future__ import annotations

import typer

from medbench.cli import options, output

MODELS, PROTOCOLS, DATASET = "toy-vit,toy-cnn", "linear-frozen,knn", "toy"


def demo(runs: options.Runs = None, out: options.OutRuns = None) -> None:
    """Run two toy models on toy data, offline.

    Prints the table of their metrics; takes under a minute on two cores.
    """
    from medbench.api import RunFailedError, run
    from medbench.cli.commands.table import write_table
    from medbench.report.tables import lookup
    from medbench.storage import paths

    place = paths.runs_dir(runs or out)
    try:
        run(MODELS, PROTOCOLS, DATASET, runs=place)
    except RunFailedError as error:
        output.note(f"error: {error.message}\nhint: {error.hint}")
        raise typer.Exit(1) from error
    write_table(lookup.table(f"dataset/{DATASET}", place, include_random=True))
    output.write(f"\nrecords: {place / DATASET}")
    output.note(f"next: medbench ls models; medbench run --model toy-vit --protocol linear-frozen --dataset {DATASET}")
