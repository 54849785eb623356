"""The jobs of a sweep: the values of the setting, and the protocols that the ends of the sweep equal."""

from __future__ import annotations

from typing import Any

from medbench.cards import ModelCard, Settings
from medbench.cards.recipes.kinds import Kind
from medbench.errors import MedbenchError
from medbench.runs.planning.outline import count_units


def sweep_of(model: ModelCard, kind: Kind, settings: Settings) -> tuple[list[Any], dict[Any, str]]:
    """Return the values of a kind's sweep, and value -> protocol that is run in its place.

    Raises:
        MedbenchError: The model has fewer units than a value asks for.
    """
    asked = getattr(settings, kind.sweep)
    if not kind.last:
        return _classifiers(asked), {}
    values, n = _depths(model, kind.sweep, asked, least=0 if kind.first else 1)
    starts = kind.first and getattr(settings, "train_stem", True)
    return values, {n: kind.last, **({0: kind.first} if starts else {})}


def _classifiers(asked: str | list[str] | None) -> list[Any]:
    return ["linear", "deit"] if asked is None else asked if isinstance(asked, list) else [asked]


def _depths(model: ModelCard, sweep: str, asked: int | list[int] | None, least: int) -> tuple[list[Any], int]:
    """Return the depths of a sweep, and the number of units.

    Raises:
        MedbenchError: The model has fewer units.
    """
    n = model.units or count_units(model)
    listed = list(range(least, n + 1)) if asked is None else asked if isinstance(asked, list) else [asked]
    for value in listed:
        if not least <= value <= n:
            raise MedbenchError(f"{sweep}={value}: {model.name} has {n} units", f"give {least} to {n}")
    return listed, n
