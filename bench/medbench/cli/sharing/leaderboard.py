"""`medbench leaderboard`: the results of a run store as static web pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import options, output


def leaderboard(
    to: Annotated[Path, typer.Option(help="Output folder.")], runs: options.Runs = None, random: options.Random = False
) -> None:
    """Write results as web pages.

    The index has one row for each model and protocol and one column for each data set. Each data set has its own page.
    Any web server can serve the folder. The pages load nothing from elsewhere and contain no images of the data. A
    page of an earlier call is deleted if its data set no longer has results.
    """
    from medbench import write_leaderboard

    written = write_leaderboard(to, runs, random)
    output.write(f"{written[-1]}; pages of data sets: {len(written) - 1}")
