"""`medbench validate`: every fault of a card, with file, line and field."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medbench.cli import output

if TYPE_CHECKING:
    from medbench.cards.base import Card

FOLDER_KINDS = {"model_zoo": "models", "datasets": "datasets", "protocols": "protocols", "published": "papers"}
TELLING_FIELDS = {
    "models": {"arch", "library", "weights", "pretraining", "features"},
    "datasets": {"layout", "task", "classes", "splits", "access", "channels"},
    "protocols": {"defaults", "presets", "kind"},
    "papers": {"tables"},
}


def validate(
    files: Annotated[list[Path], typer.Argument(help="Card files, or folders of them.")],
) -> None:
    """Check cards: all faults at once, each with file, line and field."""
    faults: list[str] = []
    for path in _cards_in(files):
        found = faults_of(path)
        faults += found
        if not found:
            output.write(f"{path}: right ({kind_of(path).removesuffix('s')} card)")
    if faults:
        from medbench.errors import CardError

        raise CardError("\n".join(faults), f"{len(faults)} fault(s); mend the lines named above and validate again")


def faults_of(path: Path) -> list[str]:
    """Return every fault of the card in `path` as `file:line: field: what`; none: the card is right."""
    from medbench.errors import CardError

    try:
        load_any(str(path))
    except CardError as error:
        return error.message.split("\n")
    return []


def load_any(name: str) -> tuple[str, Card, str]:
    """Load the card in file `name`, whatever its kind: (kind, card, path).

    Raises:
        CardError: The file is not there, is no card of a kind that can be told, or is faulty.
    """
    from medbench.cards import find
    from medbench.errors import CardError

    path = Path(name).expanduser()
    if not path.is_file():
        raise CardError(f"no card file {path}", "check the path; cards are YAML files")
    kind = kind_of(path)
    finders: dict[str, Any] = {
        "models": find.find_model,
        "datasets": find.find_dataset,
        "protocols": find.find_protocol,
        "papers": find.find_paper,
    }
    return kind, finders[kind](str(path)), str(path)


def kind_of(path: Path) -> str:
    """Tell a card's kind: by the folder it lies in, else by its fields.

    Raises:
        CardError: The file is not YAML, or its fields are those of no kind of card.
    """
    from medbench.cards.load import read_yaml
    from medbench.errors import CardError

    content = read_yaml(path)
    if path.resolve().parent.name in FOLDER_KINDS:
        return FOLDER_KINDS[path.resolve().parent.name]
    fields = set(content) if isinstance(content, dict) else set()
    kind = max(TELLING_FIELDS, key=lambda k: len(TELLING_FIELDS[k] & fields))
    if not TELLING_FIELDS[kind] & fields:
        raise CardError(
            f"{path}:1: card: no field tells whether this is a model, data set, protocol or paper card",
            f"put it into a folder of its kind: {', '.join(FOLDER_KINDS)}",
        )
    return kind


def _cards_in(places: list[Path]) -> list[Path]:
    from medbench.errors import CardError

    found: list[Path] = []
    for place in places:
        inside = sorted(place.glob("*.yaml")) if place.is_dir() else [place]
        if not inside:
            raise CardError(f"no card (*.yaml) in the folder {place}", "name the card files themselves")
        found += inside
    return found
