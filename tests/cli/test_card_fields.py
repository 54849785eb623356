"""The reference of cards: every field of every schema, with a sentence, at 80 columns."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, Field

from medbench.cards.base import Cell, ClassNumber, Strict
from medbench.cards.find import SCHEMAS
from medbench.cards.recipes import SETTINGS
from medbench.cli.card_fields import FieldEntry, lines_of, models_in, parts_of


class Inner(Strict):
    """A part."""

    kind: Literal["a"] = Field(description="Form.")


class Other(Strict):
    """Another part."""

    kind: Literal["b"] = Field(description="Form.")


class Sample(Strict):
    """A card.

    Second paragraph.

    - a point
      that goes on
    """

    size: int = Field(7, gt=0, le=9, description="How\n    large.")
    share: float | None = Field(None, ge=0.5, description="Of all.")
    values: dict[Cell, ClassNumber] = Field(default_factory=dict, description="Text -> class.")
    parts: list[Inner | Other] = Field(description="The parts.")
    names: str | list[str] = Field("a, b", description="Names.")
    flag: bool = Field(True, description="Yes.")


def test_what_a_field_takes_its_default_and_its_meaning() -> None:
    first, inner, other = parts_of(Sample)
    assert first.text == "A card.\nSecond paragraph.\n- a point that goes on"
    assert first.fields == (
        FieldEntry("size", "whole number above 0 to 9", "default: 7", "How large."),
        FieldEntry("share", "number from 0.5", "optional", "Of all."),
        FieldEntry("values", "mapping of texts to classes", "optional", "Text -> class."),
        FieldEntry("parts", "list of mappings (below)", "required", "The parts."),
        FieldEntry("names", "text or list of texts", 'default: "a, b"', "Names."),
        FieldEntry("flag", "true or false", "default: true", "Yes."),
    )
    assert (inner.place, other.place) == ("parts (kind: a)", "parts (kind: b)")
    assert "  size: whole number above 0 to 9; default: 7\n      How large.\n" in "\n".join(lines_of(parts_of(Sample)))


def every(schema: type[BaseModel]) -> set[type[BaseModel]]:
    """Return a schema and all that is in it."""
    found, waiting = set(), [schema]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += [inner for field in one.model_fields.values() for inner in models_in(field.annotation)]
    return found


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_every_field_of_every_card_is_explained(schema: type[BaseModel]) -> None:
    parts = parts_of(schema)
    assert sum(len(part.fields) for part in parts) == sum(len(one.model_fields) for one in every(schema))
    assert [f"{part.place}.{field.name}" for part in parts for field in part.fields if not field.text] == []
    assert all(part.text for part in parts)
    assert max(map(len, lines_of(parts))) <= 80


@pytest.mark.parametrize("schema", SETTINGS.values(), ids=SETTINGS)
def test_settings_of_protocols_fit_too(schema: type[BaseModel]) -> None:
    assert max(map(len, lines_of(parts_of(schema)))) <= 80
