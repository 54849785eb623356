"""The protocol card: every number of a recipe, per preset and per data set, checked against its kind's settings."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from medbench.cards.base import Card, ProtocolName
from medbench.cards.recipes import KINDS

DATASETS = "datasets"
"""Key of a preset: data set -> what it changes under this preset alone."""


class ProtocolCard(Card):
    """One protocol: a kind of protocol with its settings."""

    name: ProtocolName = Field(description="What users type; also the file's name without .yaml.")
    kind: str = Field(description="Kind of protocol; it defines the settings, which `medbench show card KIND` lists.")
    defaults: dict[str, Any] = Field(
        default_factory=dict, description="Settings that differ from the defaults of the kind."
    )
    presets: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Preset -> settings that it changes; `datasets` in a preset: data set -> settings for this data "
        "set.",
    )
    datasets: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Data set -> settings for this data set, under every preset."
    )

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in KINDS:
            raise ValueError(f"there is no kind of protocol '{kind}'; known: {', '.join(KINDS)}")
        return kind

    @field_validator("presets")
    @classmethod
    def _mappings(cls, presets: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, preset in presets.items():
            sets = preset.get(DATASETS, {})
            if not isinstance(sets, dict) or not all(isinstance(changed, dict) for changed in sets.values()):
                raise ValueError(f"{name}.{DATASETS}: give a mapping: data set -> settings")
        return presets

    @property
    def seeded(self) -> bool:
        """Whether each seed is a unit of its own."""
        return KINDS[self.kind].seeded
