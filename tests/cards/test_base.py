"""What all cards share."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from medbench.cards.base import Card, Name, Replacements, has_part


class Note(Card):
    """A card with a field of its own."""

    size: int = 3


@pytest.mark.parametrize("name", ["a", "ViT-B_16.x", "7", "a" * 80])
def test_names_that_are_safe_in_a_path(name: str) -> None:
    assert Note(name=name).name == name


@pytest.mark.parametrize("name", ["", ".hidden", "-x", "a/b", "a b", "..", "a\n", "ä", "a" * 81])
def test_names_that_are_not(name: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Name).validate_python(name)


def test_a_card_is_frozen_and_refuses_unknown_fields() -> None:
    with pytest.raises(ValidationError, match="siez"):
        Note.model_validate({"name": "a", "siez": 4})
    with pytest.raises(ValidationError, match="frozen"):
        Note(name="a").size = 4  # type: ignore[misc]


def test_only_what_can_change_a_number_is_in_the_key() -> None:
    texts = {"title": "t", "citation": "c", "notes": "n", "links": {"paper": "p"}}
    assert Note(name="a").material() == Note(name="b", **texts).material() == {}
    assert Note(name="a", size=4).material() == {"size": 4}
    assert Note(name="a", size=3).material() == {}, "a default that is written out is the default"


def test_patterns_have_the_part_that_is_read() -> None:
    pattern = TypeAdapter(Annotated[str, has_part("group")])
    assert pattern.validate_python(r"(?P<group>\d+)_") == r"(?P<group>\d+)_"
    for bad, words in (("(", "is not a regular expression"), (r"(?P<label>\d)", "has no part"), ("group", "no part")):
        with pytest.raises(ValidationError, match=words):
            pattern.validate_python(bad)


def test_replacements_can_be_made() -> None:
    replacements = TypeAdapter(Replacements)
    assert replacements.validate_python({r"(\d)_": r"\1-"}) == {r"(\d)_": r"\1-"}
    for bad in ({"(": ""}, {"a": r"\1"}, {"a": r"\g<b>"}):
        with pytest.raises(ValidationError, match="cannot be replaced by"):
            replacements.validate_python(bad)
