"""`medbench weights`: check a model's weights file, and download it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medbench.cli import complete, output

if TYPE_CHECKING:
    from medbench.models.weights.locate import WeightsFile

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check and download model weights.")

Name = Annotated[str, typer.Argument(metavar="M", help="A model, or its card file.", autocompletion=complete.models)]


@app.command()
def check(
    model: Name,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights file to check; default: the official file.")
    ] = None,
) -> None:
    """Check a model's weights file.

    The file is loaded strictly. Reports whether it is valid, missing, damaged, unsafe, or of another architecture.
    """
    from medbench import cards
    from medbench.models.load import load_model
    from medbench.models.text import load_text
    from medbench.models.weights.locate import locate, locate_vocabulary

    card = cards.find_model(model)
    if card.toy and weights is None:
        output.write(f"{card.name}: a toy encoder without weights; nothing to check")
        return
    found = locate(card, str(weights) if weights else None, download=False)
    encoder = load_model(card, weights=found)
    millions = sum(p.numel() for p in encoder.network.parameters()) / 1e6
    output.write(f"{card.name}: valid, all tensors fit; {millions:.3f} M parameters, {encoder.dim} features")
    _describe(found)
    if card.text is not None:
        tower = load_text(card, found)
        output.write(f"text tower: valid, {sum(p.numel() for p in tower.parameters()) / 1e6:.3f} M parameters")
        tower.tokenize(["a text"])
        _describe_vocabulary(locate_vocabulary(card, found, download=False))


@app.command()
def download(model: Name) -> None:
    """Download a model's weights and vocabulary.

    An interrupted download resumes. The files are checked against the digests on the card.
    """
    from medbench import cards
    from medbench.models.weights.locate import locate, locate_vocabulary

    card = cards.find_model(model)
    if card.toy:
        output.write(f"{card.name}: a toy encoder without weights; nothing to download")
        return
    found = locate(card, None, download=True)
    output.write(f"{card.name}: downloaded")
    _describe(found)
    _describe_vocabulary(locate_vocabulary(card, found))
    if card.weights and card.weights.licence:
        output.note(f"licence: {card.weights.licence}")


def _describe_vocabulary(found: WeightsFile | None) -> None:
    if found is not None:
        output.write("vocabulary:")
        _describe(found)


def _describe(found: WeightsFile) -> None:
    output.write(f"file: {found.path}")
    output.write(f"sha256: {found.sha256}")
