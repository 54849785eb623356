"""`medbench show`: all fields of one card, and which models have seen which data sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medbench.cli import complete, options, output

if TYPE_CHECKING:
    from medbench.cards.base import Card


def show(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of a model, protocol, data set, paper, study or prompts; a card file; or `card`.",
            autocompletion=complete.cards,
        ),
    ],
    kind: Annotated[
        str | None,
        typer.Argument(
            help="After `card`: dataset, model, protocol, paper, study or prompts, or a kind of protocol such as knn."
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Show all fields of one card.

    For example licence, access, size, features, how to get it, and known contamination. `medbench show card dataset`
    lists every field that a data set card may have, with its meaning.
    """
    if kind is not None:
        _reference(name, kind, as_json)
        return
    found = described(name)
    if as_json:
        output.write_json(found)
        return
    for i, part in enumerate(found):
        if i:
            output.write()
        output.write(f"{part['kind']} {part['name']}  ({part['file']})")
        for line in _lines({k: v for k, v in part.items() if k not in ("kind", "name", "file")}):
            output.write("  " + line)


def _reference(word: str, kind: str, as_json: bool) -> None:
    """Print the fields that a kind of card may have, or the settings of a kind of protocol."""
    from medbench.cards import find
    from medbench.cards.recipes import SETTINGS
    from medbench.cli import card_fields
    from medbench.errors import MedbenchError, unknown

    schemas = {find.SINGULAR[name]: schema for name, schema in find.SCHEMAS.items()} | find.SCHEMAS | SETTINGS
    if word != "card":
        raise MedbenchError(
            f"show {word} {kind}: one name at a time", "for the fields of a kind of card: medbench show card dataset"
        )
    if kind not in schemas:
        raise unknown("kind of card", kind, schemas, "Cards: dataset, model, paper, prompts, protocol, study")
    parts = card_fields.parts_of(schemas[kind])
    if as_json:
        output.write_json(card_fields.as_json(parts))
    else:
        output.write("\n".join(card_fields.lines_of(parts)))


def described(name: str) -> list[dict[str, Any]]:
    """Return every card called `name` (a model and a data set can share a name): kind, name, file and all fields.

    `contamination` lists, for a model, the data sets that its pre-training has seen; for a data set, the models whose
    pre-training has seen it.

    Raises:
        CardError: No card has that name, or the card is invalid.
    """
    from medbench.cards import card_files, find
    from medbench.cards.catalogues.features_file import is_features_file
    from medbench.cards.catalogues.hub_models import is_hub_name
    from medbench.cards.catalogues.libraries import is_library_name
    from medbench.cards.catalogues.medmnist import is_medmnist_name
    from medbench.errors import unknown

    if find.is_file_name(name):
        return [_entry(*find.load_any(name))]
    if is_library_name(name) or is_hub_name(name):
        return [_entry("models", find.find_model(name), "generated from the library's own description")]
    if is_features_file(name):
        return [_entry("models", find.find_model(name), name)]
    if is_medmnist_name(name):
        return [_entry("datasets", find.find_dataset(name), "generated from the MedMNIST list")]
    files = {kind: card_files(kind) for kind in find.SCHEMAS}
    kinds = [kind for kind, known in files.items() if name in known]
    if not kinds:
        everything = {n for known in files.values() for n in known}
        fields = ". Fields of a card: medbench show card dataset" if name == "card" else ""
        raise unknown(
            "card", name, everything, f"All: medbench ls models|protocols|datasets|prompts|studies|tables{fields}"
        )
    return [
        _entry(kind, find.load_file(find.SCHEMAS[kind], files[kind][name]), str(files[kind][name])) for kind in kinds
    ]


def _entry(kind: str, card: Card, path: str) -> dict[str, Any]:
    from medbench.cards import DatasetCard, ModelCard, find
    from medbench.cards.model import seen

    entry = {"kind": find.SINGULAR[kind], "file": path, **card.model_dump(mode="json", exclude_none=True)}
    if isinstance(card, ModelCard):
        entry["contamination"] = [other.name for other in _every("datasets") if seen(card, other)]
        entry["get"] = (
            f"medbench weights download {card.name}" if card.weights else "nothing to download: random weights"
        )
        if card.weights and card.weights.filename:
            entry["kept as"] = card.weights.filename
    elif isinstance(card, DatasetCard):
        entry["contamination"] = [other.name for other in _every("models") if seen(other, card)]
        entry["check"] = f"medbench data check {card.name}"
    return entry


def _every(kind: str) -> Iterable[Any]:
    """Yield all cards of `kind` that load; `ls` and `validate` show the errors of the others."""
    from medbench import cards
    from medbench.errors import CardError

    find: dict[str, Callable[[str], Any]] = {"models": cards.find_model, "datasets": cards.find_dataset}
    for name in cards.names(kind):
        try:
            yield find[kind](name)
        except CardError:
            continue


def _lines(fields: dict[str, Any], *, keep: tuple[Any, ...] = ()) -> list[str]:
    """Return fields as `name: value` lines: nested ones are indented, empty ones left out."""
    lines: list[str] = []
    for key, value in fields.items():
        if value in ("", None, [], {}) and key != "contamination" and value not in keep:
            continue
        if isinstance(value, dict):
            inner = _lines(value, keep=({},) if key == "presets" else ())  # a preset that changes nothing is shown too
            lines += [f"{key}:", *("  " + line for line in inner)] if inner else [f"{key}: same as the defaults"]
        elif isinstance(value, list) and any(isinstance(part, dict) or "," in str(part) for part in value):
            lines.append(f"{key}:")
            for part in value:
                inner = _lines(part) if isinstance(part, dict) else [str(part)]  # of a text with commas, too
                lines += [("  - " if i == 0 else "    ") + line for i, line in enumerate(inner)]
        elif isinstance(value, list):
            lines.append(f"{key}: {', '.join(map(str, value)) or 'none known'}")
        else:
            text = str(value).strip().split("\n")
            lines += [f"{key}: {text[0]}", *("  " + line for line in text[1:])]
    return lines
