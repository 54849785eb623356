"""What every card shares: unknown fields refused, values frozen, a name that is safe in a path."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, StringConstraints

FILE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._+-]*$"
"""Pattern of a card file's name, without its ending."""

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
Name = Annotated[str, StringConstraints(pattern=NAME, max_length=80)]
"""A name users type and folders carry: letters, digits, dot, dash, underscore."""

ProtocolName = Annotated[str, StringConstraints(pattern=FILE_NAME, max_length=80)]
"""The name of a protocol, which may have a plus (`lp++`)."""


def has_part(part: str) -> AfterValidator:
    """Return a check that a text is a regular expression with the named part `part` (empty: with or without parts)."""

    def check(text: str) -> str:
        try:
            expression = re.compile(text)
        except re.error as error:
            raise ValueError(f"'{text}' is not a regular expression: {error}") from error
        if part and part not in expression.groupindex:
            raise ValueError(f"'{text}' has no part (?P<{part}>…)")
        return text

    return AfterValidator(check)


def _replaceable(replace: dict[str, str]) -> dict[str, str]:
    for pattern, new in replace.items():
        try:
            re.sub(pattern, new, "")
        except (re.error, IndexError) as error:
            raise ValueError(f"'{pattern}' cannot be replaced by '{new}': {error}") from error
    return replace


def _cell(value: Any) -> Any:
    """Let a number stand for its text (`0: normal`). What YAML takes for a truth value has lost its text."""
    if value is None or isinstance(value, bool):
        raise ValueError(f"YAML reads this as {value}: put the text in quotes, spelled as in the label file")
    return str(value) if isinstance(value, (int, float)) else value


def _class_number(value: Any) -> Any:
    """Refuse a name: those of classes were replaced by their numbers before."""
    if isinstance(value, str) and not value.isdecimal():
        raise ValueError(f"'{value}' is neither a class of the card nor a class number")
    return value


Cell = Annotated[str, BeforeValidator(_cell)]
"""A text as a label file writes it."""

ClassNumber = Annotated[int, BeforeValidator(_class_number)]
"""A class by its number, from 0; in a data set card also by its name."""

Pattern = Annotated[str, has_part("")]
"""A regular expression."""

Replacements = Annotated[dict[str, str], AfterValidator(_replaceable)]
"""Regular expression -> replacement."""


Deviation = Annotated[float, Field(gt=0)]
"""A standard deviation: pixels are divided by it."""

Side = Annotated[int, Field(gt=0, le=16_384)]
"""Side of an image in pixels."""


class Strict(BaseModel):
    """A frozen piece of a card that refuses fields it does not know."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False, defer_build=True
    )


class Card(Strict):
    """The fields all cards have.

    Attributes:
        checked_by: The command that checks a file of this kind.
    """

    checked_by: ClassVar[str] = "medbench validate"
    name: Name = Field(description="Name that users type; also the file name without .yaml.")
    title: str = Field("", description="Title, in one line.")
    citation: str = Field("", description="Reference to cite: authors, venue, year, DOI.")
    notes: str = Field("", description="Known errors, open questions, and where the facts in this card come from.")
    links: dict[str, str] = Field(default_factory=dict, description="Further links: paper, code, page.")

    _folder: Path | None = PrivateAttr(None)

    @property
    def folder(self) -> Path:
        """Where the card lies; relative paths in it start there."""
        return self._folder or Path()

    def material(self) -> dict[str, Any]:
        """Return the fields that can change a number, for run keys: all but the texts for people."""
        texts = {"name", "title", "citation", "notes", "links"}
        return self.model_dump(mode="json", exclude=texts, exclude_defaults=True)
