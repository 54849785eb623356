"""The prompts card: class names and the texts that describe them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from medbench.cards.base import Card, Cell

SLOT = "{}"
"""Where a template takes a class's name."""


def _told(text: str) -> str:
    if not text.strip():
        raise ValueError("an empty text describes nothing: write one, or leave it out")
    return text


def _with_slot(template: str) -> str:
    if template.count(SLOT) != 1:
        raise ValueError(f"'{template}' needs one {SLOT}, where the class's name goes")
    return template


Prompt = Annotated[Cell, AfterValidator(_told)]
"""A text that describes a class."""

Template = Annotated[str, AfterValidator(_with_slot)]
"""A text with one `{}`."""


def filled(template: str | None, name: str) -> str:
    """Return a template with a name in it; no template: the name."""
    return name if template is None else template.replace(SLOT, name)


class PromptsCard(Card):
    """Texts by class name. A file that is nothing but `class: [texts]` is such a card, too."""

    licence: str = Field("", description="Licence of the texts.")
    template: Template | None = Field(
        None, description="What goes around each text, `{}` standing for it; none: the texts are whole."
    )
    append_name: bool = Field(
        False,
        description="Each class has its own name as a last text, and a class without an entry has no other (FLAIR)."
        " Otherwise each class of the data set needs an entry, and each entry its class.",
    )
    prompts: dict[Cell, Annotated[list[Prompt], Field(min_length=1)]] = Field(
        min_length=1,
        description="Class name -> its texts. Of a finding in a multilabel task, `no NAME` has those of its absence.",
    )

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, content: Any) -> Any:
        """Take a file without the field `prompts` for the content of that field."""
        if not isinstance(content, dict) or "prompts" in content:
            return content
        bare = {key: value for key, value in content.items() if key != "name"}
        return {"prompts": bare, **({"name": content["name"]} if "name" in content else {})}
