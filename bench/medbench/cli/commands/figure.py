"""`medbench figure`: a paper's figure from what was run, as a picture and as the data behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import output, plan_text
from medbench.cli.commands import ls


def figure(
    name: Annotated[str | None, typer.Argument(help="A paper's, e.g. wacv2024/figure4; none: lists them.")] = None,
    form: Annotated[str, typer.Option("--format", metavar="png|svg|pdf", help="One, or a comma list.")] = "png",
    published: Annotated[bool, typer.Option("--published", help="Show what the paper's tables print, hollow.")] = False,
    random: Annotated[bool, typer.Option("--random", help="Show random weights too, marked.")] = False,
    ref: Annotated[
        str, typer.Option(help="Of ratios: divide by the reference of the same panel, or of the one named.")
    ] = "same",
    preset: Annotated[str | None, typer.Option(help="Another preset than the paper's.")] = None,
    runs: Annotated[Path | None, typer.Option(help="Run store; default: MEDBENCH_RUNS or results/runs.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the figures; default: figures, beside the runs.")] = None,
    fill: Annotated[bool, typer.Option("--fill", help="Run what the figure lacks, then draw it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --fill: show the plan and stop.")] = False,
    seeds: Annotated[str | None, typer.Option(help="With --fill: a number or list; default: the paper's.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="With --fill: where the data lie.")] = None,
    weights: Annotated[str | None, typer.Option(metavar="random", help="With --fill: for a trial, marked.")] = None,
    device: Annotated[str, typer.Option(help="With --fill: auto, cpu, cuda or cuda:i.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Without a name: print the list as JSON.")] = False,
) -> None:
    """Draw a figure and write the data behind it beside it; without a name, list them."""
    if name is None:
        _list(as_json)
        return
    from medbench.report.figures import draw as figures

    formats = _formats(form)
    card, own = figures.find(name)
    status = 0
    if fill or dry_run:
        done = _fill(name, fill, seeds, preset, dry_run, runs, data_root=data_root, weights=weights, device=device)
        if done is None:
            return
        status, random = done, random or weights == "random"
    data = figures.figure_data(f"{card.name}/{own}", runs, published, random, ref, preset)
    for path in figures.write_figure(data, out or figures.figures_dir(runs), formats):
        output.write(str(path))
    _tell(data.notes, data.commands)
    if status:
        raise typer.Exit(status)


def _list(as_json: bool) -> None:
    rows = ls.figure_rows()
    if as_json:
        output.write_json(rows)
    else:
        output.write_rows(rows, ("name", "title"))


def _tell(notes: tuple[str, ...], commands: tuple[str, ...]) -> None:
    """Print the small print and what would complete the figure, to standard error."""
    for note in notes:
        output.note(f"note: {note}")
    if commands:
        output.note("to fill what is missing:")
        for command in commands:
            output.note(f"  {command}")


def _formats(form: str) -> list[str]:
    """Return the formats of a comma list, each once; an unknown one is refused before anything is run."""
    from medbench.errors import unknown
    from medbench.report.figures.draw import FORMATS

    named = list(dict.fromkeys(word.strip() for word in form.split(",") if word.strip())) or [form]
    for word in named:
        if word not in FORMATS:
            raise unknown("format", word, FORMATS)
    return named


def _fill(
    name: str,
    fill: bool,
    seeds: str | None,
    preset: str | None,
    dry_run: bool,
    runs: Path | None,
    *,
    data_root: Path | None,
    weights: str | None,
    device: str,
) -> int | None:
    """Run what a figure lacks; returns the exit status, or None after a dry run."""
    from medbench.cli.commands.run import seeds_of
    from medbench.errors import MedbenchError
    from medbench.report.figures import draw as figures
    from medbench.runs.jobs import Options

    if not fill:
        raise MedbenchError("--dry-run: nothing would be run", f"medbench figure {name} --fill --dry-run")
    card, own = figures.find(name)
    options = Options(data_root=data_root, weights=weights, device=device, out=runs, download=not dry_run)
    done = plan_text.fill(card, [own], options, seeds=seeds_of(seeds), preset=preset, dry_run=dry_run)
    return None if done is None else plan_text.complain(done[1])
