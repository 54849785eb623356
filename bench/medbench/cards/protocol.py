"""The protocol card: every number of a recipe, per preset and per data set, checked against its kind's settings."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field

from medbench.cards import recipes
from medbench.cards.base import Card
from medbench.cards.settings import Settings

Kind = Literal[
    "linear-frozen",
    "linear-unfrozen",
    "linear-probe",
    "lp-ft",
    "knn",
    "deit-frozen",
    "deit-unfrozen",
    "freeze",
    "decapitate-frozen",
    "decapitate-unfrozen",
    "timing",
    "dino-pretrain",
    "cka",
    "cka-models",
]


def _settings_of(kind: str) -> type[Settings]:
    """Return the recipe's class: `linear-frozen` is `LinearFrozen`."""
    found: type[Settings] = getattr(recipes, kind.title().replace("-", ""))
    return found


SETTINGS: dict[str, type[Settings]] = {kind: _settings_of(kind) for kind in get_args(Kind)}
"""The settings each kind of protocol takes."""


UNSEEDED = ("linear-probe", "knn", "timing", "dino-pretrain", "cka", "cka-models")
"""Kinds without a unit for each seed: most draw nothing, and what draws nothing has one unit, not five equal ones."""


class ProtocolCard(Card):
    """One recipe: a kind of protocol with its numbers."""

    kind: Kind
    defaults: dict[str, Any] = Field(default_factory=dict, description="Numbers that differ from the kind's own.")
    presets: dict[str, dict[str, Any]] = Field(default_factory=dict, description="Preset -> what it changes.")
    datasets: dict[str, dict[str, Any]] = Field(default_factory=dict, description="Data set -> what it changes.")

    @property
    def seeded(self) -> bool:
        """Whether each seed is a unit of its own."""
        return self.kind not in UNSEEDED
