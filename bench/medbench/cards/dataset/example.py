"""Examples in data set cards: one image as the release names it, and what the card's patterns find in its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from pydantic import Field

from medbench.cards.base import Strict
from medbench.storage.patterns import Expression

FIELD = re.compile(r"\{([^{}]+)\}")
"""A column in a template."""


class ExampleError(ValueError):
    """An example that its card cannot read, or from which no other names can be made."""


class Named(NamedTuple):
    """What a card finds in the name of an image; empty where it has no such pattern."""

    image: str
    label: str = ""
    group: str = ""


class Example(Strict):
    """One image as the release names it, and what the card must find in that name.

    An example explains the templates and patterns of a card. It is checked when the card is loaded, and a synthetic
    twin (`medbench data synth`) has images with such names and other numbers. The image need not exist.
    """

    image: str = Field(description="Path of the image below the data folder.")
    cells: dict[str, str] = Field(
        default_factory=dict,
        description="Row of the label file: column -> cell, for the columns in `image` (lists: `name` -> line).",
    )
    label: str | None = Field(None, description="Text that the pattern `label` finds.")
    group: str | None = Field(None, description="Text that the pattern `group` or `group_pattern` finds.")


def filled(template: str, cells: Mapping[str, str]) -> str:
    """Return a template with the cells of one row in it.

    Raises:
        ExampleError: There is no cell of a column.
    """
    for name in FIELD.findall(template):
        if name not in cells:
            raise ExampleError(f"example: the template '{template}' needs a cell of the column '{name}'")
    return FIELD.sub(lambda match: cells[match[1]], template)


def captured(pattern: str | None, part: str, text: str) -> str:
    """Return the named part of a regular expression in a text; empty if there is no expression.

    Raises:
        ExampleError: The expression does not match, or the part is empty.
    """
    if not pattern:
        return ""
    match = Expression(pattern).search(text)
    if match is None or not match[part]:
        raise ExampleError(f"'{pattern}' finds no {part} in '{text}'")
    return str(match[part])


def check_all(examples: Iterable[Example], find: Callable[[Example], Named]) -> None:
    """Compare examples with what a card finds in them.

    Raises:
        ExampleError: The card finds nothing, or something else.
    """
    for example in examples:
        found = find(example)
        for what, wanted, got in zip(Named._fields, (example.image, example.label, example.group), found, strict=True):
            if wanted not in (None, got):
                raise ExampleError(f"example '{example.image}': the card finds the {what} '{got}', not '{wanted}'")
