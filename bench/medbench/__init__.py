"""medbench: which pretrained vision model serves a medical-image classification task, with numbers that can be trusted.

The names below are all there is to know from Python; each is loaded when first used, so that importing medbench costs
nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from medbench.data import load_dataset
    from medbench.models import load_model
    from medbench.models.text import TextEncoder
    from medbench.runs import run

    __version__: str

__all__ = [
    "__version__",
    "list_datasets",
    "list_models",
    "list_protocols",
    "load_dataset",
    "load_model",
    "load_text_model",
    "run",
    "table",
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
