"""`medbench results`: pass results on, and take over those of others."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medbench.cli import options, output

if TYPE_CHECKING:
    from medbench.records.merge import Merged

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Share results, and import results of others.")

Repo = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="A dataset repository on the Hugging Face hub.")]
Theirs = Annotated[bool, typer.Option("--theirs", help="If numbers differ, use theirs.")]
DataSets = Annotated[str, typer.Option("--dataset", help="Only data sets of this name or glob.")]


@app.command()
def push(
    repo: Repo,
    dataset: DataSets = "*",
    public: Annotated[bool, typer.Option("--public", help="If the repository is new, make it public.")] = False,
    no_predictions: Annotated[
        bool,
        typer.Option(
            "--no-predictions", help="Do not upload predictions, which contain the ids of images and patients."
        ),
    ] = False,
    runs: options.Runs = None,
) -> None:
    """Upload records and predictions.

    Images and weights are never uploaded. Predictions contain the ids of images and patients.
    """
    from medbench.records import hub
    from medbench.records.bundle import write_bundle
    from medbench.storage import paths

    with tempfile.TemporaryDirectory() as place:
        made = write_bundle(paths.runs_dir(runs), Path(place), dataset, predictions=not no_predictions)
        if made.named:
            output.note(f"predictions with ids of images and patients were uploaded for: {', '.join(made.named)}")
        commit = hub.push(Path(place), made, repo, public=public)
    output.write(f"{len(made.records)} records, {made.size / 1e6:,.1f} MB: {repo}@{commit[:12]}")
    output.note(f"to download them: medbench results pull {repo}")


@app.command()
def pull(repo: Repo, theirs: Theirs = False, runs: options.Runs = None) -> None:
    """Download results into the run store.

    Records that do not match their digests are refused. Tables name the repository that results come from.
    """
    from medbench.records import hub
    from medbench.records.merge import merge as take_over
    from medbench.storage import paths

    with tempfile.TemporaryDirectory() as place:
        origin = hub.pull(repo, Path(place))
        _say(take_over(Path(place), paths.runs_dir(runs), f"hf://{origin}", theirs=theirs))


@app.command()
def merge(
    source: Annotated[Path, typer.Argument(help="Another run store, or a downloaded folder of results.")],
    theirs: Theirs = False,
    runs: options.Runs = None,
) -> None:
    """Add results of another run store."""
    from medbench.records.merge import merge as take_over
    from medbench.storage import paths

    _say(take_over(source, paths.runs_dir(runs), str(source), theirs=theirs))


def _say(found: Merged) -> None:
    """Say what became of the records; exit with 1 if some were refused or are in conflict."""
    for folder, why in found.refused:
        output.write(f"refused: {folder}: {why}")
    for record, what in found.conflicts:
        unit = record.unit
        output.write(f"conflict: {unit.model} · {unit.protocol} · {unit.dataset} · seed {unit.seed}: {what}")
    if found.conflicts:
        output.note("conflicts: your records are kept; to use the others: --theirs")
    counts = {"new": len(found.new), "there already": found.there, "in conflict": len(found.conflicts)}
    output.write(", ".join(f"{n} {what}" for what, n in {**counts, "refused": len(found.refused)}.items()))
    if found.refused or found.conflicts:
        raise typer.Exit(1)
