"""Cards of the MedMNIST v2 sets: `medmnist/pathmnist`, `medmnist/pathmnist_224`, `medmnist/nodulemnist3d`.

The sets are listed in `datasets/catalogues/medmnist.yaml`, which ships with medbench. In folders and records a set is
called `medmnist--pathmnist`. All files are in one folder, `medmnist`.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field

from medbench.cards.base import Card, Strict
from medbench.cards.dataset import DatasetCard, Split, Task
from medbench.cards.load import load_card
from medbench.errors import unknown
from medbench.storage import paths

FAMILY = "medmnist"
Count = Annotated[int, Field(gt=0)]


class Listed(Strict):
    """One set of the list."""

    title: str
    modality: str = Field(description="What the images show.")
    task: Task
    channels: Literal[1, 3]
    volume: bool = Field(False, description="Whether samples are volumes.")
    splits: dict[Split, Count] = Field(min_length=3, description="Images of train, val and test.")
    classes: list[str] = Field(min_length=2, description="In the order of their numbers.")
    licence: str = "CC BY 4.0"


class Catalogue(Card):
    """The list of all sets, with what they share."""

    record: str = Field(description="Address of the Zenodo record with the files.")
    sizes: list[Count] = Field(min_length=1, description="Sides in pixels; the first is not in files' names.")
    volume_sizes: list[Count] = Field(min_length=1, description="The same for volumes.")
    metrics: dict[Task, str] = Field(description="Primary metric of each task.")
    sets: dict[str, Listed]


@cache
def catalogue() -> Catalogue:
    """Return the list that ships with medbench."""
    return load_card(paths.shipped_cards() / "datasets" / "catalogues" / "medmnist.yaml", Catalogue)


def is_medmnist_name(name: str) -> bool:
    """Tell whether `name` means a set of MedMNIST, known or not."""
    return name.startswith((f"{FAMILY}/", f"{FAMILY}--"))


@cache
def medmnist_names() -> tuple[str, ...]:
    """Return the path-safe names of all sets in all sizes."""
    known = catalogue()
    return tuple(
        f"{FAMILY}--{name}{f'_{size}' if size != known.sizes[0] else ''}"
        for size in known.sizes
        for name, listed in known.sets.items()
        if not listed.volume or size in known.volume_sizes
    )


def safe_name(name: str) -> str:
    """Return the one spelling of a set's name that folders carry: `medmnist/pathmnist_28` is `medmnist--pathmnist`."""
    return name.replace("/", "--").removesuffix(f"_{catalogue().sizes[0]}")


def medmnist_card(name: str) -> DatasetCard:
    """Return the card of a set, e.g. `medmnist/pathmnist_224`.

    Raises:
        CardError: There is no such set, or not in that size.
    """
    safe = safe_name(name)
    if safe not in medmnist_names():
        raise unknown("MedMNIST set", safe.partition("--")[2], (n.partition("--")[2] for n in medmnist_names()))
    known, file = catalogue(), safe.partition("--")[2]
    base, _, size = file.partition("_")
    listed, side = known.sets[base], size or known.sizes[0]
    return DatasetCard.model_validate(
        {
            "name": safe,
            "title": f"{listed.title}, {f'{side} x ' * listed.volume}{side} x {side} pixels, of {known.title}",
            "citation": known.citation,
            "notes": known.notes,
            "links": known.links,
            "access": _access(known.record, file),
            "layout": {"kind": "npz", "file": f"{file}.npz", "volume": listed.volume},
            "metric": known.metrics[listed.task],
            "splits": {"default": "official", "rules": {"official": {"method": "official", "source": known.title}}},
            "counts": {"images": sum(listed.splits.values()), "splits": listed.splits},
            "also": list(dict.fromkeys((listed.title, base, file))),
            **listed.model_dump(include={"modality", "licence", "task", "classes", "channels"}),
        }
    )


def _access(record: str, file: str) -> dict[str, Any]:
    address = f"{record}/files/{file}.npz"
    steps = f'curl -L -o "$MEDBENCH_DATA/{FAMILY}/{file}.npz" "{address}?download=1"'
    download = {"urls": [f"{address}?download=1"], "name": f"{file}.npz", "unpack": False}
    return {"kind": "open", "url": record, "steps": steps, "files": [download]}
