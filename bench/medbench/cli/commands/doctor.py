"""`medbench doctor`: is this machine ready, and what is missing."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from medbench.cli import output
from medbench.doctor import examine


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Look at Python, torch, GPU, disk, hub access, data and weights; say what is missing."""
    findings = list(examine())
    if as_json:
        output.write_json([asdict(finding) for finding in findings])
    else:
        output.write_rows([asdict(finding) for finding in findings], ("what", "state", "detail"))
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(1)
