"""`medbench leaderboard`: the results of a run store as static web pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import options, output


def leaderboard(
    to: Annotated[Path, typer.Option(help="The folder of the pages.")],
    runs: options.Runs = None,
    random: options.Random = False,
) -> None:
    """Write results as web pages.

    The index has a row for each model and protocol and a column for each data set; each data set has a page of its own.
    Any web server can show the folder. The pages load nothing and hold no image. A page of an earlier call is deleted
    if its data set has no results any more.
    """
    from medbench import write_leaderboard

    written = write_leaderboard(to, runs, random)
    output.write(f"{written[-1]}; pages of data sets: {len(written) - 1}")
