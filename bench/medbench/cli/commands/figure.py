"""`medbench figure`: the figure of a paper, study or data set, as an image and as the data behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import complete, listing, options, output, plan_text


def figure(
    name: Annotated[
        str | None,
        typer.Argument(
            help="dataset/<name>, ranks/<study> or a paper's figure; default: list all.",
            autocompletion=complete.figures,
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Argument(
            help="Kind of dataset/<name>: bars (the default), roc, reliability, …; an unknown kind prints the list."
        ),
    ] = None,
    form: Annotated[str, typer.Option("--format", metavar="png|svg|pdf", help="One format, or a comma list.")] = "png",
    published: options.Published = False,
    random: options.Random = False,
    models: Annotated[
        str,
        typer.Option(
            "--model",
            help="Only these models of dataset/<name>: names, globs or MODEL/PROTOCOL/KEY=VALUE.",
            autocompletion=complete.rows,
        ),
    ] = "",
    protocols: Annotated[
        str, typer.Option("--protocol", help="Only these protocols; default: the best one of each model on validation.")
    ] = "",
    class_name: Annotated[str, typer.Option("--class", help="Show this class against the rest.")] = "",
    metric: Annotated[
        str, typer.Option("--metric", help="Show this metric (of a study: rank by these); default: the figure's own.")
    ] = "",
    ref: Annotated[
        str,
        typer.Option(
            help="Figures of ratios: divide by the reference in the same panel (same), or in the named panel."
        ),
    ] = "same",
    preset: options.Preset = None,
    runs: options.Runs = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Output folder; default: figures, next to the run store.")
    ] = None,
    out: options.OutTo = None,
    as_json: Annotated[bool, typer.Option("--json", help="Without a name: print the list as JSON.")] = False,
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
    """Draw a figure, or list all figures.

    Its data are written next to it as a CSV file. The options listed after --fill only have an effect with --fill.
    """
    options.check_fill("figure", name, fill, dry_run, calibrate)
    shows = {"--model": models, "--protocol": protocols, "--class": class_name, "--metric": metric, "--to": to}
    options.check_named("figure", name, shows | {"--published": published, "--random": random, "--preset": preset})
    if name is None:
        output.write_rows(listing.figure_rows(runs), ("name", "title"), as_json=as_json)
        return
    from medbench.report.figures import draw as figures

    name = name if kind is None else f"{name}/{kind}"
    formats = _formats(form)
    status: int | None = 0
    if fill:
        from medbench.papers.studies import placed

        paper, place = placed(name) if name.startswith("ranks/") else figures.find(name)
        how = {"data_root": data_root, "weights": weights, "device": device, "precision": precision, "workers": workers}
        status = plan_text.fill_one(
            paper, place, runs, how, seeds=seeds, preset=preset, dry_run=dry_run, calibrate=calibrate
        )
        if status is None:
            return
        random = random or weights == "random"
    data = figures.figure_data(name, runs, published, random, ref, preset, models, protocols, class_name, metric)
    for path in figures.write_figure(data, to or out or figures.figures_dir(runs), formats):
        output.write(str(path))
    _tell(data.notes, data.commands)
    if status:
        raise typer.Exit(status)


def _tell(notes: tuple[str, ...], commands: tuple[str, ...]) -> None:
    """Print the notes, and the commands that run what the figure lacks, to standard error."""
    for note in notes:
        output.note(f"note: {note}")
    if commands:
        output.note("to run what is missing:")
        for command in commands:
            output.note(f"  {command}")


def _formats(form: str) -> list[str]:
    """Return the formats of a comma list, each once; an unknown one is an error before anything is run."""
    from medbench.errors import unknown
    from medbench.report.figures.draw import FORMATS

    named = list(dict.fromkeys(word.strip() for word in form.split(",") if word.strip())) or [form]
    for word in named:
        if word not in FORMATS:
            raise unknown("format", word, FORMATS)
    return named
