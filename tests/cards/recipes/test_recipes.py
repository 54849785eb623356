"""The settings of each kind of protocol."""

from __future__ import annotations

from typing import Any

import pytest

from medbench.cards import Settings
from medbench.cards.recipes import EXECUTION, KINDS, SETTINGS, CkaRecipe, Recipe, Timing


@pytest.mark.parametrize("fill", [[256, 0, 0], [-1], [], [0.5]])
def test_a_fill_that_is_no_colour_is_refused(fill: Any) -> None:
    with pytest.raises(ValueError, match="fill"):
        Settings(fill=fill)


def test_a_rate_follows_the_plateau_or_the_cosine() -> None:
    assert Recipe(cosine=True, plateau=False).cosine
    with pytest.raises(ValueError, match="either plateau or cosine"):
        Recipe(cosine=True)


def test_each_kind_has_settings_of_its_own() -> None:
    assert {name: settings.kind.name for name, settings in SETTINGS.items()} == {name: name for name in KINDS}
    assert len(set(SETTINGS.values())) == len(SETTINGS)
    assert list(SETTINGS) == sorted(SETTINGS)


def test_settings_of_cost_are_settings() -> None:
    known = {field for settings in SETTINGS.values() for field in settings.model_fields}
    assert known >= EXECUTION


@pytest.mark.parametrize(
    ("settings", "second"),
    [
        (Timing(classifier="linear"), None),
        (Timing(classifier="deit", stack="dino"), "dino"),
        (CkaRecipe(), None),
        (CkaRecipe(tuned="deit-frozen", classifier="dino"), "dino"),
    ],
)
def test_the_stacked_network_is_named_where_there_is_one(settings: Timing | CkaRecipe, second: str | None) -> None:
    assert settings.second == second


@pytest.mark.parametrize(
    "fields", [{"learning_rates": []}, {"learning_rates": [0.0]}, {"epochs": 0}, {"clip": 0}, {"label_smoothing": 1}]
)
def test_numbers_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        Recipe(**fields)
