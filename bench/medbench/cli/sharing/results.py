"""`medbench results`: pass results on, and take over those of others."""

from __future__ import annotations

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
    from medbench import push_results

    done = push_results(repo, dataset, public=public, predictions=not no_predictions, runs=runs)
    output.write(f"{len(done.bundle.records)} records, {done.bundle.size / 1e6:,.1f} MB: {repo}@{done.commit[:12]}")
    output.note(f"to download them: medbench results pull {repo}")


@app.command()
def pull(repo: Repo, theirs: Theirs = False, runs: options.Runs = None) -> None:
    """Download results into the run store.

    Records that do not match their digests are refused. Tables name the repository that results come from.
    """
    from medbench import pull_results

    _say(pull_results(repo, theirs=theirs, runs=runs))


@app.command()
def merge(
    source: Annotated[Path, typer.Argument(help="Another run store, or a downloaded folder of results.")],
    theirs: Theirs = False,
    runs: options.Runs = None,
) -> None:
    """Add results of another run store."""
    from medbench import merge_results

    _say(merge_results(source, theirs=theirs, runs=runs))


def _say(found: Merged) -> None:
    """Say what became of the records; exit with 1 if some were refused or are in conflict."""
    for folder, why in found.refused:
        output.write(f"refused: {folder}: {why}")
    for record, what in found.conflicts:
        unit = record.unit
        output.write(f"conflict: {unit.model} · {unit.protocol} · {unit.dataset} · seed {unit.seed}: {what}")
    if found.completed:
        output.write(f"missing predictions added: {len(found.completed)} records")
    if found.conflicts:
        output.note("conflicts: your records are kept; to use the others: --theirs")
    counts = {"new": len(found.new), "there already": found.there, "in conflict": len(found.conflicts)}
    output.write(", ".join(f"{n} {what}" for what, n in {**counts, "refused": len(found.refused)}.items()))
    if found.refused or found.conflicts:
        raise typer.Exit(1)
