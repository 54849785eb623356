"""`medbench table`: what was run on a data set, or the table of a paper or study with our numbers in it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from medbench.cli import complete, listing, options, output, plan_text
from medbench.errors import visible

if TYPE_CHECKING:
    from pathlib import Path

    from medbench.report.subgroups.by import By
    from medbench.report.tables.table import Table

NUMBERS = ("csv", "json")
"""Formats that always have the 95 % intervals."""
SURE = ("shift/", "corruption/", "ranks/")
"""Tables that always show intervals: of a drop or a mean rank, they are the point."""
SEE_ALL = "--columns NAME,… for some, --format csv for all"


def table(
    name: Annotated[
        str | None,
        typer.Argument(
            help="dataset/<name>, shift/<name>, corruption/<name>, ranks/<study> or a paper's table; default: list "
            "all.",
            autocompletion=complete.tables,
        ),
    ] = None,
    form: options.TableFormat = None,
    published: options.Published = False,
    intervals: Annotated[bool, typer.Option("--intervals", help="Show 95 % intervals (csv, json: always).")] = False,
    random: options.Random = False,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Show only these metrics, separated by commas, such as auroc,sensitivity@specificity=0.9,ece."
        ),
    ] = None,
    per_class: Annotated[
        bool,
        typer.Option(
            "--per-class", help="Of dataset/<name>: show one row for each class of each run, with 95 % intervals."
        ),
    ] = False,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN,…",
            help="Of dataset/<name>: show one row for each subgroup of each run, such as sex,age:40:60,sex*age:60 "
            "(label columns; bins after colons).",
        ),
    ] = None,
    min_group: Annotated[
        int | None,
        typer.Option(
            help="--by: smallest group to evaluate, in patients (in images if patients are unknown); default: 30."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="--by: data set, card file or labels CSV with these columns; default: the data set of the table."
        ),
    ] = None,
    models: Annotated[
        str,
        typer.Option(
            "--model",
            help="Of dataset/<name>: show only these models: names, globs or MODEL/PROTOCOL/KEY=VALUE.",
            autocompletion=complete.rows,
        ),
    ] = "",
    protocols: Annotated[str, typer.Option("--protocol", help="Of dataset/<name>: show only these protocols.")] = "",
    columns: Annotated[str | None, typer.Option(help="Show only these columns, separated by commas.")] = None,
    sort: Annotated[
        str, typer.Option(metavar="COLUMN", help="Sort by this column, best first; -COLUMN: worst first.")
    ] = "",
    runs: options.Runs = None,
    out: options.OutRuns = None,
    preset: options.Preset = None,
    fill: options.Fill = False,
    dry_run: options.DryRun = False,
    calibrate: options.Calibrate = False,
    seeds: options.Seeds = None,
    data_root: options.DataRoot = None,
    weights: options.RandomWeights = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    workers: options.Workers = None,
) -> None:
    """Print a table, or list all tables.

    The options listed after --fill only have an effect with --fill; --data-root also with --by.
    """
    runs = runs or out
    options.check_fill("table", name, fill, dry_run, calibrate)
    shows = {"--metrics": metrics, "--per-class": per_class, "--by": by, "--min-group": min_group, "--labels": labels}
    shows |= {"--model": models, "--protocol": protocols, "--columns": columns, "--sort": sort, "--preset": preset}
    shows |= {"--published": published, "--intervals": intervals, "--random": random}
    options.check_named("table", name, shows)
    if name is None:
        output.write_rows(listing.table_rows(runs), ("name", "title"), as_json=form == "json")
        return
    _check(name, form)
    status: int | None = 0
    if fill:
        from medbench.papers.studies import placed

        paper, place = placed(name)
        how = {"data_root": data_root, "weights": weights, "device": device, "precision": precision, "workers": workers}
        status = plan_text.fill_one(
            paper, place, runs, how, seeds=seeds, preset=preset, dry_run=dry_run, calibrate=calibrate
        )
        if status is None:
            return
        random = random or weights == "random"
    from medbench.report.figures.predictions.runs import Selection
    from medbench.report.tables import lookup
    from medbench.report.tables.choose import chosen, only_asked

    asked = _words(metrics)
    groups = _by(name, by, min_group, labels, data_root)
    selection = Selection(models, protocols) if models or protocols else None
    found = lookup.table(
        name, runs, published, random, intervals or form in NUMBERS, preset, asked, per_class, groups, selection
    )
    rows = per_class or by is not None
    shown = chosen(found, () if only_asked(name, rows=rows) else asked, _words(columns), sort)
    write_table(shown, form, intervals or rows or name.startswith(SURE), SEE_ALL)
    if status:
        raise typer.Exit(status)


def _by(name: str, text: str | None, fewest: int | None, labels: str | None, data_root: Path | None) -> By | None:
    """Return what `--by` and its options ask for; None without `--by`.

    Raises:
        MedbenchError: There are options of `--by` without it.
    """
    from functools import partial

    from medbench.errors import MedbenchError

    if text is None:
        if fewest is not None or labels is not None:
            option = "--labels" if fewest is None else "--min-group"
            raise MedbenchError(
                f"{option} has no effect without --by", f"e.g. medbench table {name} --by sex {option} …"
            )
        return None
    from medbench.data.load import read_labels
    from medbench.report.subgroups.by import FEWEST, By

    read = partial(read_labels, labels or name.partition("/")[2], data_root)
    return By(text, read, FEWEST if fewest is None else fewest, stored=labels is None)


def _words(text: str | None) -> list[str]:
    """Return the words of a comma list."""
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def write_table(
    content: Table, form: str | None = None, intervals: bool = False, see_all: str = "--format md, csv or json"
) -> None:
    """Print a table in one of the formats; None: in colour on a terminal, as aligned text in a pipe.

    Args:
        content: The table.
        form: The format.
        intervals: Whether texts show the 95 % intervals.
        see_all: What shows the columns that a narrow terminal leaves out.
    """
    import dataclasses

    from medbench.report.tables import render

    content = dataclasses.replace(content, intervals=intervals)
    if form is None and sys.stdout.isatty():
        from rich.console import Console

        console = Console()
        console.print(render.rich_table(content, console.width, see_all))
    else:
        sys.stdout.write(visible(render.render(content, form or "text")))


def _check(name: str, form: str | None) -> None:
    """Refuse an unknown format before anything is run."""
    from medbench.errors import unknown
    from medbench.report.tables.render import FORMATS

    if form is not None and form not in FORMATS:
        raise unknown("format", form, FORMATS)
