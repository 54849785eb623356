"""`medbench table`: what was run on a data set, or a paper's table with our numbers in it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medbench.cli import output, plan_text
from medbench.cli.commands import ls

if TYPE_CHECKING:
    from medbench.report.tables.table import Table
    from medbench.runs.jobs import Options

NUMBERS = ("csv", "json")
"""Formats that carry the 95 % intervals in any case."""


def table(
    name: Annotated[str | None, typer.Argument(help="dataset/<name>, or a paper's; none: lists them.")] = None,
    form: Annotated[
        str | None, typer.Option("--format", metavar="text|md|csv|latex|html|json", help="Default: for people.")
    ] = None,
    published: Annotated[bool, typer.Option("--published", help="Show the paper's numbers and differences.")] = False,
    intervals: Annotated[bool, typer.Option("--intervals", help="Show 95 % intervals (csv, json: always).")] = False,
    random: Annotated[bool, typer.Option("--random", help="Show random weights too, marked.")] = False,
    runs: Annotated[
        Path | None, typer.Option("--runs", "--out", help="Run store; default: MEDBENCH_RUNS or results/runs.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Of a paper's table: another preset than the paper's.")] = None,
    fill: Annotated[bool, typer.Option("--fill", help="Run what a paper's table lacks, then print it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --fill: show the plan and stop.")] = False,
    seeds: Annotated[
        str | None, typer.Option(help="With --fill: a number of seeds or a list; default: the paper's.")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="With --fill: where the data lie.")] = None,
    weights: Annotated[str | None, typer.Option(metavar="random", help="With --fill: for a trial, marked.")] = None,
    device: Annotated[str, typer.Option(help="With --fill: auto, cpu, cuda or cuda:i.")] = "auto",
    precision: Annotated[str, typer.Option(help="With --fill: auto, fp32, bf16 or fp16.")] = "auto",
    workers: Annotated[int | None, typer.Option(help="With --fill: loader processes.")] = None,
) -> None:
    """Print a table; without a name, list them."""
    if name is None:
        _refuse(fill, dry_run, "no table is named")
        _list(runs, form)
        return
    _check(name, form)
    status = 0
    if fill:
        from medbench.runs.jobs import Options

        how = Options(
            data_root=data_root,
            weights=weights,
            device=device,
            precision=precision,
            workers=workers,
            out=runs,
            download=not dry_run,
        )
        found = _fill(name, how, seeds, preset, dry_run)
        if found is None:
            return
        status, random = found, random or weights == "random"
    elif dry_run:
        _refuse(fill, dry_run, "nothing would be run")
    from medbench.report.tables import lookup

    write_table(lookup.table(name, runs, published, random, intervals or form in NUMBERS, preset), form, intervals)
    if status:
        raise typer.Exit(status)


def write_table(content: Table, form: str | None = None, intervals: bool = False) -> None:
    """Print a table in one of the formats; None: in colour on a terminal, as aligned text in a pipe."""
    import dataclasses

    from medbench.report.tables import lookup

    content = dataclasses.replace(content, intervals=intervals)
    if form is None and sys.stdout.isatty():
        from rich.console import Console

        console = Console()
        console.print(lookup.rich_table(content, console.width))
    else:
        sys.stdout.write(lookup.render(content, form or "text"))


def _list(runs: Path | None, form: str | None) -> None:
    rows = ls.table_rows(runs)
    if form == "json":
        output.write_json(rows)
    else:
        output.write_rows(rows, ("name", "title"))


def _check(name: str, form: str | None) -> None:
    """Refuse an unknown format before anything is run."""
    from medbench.errors import unknown
    from medbench.report.tables.render import FORMATS

    if form is not None and form not in FORMATS:
        raise unknown("format", form, FORMATS)


def _refuse(fill: bool, dry_run: bool, why: str) -> None:
    from medbench.errors import MedbenchError

    if fill or dry_run:
        option = "--fill" if fill else "--dry-run"
        raise MedbenchError(f"{option}: {why}", "e.g. medbench table wacv2024/table1 --fill --dry-run")


def _fill(name: str, options: Options, seeds: str | None, preset: str | None, dry_run: bool) -> int | None:
    """Run what a paper's table lacks; returns the exit status, or None after a dry run."""
    from medbench import cards
    from medbench.cli.commands.run import seeds_of
    from medbench.errors import MedbenchError, unknown

    kind, _, rest = name.partition("/")
    if kind == "dataset":
        raise MedbenchError(
            f"--fill: {name} shows what was run, so nothing is missing from it",
            f"medbench run --model MODEL --protocol PROTOCOL --dataset {rest}",
        )
    paper = cards.find_paper(kind)
    if rest not in paper.tables:
        raise unknown("table", name, [f"{kind}/{table}" for table in paper.tables], "All: medbench table")
    done = plan_text.fill(paper, [rest], options, seeds=seeds_of(seeds), preset=preset, dry_run=dry_run)
    return None if done is None else plan_text.complain(done[1])
