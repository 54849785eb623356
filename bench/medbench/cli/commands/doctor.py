"""`medbench doctor`: is this machine ready, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medbench.cli import complete, options, output

if TYPE_CHECKING:
    from medbench.doctor import Diagnosis


def doctor(
    part: Annotated[
        str | None,
        typer.Argument(
            metavar="PART",
            help="Show the details of one part: libraries, gpu, disk, hub, data or models.",
            autocompletion=complete.parts,
        ),
    ] = None,
    site: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Check the site file of a cluster and the nodes it names.")
    ] = None,
    runs: options.Runs = None,
    as_json: options.Json = False,
) -> None:
    """Check that this machine is ready.

    Checks Python, torch, GPU, disk space, access to the Hugging Face hub, data and weights, and lists what is missing.
    """
    from dataclasses import asdict

    from medbench.doctor import examine

    rows = [asdict(diagnosis) for diagnosis in (examine(part) if site is None else _of_site(site, runs))]
    output.write_rows(rows, ("what", "state", "detail"), as_json=as_json)
    if any(row["state"] == "wrong" for row in rows):
        raise typer.Exit(1)


def _of_site(site: Path, runs: Path | None) -> Iterator[Diagnosis]:
    from medbench.cli.cluster.check_site import check
    from medbench.runs.cluster.site import find_site
    from medbench.storage import paths

    return check(find_site(site), paths.runs_dir(runs), paths.home())
