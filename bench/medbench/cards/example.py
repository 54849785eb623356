"""Examples in data set cards: one image as the release names it, and what the card's patterns find in its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import Field

from medbench.cards.base import Strict

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

    An example shows a reader of the card what its templates and patterns are about. It is checked when the card is
    loaded. `medbench data synth` makes the names of a synthetic twin from it, with other numbers. The image need not
    exist.
    """

    image: str = Field(description="Path of the image below the data folder.")
    cells: dict[str, str] = Field(
        default_factory=dict,
        description="What the label file says: column -> cell, for the columns in `image` (of lists: `name` -> line).",
    )
    label: str | None = Field(None, description="What the pattern `label` finds.")
    group: str | None = Field(None, description="What the pattern `group` or `group_pattern` finds.")

    def check(self, found: Named) -> None:
        """Compare with what the card finds.

        Raises:
            ExampleError: The card finds something else.
        """
        for what, wanted, got in zip(Named._fields, (self.image, self.label, self.group), found, strict=True):
            if wanted not in (None, got):
                raise ExampleError(f"example '{self.image}': the card finds the {what} '{got}', not '{wanted}'")


def filled(template: str, cells: Mapping[str, str]) -> str:
    """Return a template with the cells of one row in it.

    Raises:
        ExampleError: There is no cell of a column.
    """
    for name in FIELD.findall(template):
        if name not in cells:
            raise ExampleError(f"example: the template '{template}' needs a cell of the column '{name}'")
    return FIELD.sub(lambda match: cells[match[1]], template)


def replaced(text: str, replace: Mapping[str, str]) -> str:
    """Return a text with the matches of each regular expression replaced, one expression after the other.

    Raises:
        ExampleError: An expression or its replacement is malformed.
    """
    for pattern, new in replace.items():
        try:
            text = re.sub(pattern, new, text)
        except (re.error, IndexError) as error:
            raise ExampleError(f"replace: '{pattern}' -> '{new}' is no valid replacement: {error}") from error
    return text


def matched(pattern: str, text: str, *, full: bool = False) -> re.Match[str] | None:
    """Search a regular expression in a text, or compare it with all of the text if `full`.

    Raises:
        ExampleError: The expression is malformed.
    """
    try:
        return (re.fullmatch if full else re.search)(pattern, text)
    except re.error as error:
        raise ExampleError(f"'{pattern}' is not a regular expression: {error}") from error


def captured(pattern: str | None, part: str, text: str, *, full: bool = False) -> str:
    """Return the named part of a regular expression in a text; empty if there is no expression.

    Raises:
        ExampleError: The expression is malformed or does not match, or the part is empty or unknown.
    """
    if not pattern:
        return ""
    match = matched(pattern, text, full=full)
    found = match.groupdict().get(part) if match else None
    if not found:
        raise ExampleError(f"'{pattern}' finds no part (?P<{part}>…) in '{text}'")
    return found
