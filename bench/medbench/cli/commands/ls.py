"""`medbench ls`: what there is to choose from."""

from __future__ import annotations

import enum
import fnmatch
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from medbench.cli import output


class Kind(str, enum.Enum):
    """What can be listed."""

    models = "models"
    protocols = "protocols"
    datasets = "datasets"
    tables = "tables"
    figures = "figures"
    runs = "runs"


COLUMNS = {
    Kind.models: ("name", "title", "arch", "M params", "input", "licence", "gated"),
    Kind.protocols: ("name", "title", "kind", "presets"),
    Kind.datasets: ("name", "title", "task", "classes", "images", "metric", "access", "licence"),
    Kind.tables: ("name", "title"),
    Kind.figures: ("name", "kind", "title"),
    Kind.runs: ("dataset", "model", "protocol", "preset", "weights", "seed", "metric", "score", "key"),
}


def ls(
    kind: Annotated[Kind, typer.Argument(metavar="WHAT", help="What to list.")],
    select: Annotated[str, typer.Option("--filter", help="A glob on the name (dinov2*), or any text in a row.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List models, protocols, data sets, tables, figures or finished runs."""
    rows, faults = listed(kind.value)
    rows = [row for row in rows if matches(row, select)]
    if as_json:
        output.write_json(rows)
    else:
        output.write_rows(rows, COLUMNS[kind], title=f"{len(rows)} {kind.value}")
    if faults:
        from medbench.errors import CardError

        raise CardError("\n".join(faults), "mend or remove these cards; the others are listed above")


def listed(kind: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Return (one mapping per card, table, figure or run of `kind`, what is wrong with the cards that do not load).

    Args:
        kind: `models`, `protocols`, `datasets`, `tables`, `figures` or `runs`.
    """
    if kind == "runs":
        return _runs(), []
    if kind == "tables":
        return table_rows(), []
    if kind == "figures":
        return figure_rows(), []
    from medbench import cards
    from medbench.errors import CardError

    finders: dict[str, tuple[Callable[[str], Any], Callable[[Any], dict[str, Any]]]] = {
        "models": (cards.find_model, _model),
        "protocols": (cards.find_protocol, _protocol),
        "datasets": (cards.find_dataset, _dataset),
    }
    find, describe = finders[kind]
    rows: list[dict[str, Any]] = []
    faults: list[str] = []
    for name in cards.names(kind):
        try:
            rows.append(describe(find(name)))
        except CardError as error:
            faults.append(error.message)
    return rows, faults


def matches(row: dict[str, Any], select: str) -> bool:
    """Tell whether `row` is meant by `select`: a glob on its name (or names), else a text in any of its values."""
    if not select:
        return True
    names = [str(row[key]) for key in ("name", "dataset", "model", "protocol") if key in row]
    if any(c in select for c in "*?["):
        return any(fnmatch.fnmatchcase(name.lower(), select.lower()) for name in names)
    return any(select.lower() in text.lower() for text in _texts(row.values()))


def _texts(values: Iterable[Any]) -> Iterable[str]:
    return (str(value) for value in values if value is not None)


def _model(card: Any) -> dict[str, Any]:
    weights = card.weights
    return {
        "name": card.name,
        "title": card.title,
        "arch": card.arch,
        "M params": card.parameters,
        "input": card.input.size,
        "licence": weights.licence if weights else "none needed (toy)",
        "gated": bool(weights and weights.gated),
    }


def _protocol(card: Any) -> dict[str, Any]:
    return {"name": card.name, "title": card.title, "kind": card.kind, "presets": sorted(card.presets)}


def _dataset(card: Any) -> dict[str, Any]:
    return {
        "name": card.name,
        "title": card.title,
        "task": card.task,
        "classes": len(card.classes),
        "images": card.layout.n if card.toy else card.counts.images,
        "metric": card.metric,
        "access": card.access.kind,
        "licence": card.licence,
        "modality": card.modality,
    }


def table_rows(runs: Path | None = None) -> list[dict[str, Any]]:
    """Return name and title of every table: the papers', then those of data sets with finished units in `runs`."""
    from medbench import cards
    from medbench.report.tables import lookup

    rows = []
    for name in lookup.list_tables(runs):
        kind, _, rest = name.partition("/")
        title = f"all that was run on {rest}" if kind == "dataset" else cards.find_paper(kind).tables[rest].title
        rows.append({"name": name, "title": title})
    return rows


def figure_rows() -> list[dict[str, Any]]:
    """Return name, kind and title of every figure of a paper."""
    from medbench import cards

    papers = [cards.find_paper(name) for name in cards.names("papers")]
    return [
        {"name": f"{paper.name}/{name}", "kind": figure.kind, "title": figure.title}
        for paper in papers
        for name, figure in paper.figures.items()
    ]


def _runs() -> list[dict[str, Any]]:
    from medbench.records import store
    from medbench.storage import paths

    return [
        {
            "dataset": record.unit.dataset,
            "model": record.unit.model,
            "protocol": record.unit.protocol,
            "preset": record.unit.preset,
            "weights": record.unit.weights,
            "seed": record.unit.seed,
            "metric": record.metric,
            "score": record.score,
            "key": record.key[:12],
            "path": str(record.path),
        }
        for record in store.read_all(paths.runs_dir())
    ]
