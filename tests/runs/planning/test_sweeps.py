"""The values of a sweep, and the protocols that its ends equal."""

from __future__ import annotations

from typing import Any

import pytest

from medbench import cards
from medbench.cards.recipes import KINDS
from medbench.cards.resolve import resolve
from medbench.errors import MedbenchError
from medbench.runs.planning.sweeps import sweep_of


@pytest.mark.parametrize(
    ("protocol", "changes", "values", "ends"),
    [
        ("freeze", {}, [0, 1, 2, 3, 4], {0: "linear-unfrozen", 4: "linear-frozen"}),
        ("freeze", {"train_stem": False, "frozen": [0, 2]}, [0, 2], {4: "linear-frozen"}),
        ("decapitate-frozen", {}, [1, 2, 3, 4], {4: "deit-frozen"}),
        ("timing", {}, ["linear", "deit"], {}),
        ("few-shot", {"shots": 3}, [3], {}),
    ],
)
def test_values_and_ends(protocol: str, changes: dict[str, Any], values: list[Any], ends: dict[Any, str]) -> None:
    recipe = cards.find_protocol(protocol)
    settings = resolve(recipe, "paper", "", changes)
    assert sweep_of(cards.find_model("toy-vit"), KINDS[recipe.kind], settings) == (values, ends)


def test_a_depth_that_the_network_does_not_have_is_refused() -> None:
    settings = resolve(cards.find_protocol("freeze"), "paper", "", {"frozen": 5})
    with pytest.raises(MedbenchError, match="frozen=5: toy-vit has 4 units"):
        sweep_of(cards.find_model("toy-vit"), KINDS["freeze"], settings)
