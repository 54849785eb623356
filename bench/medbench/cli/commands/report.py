"""`medbench report`: everything in the run store as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import output


def report(
    to: Annotated[
        Path | None, typer.Option(help="The file, or its folder; default: report.html, beside the runs.")
    ] = None,
    runs: Annotated[
        Path | None, typer.Option("--runs", "--out", help="Run store; default: MEDBENCH_RUNS or results/runs.")
    ] = None,
    dataset: Annotated[str, typer.Option(help="A name or glob: only these data sets.")] = "*",
    random: Annotated[bool, typer.Option("--random", help="Random weights in papers' tables and figures too.")] = False,
    thumbnails: Annotated[int, typer.Option(min=0, help="Pictures of the worst test images, on each page.")] = 8,
    data_root: Annotated[Path | None, typer.Option(help="Where the data lie, for the pictures.")] = None,
    data: Annotated[
        list[str] | None, typer.Option(metavar="FILE|DIR", help="Your own data set, for its pictures; repeat it.")
    ] = None,
) -> None:
    """Write one HTML file that needs no network: tables, figures, a page for each run, provenance, what is missing."""
    from medbench import write_report

    path = write_report(runs, to, dataset, random, thumbnails, data_root, data or ())
    output.write(f"{path} ({path.stat().st_size / 2**20:.1f} MB)")
