"""Puts the cards into the wheel; an editable install reads them from the checkout instead."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CARDS = (
    "model_zoo/*.yaml",
    "datasets/*.yaml",
    "datasets/catalogues/*.yaml",
    "datasets/prompts/*.yaml",
    "datasets/splits/*.csv",
    "protocols/*.yaml",
    "results/published/*.yaml",
    "results/studies/*.yaml",
)


class CardsHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        for pattern in CARDS:
            for path in sorted(Path(self.root).glob(pattern)):
                target = f"medbench/_cards/{path.relative_to(self.root).as_posix()}"
                build_data["force_include"][str(path)] = target
