"""The texts of a data set's classes: which ones there are, and which a run takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from medbench.cards.dataset import DatasetCard
from medbench.cards.recipes import Prompted
from medbench.errors import CardError

PLACE = "{}"
"""Where a template holds the class's name."""

ByClass = tuple[tuple[str, ...], ...]
"""The texts of each class, in class order."""


@dataclass(frozen=True)
class Prompts:
    """One set of texts for all classes of a data set.

    Attributes:
        source: `names`, `card`, a prompt card's name, or a file's name.
        texts: The texts of each class, templates applied.
        negatives: Multilabel tasks: the texts that say that a finding is not there, of each class; else None.
    """

    source: str
    texts: ByClass
    negatives: ByClass | None = None

    def material(self) -> list[Any]:
        """Return what can change a number: the texts in their order."""
        return [self.texts, self.negatives]


def prompt_sets(card: DatasetCard, settings: Prompted, template: str) -> list[Prompts]:
    """Return the sets of texts that cover all classes, the chosen one first.

    Args:
        card: The data set's card.
        settings: What is asked for.
        template: The model's own, for settings that name none.

    Raises:
        CardError: There is no such set, or it lacks a class.
    """
    around = settings.template or template
    names = Prompts("names", tuple((around.replace(PLACE, one.name),) for one in card.classes))
    own = Prompts("card", tuple(tuple(one.prompts) for one in card.classes))
    found = {"names": names, **({"card": own} if all(own.texts) else {})}
    asked = next(reversed(found)) if settings.prompts == "auto" else settings.prompts
    if asked not in found:
        raise CardError(f"{card.name}: no prompts '{asked}'", f"choose from: auto, {', '.join(found)}")
    return [found.pop(asked), *found.values()]
