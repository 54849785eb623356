"""`medbench validate`: every fault of a card, with file, line and field."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medbench.cards.find import faults_of, kind_of
from medbench.cli import output

if TYPE_CHECKING:
    pass


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


def _cards_in(places: list[Path]) -> list[Path]:
    from medbench.errors import CardError

    found: list[Path] = []
    for place in places:
        inside = sorted(place.glob("*.yaml")) if place.is_dir() else [place]
        if not inside:
            raise CardError(f"no card (*.yaml) in the folder {place}", "name the card files themselves")
        found += inside
    return found
