"""`medbench doctor`: is this machine ready, and what is missing."""

from __future__ import annotations

from typing import Annotated

import typer

from medbench.cli import complete, options, output


def doctor(
    part: Annotated[
        str | None,
        typer.Argument(
            metavar="PART",
            help="All about one: libraries, gpu, disk, hub, data or models.",
            autocompletion=complete.parts,
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Check that this machine is ready.

    The check covers Python, torch, GPU, disk space, hub access, data and weights, and says what is missing.
    """
    from dataclasses import asdict

    from medbench.doctor import examine

    rows = [asdict(diagnosis) for diagnosis in examine(part)]
    output.write_rows(rows, ("what", "state", "detail"), as_json=as_json)
    if any(row["state"] == "wrong" for row in rows):
        raise typer.Exit(1)
