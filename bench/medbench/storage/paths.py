"""Where the cache, the run store, the data sets and the cards are."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

CARD_FOLDERS = {
    "models": "model_zoo",
    "datasets": "datasets",
    "protocols": "protocols",
    "papers": "results/published",
    "studies": "results/studies",
    "prompts": "datasets/prompts",
}


def home() -> Path:
    """Return the cache for weights, prepared stores and features: `MEDBENCH_HOME` or the platform's user cache."""
    chosen = os.environ.get("MEDBENCH_HOME")
    return Path(chosen).expanduser() if chosen else user_cache_path("medbench")


def runs_dir(chosen: str | Path | None = None) -> Path:
    """Return the run store: `chosen`, `MEDBENCH_RUNS`, or `results/runs` in the current folder."""
    return Path(chosen or os.environ.get("MEDBENCH_RUNS") or "results/runs").expanduser()


def tables_dir(runs: str | Path | None = None) -> Path:
    """Return the folder of the rendered tables, next to the run store."""
    return runs_dir(runs).parent / "tables"


def data_folder(name: str) -> str:
    """Return the folder name of data set `name`; the data sets of MedMNIST, one file each, share a folder."""
    return "medmnist" if name.startswith("medmnist--") else name


def data_root(name: str, chosen: Path | None = None) -> Path | None:
    """Return the folder of data set `name`: `chosen`, else the folder `name` in `MEDBENCH_DATA`, else None.

    `chosen` may be the folder of the data set itself, or one that holds a folder of its name (`data_folder`).
    """
    base = chosen or (Path(os.environ["MEDBENCH_DATA"]) if os.environ.get("MEDBENCH_DATA") else None)
    if base is None:
        return None
    base = base.expanduser()
    inner = base / data_folder(name)
    return inner if chosen is None or inner.is_dir() else base


def card_dirs(kind: str) -> list[Path]:
    """Return the folders that are searched for cards of `kind`; the first match is used.

    Order: `MEDBENCH_CARDS` (a folder of cards, or one with the folders `model_zoo`, `datasets`, …), the card folders in
    the current folder, then the cards that come with medbench (in the wheel, or in the checkout it runs from).
    """
    folder = CARD_FOLDERS[kind]
    places: list[Path] = []
    if chosen := os.environ.get("MEDBENCH_CARDS"):
        places += [Path(chosen).expanduser() / folder, Path(chosen).expanduser()]
    places += [Path(folder), shipped_cards() / folder]
    found: dict[Path, Path] = {}
    for place in places:
        if place.is_dir():
            found.setdefault(place.resolve(), place)
    return list(found.values())


def shipped_cards() -> Path:
    """Return the root of the cards that come with medbench.

    In the wheel they are in `medbench/_cards`. A checkout is recognised by its `pyproject.toml`: without this check, an
    installed medbench would take Hugging Face's `site-packages/datasets` for its own folder of that name.
    """
    package = Path(__file__).resolve().parents[1]
    packed = package / "_cards"
    checkout = package.parents[1]
    if not packed.is_dir() and (checkout / "pyproject.toml").is_file() and (checkout / "model_zoo").is_dir():
        return checkout
    return packed
