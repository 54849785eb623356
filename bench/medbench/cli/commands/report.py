"""`medbench report`: everything in the run store as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import options, output


def report(
    to: Annotated[
        Path | None, typer.Option(help="Output file or folder; default: report.html next to the run store.")
    ] = None,
    runs: options.Runs = None,
    out: options.OutRuns = None,
    dataset: Annotated[str, typer.Option(help="Only these data sets: a name or glob.")] = "*",
    random: options.Random = False,
    thumbnails: Annotated[
        int, typer.Option(min=0, help="Number of misclassified test images to show on each page, worst first.")
    ] = 8,
    data_root: options.DataRoot = None,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE|DIR", help="Your own data set, whose images are to be shown; repeatable."),
    ] = None,
) -> None:
    """Write all results to one HTML file.

    The file needs no network. It contains tables, figures, a page for each run, the provenance, and what is missing.
    """
    from medbench import write_report

    path = write_report(runs or out, to, dataset, random, thumbnails, data_root, data or ())
    output.write(f"{path} ({path.stat().st_size / 2**20:.1f} MB)")
