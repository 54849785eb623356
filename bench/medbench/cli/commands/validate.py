"""`medbench validate`: all errors of a card, each with file, line and field."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import output

CARD_NAMES = {
    "models": "model",
    "datasets": "data set",
    "protocols": "protocol",
    "papers": "paper",
    "studies": "study",
    "prompts": "prompts",
}


def validate(files: Annotated[list[Path], typer.Argument(help="Card files, or folders of them.")]) -> None:
    """Check card files.

    All errors are shown at once, each with file, line and field.
    """
    from medbench.cards.find import faults_of, kind_of
    from medbench.errors import CardError

    errors: list[str] = []
    for path in _cards_in(files):
        found = faults_of(path)
        errors += found
        if not found:
            output.write(f"{path}: valid {CARD_NAMES[kind_of(path)]} card")
    if errors:
        raise CardError("\n".join(errors), f"{len(errors)} error(s); fix these lines, then run medbench validate again")


def _cards_in(places: list[Path]) -> list[Path]:
    from medbench.cards.find import cards_in
    from medbench.errors import CardError

    found: list[Path] = []
    for place in places:
        inside = cards_in(place) if place.is_dir() else [place]
        if not inside:
            raise CardError(
                f"no card (*.yaml, *.yml) in the folder {place}", "name a folder of cards, or the card files"
            )
        found += inside
    return found
