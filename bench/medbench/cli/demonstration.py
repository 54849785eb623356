"""`medbench demo`: the whole way on toy data, from drawn images to a table of metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import output

MODELS, DATASET = "toy-vit,toy-cnn", "toy"
PROTOCOLS: dict[str, dict[str, object]] = {
    "linear-frozen": {"views": 4, "learning_rates": [0.001, 0.01, 0.1]},
    "knn": {"k": "auto"},
}
"""Protocol -> what is changed. The paper's learning rates are for trained encoders of 768 features, not for random ones
of 192, and its 200 neighbours are half of the toy training images; fewer views keep it under a minute."""


def demo(
    out: Annotated[Path | None, typer.Option(help="Run store; default: MEDBENCH_RUNS or results/runs.")] = None,
) -> None:
    """Run two toy models on toy data, offline, and print the table (under a minute on two cores)."""
    from medbench import paths, report
    from medbench.cli.tables import write_table
    from medbench.runs import RunFailedError, run

    try:
        for protocol, changes in PROTOCOLS.items():
            run(MODELS, protocol, DATASET, changes=changes, out=out)
    except RunFailedError as error:
        output.note(f"error: {error.message}\nhint: {error.hint}")
        raise typer.Exit(1) from error
    write_table(report.table(f"dataset/{DATASET}", paths.runs_dir(out), include_random=True))
    output.write(f"\nrecords: {paths.runs_dir(out) / DATASET}")
    output.note(f"next: medbench ls models; medbench run --model toy-vit --protocol linear-frozen --dataset {DATASET}")
