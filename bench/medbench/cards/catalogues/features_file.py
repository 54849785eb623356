"""Cards of files of features: what a run needs to know of a model of which there are only features."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from medbench.cards.model import ModelCard
from medbench.errors import CardError
from medbench.storage.arrays.feature_files import FORMS, read_about

LIBRARY = "features"
"""What such a card names as the library of its network."""


def is_features_file(name: str) -> bool:
    """Tell whether a model's name means a features file."""
    return name.lower().endswith(tuple(FORMS))


def features_card(name: str) -> ModelCard:
    """Return the card of a features file; its name is the file's.

    Raises:
        CardError: There is no such file, or what it says of its model cannot be read.
    """
    path = Path(name).expanduser()
    if not path.is_file():
        raise CardError(
            f"there is no features file {path}",
            "check the path; to write one: medbench features MODEL DATASET --to FILE",
        )
    about = read_about(path)
    fields = {
        "name": re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")[:80] or LIBRARY,
        "title": f"Features of the file {path.name}",
        "notes": _notes(about),
        "library": LIBRARY,
        "arch": LIBRARY,
        "weights": {"file": str(path.resolve()), "licence": _part(about, "weights").get("licence") or "not stated"},
        "pretraining": _part(about, "pretraining"),
    }
    try:
        return ModelCard.model_validate(fields)
    except ValidationError as error:
        raise CardError(
            f"{path}: its description of weights and pretraining cannot be read: {error.errors()[0]['msg']}",
            "write the file with medbench features, or remove these two fields",
        ) from error


def is_of_random(path: Path) -> bool:
    """Tell whether a file says that an encoder with random weights made its features."""
    return _part(read_about(path), "weights").get("origin") == "random"


def _part(about: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what a file says under a name; nothing if another program wrote something else there."""
    found = about.get(name)
    return found if isinstance(found, dict) else {}


def _notes(about: dict[str, Any]) -> str:
    if "model" not in about:
        return "medbench does not know which model made these features, nor its training data."
    return f"Made by medbench with {about['model']} from the images of {about.get('dataset')}."
