"""`medbench table`: what was run on a data set, or a paper's table with our numbers in it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medbench.cli import listing, output

if TYPE_CHECKING:
    from medbench.report import Table


def table(
    name: Annotated[str | None, typer.Argument(help="dataset/<name>, or a paper's; none: lists them.")] = None,
    form: Annotated[
        str | None, typer.Option("--format", metavar="text|md|csv|latex|html|json", help="Default: for people.")
    ] = None,
    published: Annotated[bool, typer.Option("--published", help="Show the paper's numbers and differences.")] = False,
    random: Annotated[bool, typer.Option("--random", help="Show random weights too, marked.")] = False,
    runs: Annotated[Path | None, typer.Option(help="Run store; default: MEDBENCH_RUNS or results/runs.")] = None,
) -> None:
    """Print a table; without a name, list them."""
    if name is None:
        rows = listing.table_rows(runs)
        if form == "json":
            output.write_json(rows)
        else:
            output.write_rows(rows, ("name", "title"))
        return
    from medbench import report

    write_table(report.table(name, runs, published, random), form)


def write_table(content: Table, form: str | None = None) -> None:
    """Print a table in one of the formats; None: in colour on a terminal, as aligned text in a pipe."""
    from medbench import report

    if form is None and sys.stdout.isatty():
        from rich.console import Console

        console = Console()
        console.print(report.rich_table(content, console.width))
    else:
        sys.stdout.write(report.render(content, form or "text"))
