"""The rows of `medbench ls`; `medbench table` and `medbench figure` without a name print them too."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def listed(kind: str, runs: Path | None = None) -> tuple[list[Row], list[str]]:
    """Return (rows, errors): a row for each card, table, figure or run, and the errors of cards that do not load."""
    if kind == "runs":
        return run_rows(runs), []
    if kind == "tables":
        return table_rows(runs), []
    if kind == "figures":
        return figure_rows(runs), []
    from medbench.cards.find import load_all
    from medbench.errors import CardError

    describe = {"models": _model, "protocols": _protocol, "datasets": _dataset, "prompts": _prompts, "studies": _study}[
        kind
    ]
    found = [card for _, card in load_all(kind)]
    rows = [describe(card) for card in found if not isinstance(card, CardError)]
    return rows, [error.message for error in found if isinstance(error, CardError)]


def matches(row: Row, select: str) -> bool:
    """Tell whether `select` matches a row: a glob on its name (or names), or else a text in any of its values."""
    if not select:
        return True
    names = [str(row[key]) for key in ("name", "dataset", "model", "protocol") if key in row]
    if any(c in select for c in "*?["):
        return any(fnmatch.fnmatchcase(name.lower(), select.lower()) for name in names)
    return any(select.lower() in str(value).lower() for value in row.values() if value is not None)


def _model(card: Any) -> Row:
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


def _protocol(card: Any) -> Row:
    return {"name": card.name, "title": card.title, "kind": card.kind, "presets": sorted(card.presets)}


def _dataset(card: Any) -> Row:
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


def _prompts(card: Any) -> Row:
    return {
        "name": card.name,
        "title": card.title,
        "classes": len(card.prompts),
        "texts": sum(map(len, card.prompts.values())),
        "template": card.template,
        "licence": card.licence,
    }


def _study(card: Any) -> Row:
    return {
        "name": card.name,
        "title": card.title,
        "entrants": [one.name for one in card.entrants],
        "data": [one.head for one in card.data],
        "protocol": card.protocol,
    }


def table_rows(runs: Path | None = None) -> list[Row]:
    """Return name and title of every table: those of papers, then those of data sets with finished units in `runs`."""
    from medbench import cards
    from medbench.cards.study import RANKS
    from medbench.report.tables import lookup

    rows, own = [], {"dataset": "all results on", "shift": "results on other data sets of models trained on"}
    own["corruption"] = "results on corrupted test images of"
    for name in lookup.list_tables(runs):
        kind, _, rest = name.partition("/")
        if kind == RANKS:
            title = cards.find_study(rest).title
        else:
            title = f"{own[kind]} {rest}" if kind in own else cards.find_paper(kind).tables[rest].title
        rows.append({"name": name, "title": title})
    return rows


def figure_rows(runs: Path | None = None) -> list[Row]:
    """Return name, kind and title of every figure: those of papers, then those of data sets as `table_rows` does."""
    from medbench import cards
    from medbench.cards.study import RANKS
    from medbench.report.figures.own import list_own

    papers = [cards.find_paper(name) for name in cards.names("papers")]
    rows = [
        {"name": f"{paper.name}/{name}", "kind": figure.kind, "title": figure.title}
        for paper in papers
        for name, figure in paper.figures.items()
    ]
    titles = {row["name"]: row["title"] for row in table_rows(runs)}
    rows += [{"name": name, "kind": RANKS, "title": title} for name, title in titles.items() if name.startswith(RANKS)]
    return rows + [
        {"name": name, "kind": kind, "title": titles["/".join(name.split("/")[:2])]} for name, kind in list_own(runs)
    ]


def run_rows(runs: Path | None = None) -> list[Row]:
    """Return one row per finished unit in a run store."""
    from medbench.records import store
    from medbench.records.groups import Group
    from medbench.storage import paths

    return [
        {
            "dataset": record.unit.dataset,
            "model": record.unit.model,
            "protocol": record.unit.protocol,
            "preset": record.unit.preset,
            "settings": (group := Group((record,))).settings,
            "split": group.split,
            "weights": group.weights,
            "seed": record.unit.seed,
            "metric": record.metric,
            "score": record.score,
            "key": record.key[:12],
            "path": str(record.path),
        }
        for record in store.read_all(paths.runs_dir(runs))
    ]
