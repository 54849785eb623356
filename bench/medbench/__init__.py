"""medbench: which pretrained vision model serves a medical-image classification task, with numbers that can be trusted.

The names below are all there is to know from Python; each is loaded when first used, so that importing medbench costs
nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from medbench.data import load_dataset
    from medbench.models import load_model
    from medbench.models.text import TextEncoder
    from medbench.runs import run

    __version__: str

__all__ = [
    "__version__",
    "compare",
    "figure",
    "list_datasets",
    "list_models",
    "list_protocols",
    "load_dataset",
    "load_model",
    "load_text_model",
    "run",
    "table",
    "write_report",
]

_HOMES = {"load_dataset": "data", "load_model": "models", "run": "runs"}


def list_models() -> list[str]:
    """Return the names of all model cards on the search path, sorted."""
    return _names("models")


def list_protocols() -> list[str]:
    """Return the names of all protocol cards on the search path, sorted."""
    return _names("protocols")


def list_datasets() -> list[str]:
    """Return the names of all data set cards on the search path, sorted."""
    return _names("datasets")


def load_text_model(name: str | Path, weights: str | Path | None = None) -> TextEncoder:
    """Return the frozen text tower of a vision-language pair, on the CPU.

    Args:
        name: Name of a model card, or a card file.
        weights: None for the official file, a path, or `random`.

    Raises:
        MedbenchError: The card has no text tower, or the file is missing, damaged or another architecture's.
    """
    from medbench.models.text import load_text

    return load_text(name, weights)


def table(name: str, **options: Any) -> pd.DataFrame:
    """Return a table as a DataFrame: one row per row of the table, mean, std and n of every column.

    Args:
        name: `dataset/<name>`, or a paper's, such as `wacv2024/table1`; `medbench ls tables` lists them.
        options: `runs` (the run store), `published` (the paper's numbers too), `include_random` (random weights too).

    Raises:
        MedbenchError: There is no such table, or nothing was run on the data set.
    """
    from medbench import report

    return report.table(name, **options).frame()


def figure(name: str, out: Path | None = None, formats: str | Sequence[str] = "png", **options: Any) -> list[Path]:
    """Draw a paper's figure, write it and the data behind it (CSV), and return the paths of the files.

    Args:
        name: Such as `wacv2024/figure4`; `medbench ls figures` lists them.
        out: The folder; None: `figures`, beside the run store.
        formats: `png`, `svg`, `pdf`: one, several, or a comma list.
        options: `runs` (the run store), `published`, `include_random`, `ref` and `preset`, as of the command.

    Raises:
        MedbenchError: There is no such figure or format, or the folder cannot be written.
    """
    from medbench.report import figures

    data = figures.figure_data(name, **options)
    wanted = formats.split(",") if isinstance(formats, str) else formats
    return figures.write_figure(data, out or figures.figures_dir(options.get("runs")), wanted)


def compare(a: str, b: str, **options: Any) -> pd.DataFrame:
    """Return the paired comparison of two rows as a DataFrame: one row per data set, under several their mean.

    Args:
        a: `MODEL`, `MODEL/PROTOCOL` or `MODEL/PROTOCOL/SETTINGS`, such as `dinov2/knn/fixed,k=5`.
        b: The other side.
        options: `dataset`, `metric`, `preset`, `include_random`, `draws` and `runs`, as of the command.

    Raises:
        MedbenchError: A name is unknown among what was run, or there is nothing to compare.
    """
    from medbench.report.compare import compare as compared

    return compared(a, b, **options).frame()


def write_report(
    runs: Path | None = None,
    to: Path | None = None,
    dataset: str = "*",
    include_random: bool = False,
    thumbnails: int = 8,
    data_root: Path | None = None,
    data: Sequence[str] = (),
) -> Path:
    """Write one HTML file of everything in a run store and return its path; it loads nothing from anywhere.

    Args:
        runs: The run store; None: `MEDBENCH_RUNS` or `results/runs`.
        to: The file, or a folder for `report.html`; None: `report.html` beside the run store.
        dataset: A glob: only data sets of such names.
        include_random: Show random weights in papers' tables and figures too, marked.
        thumbnails: How many of the worst-classified images each page shows, where the data are at hand.
        data_root: Where the data lie; None: `MEDBENCH_DATA`.
        data: Data sets of your own: a .csv of labels, a folder of class folders, or a card file each.

    Raises:
        MedbenchError: Nothing was run, one of `data` is not there, or the folder cannot be written.
    """
    from medbench import progress
    from medbench.data.thumbnails import Thumbnails
    from medbench.report import html

    pictures = Thumbnails(data_root, data) if thumbnails else None
    path = html.write_report(runs, to, dataset, include_random, pictures, thumbnails)
    for line in pictures.notes() if pictures is not None else ():
        progress.say(f"note: {line}")
    return path


def _names(kind: str) -> list[str]:
    from medbench import cards

    return cards.names(kind)


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("medbench")
    except metadata.PackageNotFoundError:  # run from a source tree that was never installed
        return "0+unknown"


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = _version()
    elif name in _HOMES:
        value = getattr(importlib.import_module(f"medbench.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module 'medbench' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
