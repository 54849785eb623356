"""`medbench ls`: what there is to choose from."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from medbench.cli import listing, options, output


class Kind(str, enum.Enum):
    """What can be listed."""

    models = "models"
    protocols = "protocols"
    datasets = "datasets"
    prompts = "prompts"
    studies = "studies"
    tables = "tables"
    figures = "figures"
    runs = "runs"


COLUMNS = {
    Kind.models: ("name", "title", "arch", "M params", "input", "licence", "gated"),
    Kind.protocols: ("name", "title", "kind", "presets"),
    Kind.datasets: ("name", "title", "task", "classes", "images", "metric", "access", "licence"),
    Kind.prompts: ("name", "title", "classes", "texts", "template", "licence"),
    Kind.studies: ("name", "title", "entrants", "data", "protocol"),
    Kind.tables: ("name", "title"),
    Kind.figures: ("name", "kind", "title"),
    Kind.runs: ("dataset", "model", "protocol", "settings", "weights", "seed", "metric", "score", "split", "key"),
}

LAST = {
    Kind.models: ("arch", "input", "licence", "gated", "title"),
    Kind.protocols: ("kind", "presets"),
    Kind.datasets: ("licence", "access", "classes", "images", "title"),
    Kind.prompts: ("licence", "template", "title"),
    Kind.studies: ("protocol", "title"),
    Kind.tables: (),
    Kind.figures: ("kind",),
    Kind.runs: ("split", "weights", "key", "metric", "settings"),
}
"""What a narrow terminal leaves out, the first to go first."""


def ls(
    kind: Annotated[Kind, typer.Argument(metavar="WHAT", help="What to list.")],
    select: Annotated[str, typer.Option("--filter", help="Glob of the name (dinov2*), or any text in the row.")] = "",
    runs: options.Runs = None,
    as_json: options.Json = False,
) -> None:
    """List cards, tables, figures or runs.

    WHAT is one of: models, protocols, datasets, prompts, studies, tables, figures, runs (finished units).
    """
    rows, errors = listing.listed(kind.value, runs)
    rows = [row for row in rows if listing.matches(row, select)]
    output.write_rows(rows, COLUMNS[kind], title=f"{len(rows)} {kind.value}", as_json=as_json, last=LAST[kind])
    if errors:
        from medbench.errors import CardError

        raise CardError("\n".join(errors), "fix or remove these cards; all others are listed above")
