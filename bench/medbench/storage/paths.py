"""Where things lie: the cache, the runs, the data sets and the cards."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

CARD_FOLDERS = {
    "models": "model_zoo",
    "datasets": "datasets",
    "protocols": "protocols",
    "papers": "results/published",
}


def home() -> Path:
    """Return the cache for weights, prepared stores and features: `MEDBENCH_HOME` or the platform's user cache."""
    chosen = os.environ.get("MEDBENCH_HOME")
    return Path(chosen).expanduser() if chosen else user_cache_path("medbench")


def runs_dir(out: Path | None = None) -> Path:
    """Return the run store: `out`, `MEDBENCH_RUNS`, or `results/runs` below the current folder."""
    return out or Path(os.environ.get("MEDBENCH_RUNS") or "results/runs").expanduser()


def tables_dir(out: Path | None = None) -> Path:
    """Return the folder of the rendered tables, beside the run store."""
    return runs_dir(out).parent / "tables"


def data_folder(name: str) -> str:
    """Return the name of the folder of data set `name`; the sets of MedMNIST, one file each, share one."""
    return "medmnist" if name.startswith("medmnist--") else name


def data_root(name: str, chosen: Path | None = None) -> Path | None:
    """Return where data set `name` lies: `chosen`, else the folder `name` in `MEDBENCH_DATA`, else None (not told).

    A `chosen` folder may be the data set's own or one that holds a folder of its name (`data_folder`).
    """
    base = chosen or (Path(os.environ["MEDBENCH_DATA"]) if os.environ.get("MEDBENCH_DATA") else None)
    if base is None:
        return None
    base = base.expanduser()
    inner = base / data_folder(name)
    return inner if chosen is None or inner.is_dir() else base


def card_dirs(kind: str) -> list[Path]:
    """Return the folders searched for cards of `kind`, first match wins.

    Order: `MEDBENCH_CARDS` (a folder of cards, or one with the folders `model_zoo`, `datasets`, …), the current
    folder's own card folders, then the cards that came with medbench (in the wheel, or the checkout it runs from).
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
    """Return the root of the cards that came with medbench.

    The wheel holds them in `medbench/_cards`. A checkout is recognised by its `pyproject.toml`: without that test an
    installed package would take Hugging Face's `site-packages/datasets` for our folder of that name.
    """
    package = Path(__file__).resolve().parents[1]
    packed = package / "_cards"
    checkout = package.parents[1]
    if not packed.is_dir() and (checkout / "pyproject.toml").is_file() and (checkout / "model_zoo").is_dir():
        return checkout
    return packed
