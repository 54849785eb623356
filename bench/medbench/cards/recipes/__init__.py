"""The recipes: the settings of each kind of protocol. Papers' numbers are in the protocol cards."""

from __future__ import annotations

from medbench.cards.recipes.adaptation import AttentiveProbe, BitFit, Lora, NormTuning, VisualPrompt
from medbench.cards.recipes.adapters import Clap, ClipAdapter, LpPlusPlus, TipAdapter, TipAdapterF, ZsLp
from medbench.cards.recipes.analysis import CkaModels, CkaRecipe, Timing
from medbench.cards.recipes.base import Augment, Recipe, Settings
from medbench.cards.recipes.heads import Knn, LinearFrozen, LinearProbe, NearestMean
from medbench.cards.recipes.kinds import Kind
from medbench.cards.recipes.language import FewShot, Prompted, Shots, ZeroShot
from medbench.cards.recipes.networks import (
    EXECUTION,
    DecapitateFrozen,
    DecapitateUnfrozen,
    DeitFrozen,
    DeitUnfrozen,
    FinetuneRecipe,
    Freeze,
    LinearOnline,
    LinearUnfrozen,
    LpFt,
)
from medbench.cards.recipes.pretraining import DinoPretrain, FlairPretrain, WithBert
from medbench.cards.recipes.refinement import RetFiner

__all__ = [
    "EXECUTION",
    "KINDS",
    "SETTINGS",
    "AttentiveProbe",
    "Augment",
    "BitFit",
    "CkaModels",
    "CkaRecipe",
    "Clap",
    "ClipAdapter",
    "DecapitateFrozen",
    "DecapitateUnfrozen",
    "DeitFrozen",
    "DeitUnfrozen",
    "DinoPretrain",
    "FewShot",
    "FinetuneRecipe",
    "FlairPretrain",
    "Freeze",
    "Kind",
    "Knn",
    "LinearFrozen",
    "LinearOnline",
    "LinearProbe",
    "LinearUnfrozen",
    "Lora",
    "LpFt",
    "LpPlusPlus",
    "NearestMean",
    "NormTuning",
    "Prompted",
    "Recipe",
    "RetFiner",
    "Settings",
    "Shots",
    "Timing",
    "TipAdapter",
    "TipAdapterF",
    "VisualPrompt",
    "WithBert",
    "ZeroShot",
    "ZsLp",
]


def _declared(base: type[Settings]) -> dict[str, type[Settings]]:
    """Return kind -> settings of all classes below `base` that declare a kind."""
    found = {base.kind.name: base} if "kind" in vars(base) else {}
    for below in base.__subclasses__():
        found |= _declared(below)
    return found


SETTINGS: dict[str, type[Settings]] = dict(sorted(_declared(Settings).items()))
"""The settings that each kind of protocol takes."""

KINDS: dict[str, Kind] = {name: settings.kind for name, settings in SETTINGS.items()}
"""All kinds of protocols, by name."""
