"""Protocol cards."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from medbench import cards
from medbench.cards.dataset import Splits
from medbench.cards.protocol import ProtocolCard
from medbench.cards.recipes import KINDS


def test_the_kind_must_be_known() -> None:
    with pytest.raises(ValidationError, match=r"no kind of protocol 'knm'; known: .*knn"):
        ProtocolCard(name="mine", kind="knm")


def test_only_the_name_of_a_protocol_may_have_a_plus() -> None:
    assert ProtocolCard(name="lp++", kind="lp++").name == "lp++"
    for name in ("++", "a/+", "a +", "+a"):
        with pytest.raises(ValidationError, match="pattern"):
            ProtocolCard(name=name, kind="knn")
    with pytest.raises(ValidationError, match="pattern"):
        Splits.model_validate({"default": "a+b", "rules": {"a+b": {"method": "kfold"}}})


@pytest.mark.parametrize(("kind", "seeded"), [("knn", False), ("linear-probe", False), ("linear-frozen", True)])
def test_what_draws_nothing_has_one_unit(kind: str, seeded: bool) -> None:
    assert ProtocolCard(name="mine", kind=kind).seeded is seeded


def test_every_kind_has_a_card_and_all_presets_are_changes_of_its_settings() -> None:
    shipped = [cards.find_protocol(name) for name in cards.names("protocols")]
    assert {card.kind for card in shipped} == set(KINDS)
    for card in shipped:
        assert "paper" in card.presets, card.name
