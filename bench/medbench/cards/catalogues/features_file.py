"""Cards of files of features: what a run needs to know of a model of which there are only features."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from medbench.cards.model import ModelCard
from medbench.errors import CardError
from medbench.storage.arrays.feature_files import FORMS, read_about

LIBRARY = "features"
"""What such a card names as the library of its network."""


def is_features_file(name: str) -> bool:
    """Tell whether a model's name means a file of features."""
    return name.lower().endswith(tuple(FORMS))


def features_card(name: str) -> ModelCard:
    """Return the card of a file of features; its name is the file's.

    Raises:
        CardError: There is no such file.
    """
    path = Path(name).expanduser()
    if not path.is_file():
        raise CardError(
            f"no file of features {path}", "check the path; medbench features MODEL DATASET --to writes one"
        )
    about = read_about(path)
    told = about.get("weights") or {}
    fields = {
        "name": re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")[:80] or LIBRARY,
        "title": f"Features of the file {path.name}",
        "notes": _notes(about),
        "library": LIBRARY,
        "arch": LIBRARY,
        "weights": {"file": str(path.resolve()), "licence": told.get("licence") or "not stated"},
        "pretraining": about.get("pretraining") or {},
    }
    return ModelCard.model_validate(fields)


def is_of_random(path: Path) -> bool:
    """Tell whether a file says that an encoder with random weights made its features."""
    return (read_about(path).get("weights") or {}).get("origin") == "random"


def _notes(about: dict[str, Any]) -> str:
    if "model" not in about:
        return "What made these features, and what it was trained on, is not known to medbench."
    return f"Made by medbench with {about['model']} from the images of {about.get('dataset')}."
