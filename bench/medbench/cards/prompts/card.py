"""The prompts card: class names and the texts that describe them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from medbench.cards.base import Card, Cell

SLOT = "{}"
"""Place of the class name in a template."""


def _told(text: str) -> str:
    if not text.strip():
        raise ValueError("the text is empty: write a text, or remove it")
    if SLOT in text:
        raise ValueError(f"'{text}' has {SLOT}, which only a template may have: write the name of the class instead")
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
    """Texts for each class. A file that contains only `class: [texts]` is also a prompts card."""

    licence: str = Field("", description="Licence of the texts.")
    template: Template | None = Field(
        None,
        description="Sentence around each text, with `{}` in its place; default: the texts are complete sentences.",
    )
    append_name: bool = Field(
        False,
        description="True: the class name is added as the last text; a class without an entry has only its name "
        "(FLAIR). False: the entries must be exactly the classes of the data set.",
    )
    prompts: dict[Cell, Annotated[list[Prompt], Field(min_length=1)]] = Field(
        min_length=1, description="Class name -> texts. Multilabel: `no NAME` has the texts for images without NAME."
    )

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, content: Any) -> Any:
        """Take a file without the field `prompts` for the content of that field."""
        if not isinstance(content, dict) or "prompts" in content:
            return content
        bare = {key: value for key, value in content.items() if key != "name"}
        return {"prompts": bare, **({"name": content["name"]} if "name" in content else {})}
