"""FLAIR's captions, and the order in which it draws images (Silva-Rodríguez et al. 2025; code at d6652d5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medbench.data.pairs import Pairs

Pick = Callable[[int], int]
"""Number m -> a random number from 0 to m - 1."""
ATTRIBUTE, CATEGORY = "[ATR]", "[CLS]"


class Caption(NamedTuple):
    """The text of one image in one draw.

    Attributes:
        key: What pairs must have in common to count as equal: the category, or the image's own text.
        text: The caption.
    """

    key: str
    text: str


@dataclass(frozen=True)
class Captions:
    """Draws captions.

    Attributes:
        pairs: Categories, attributes and texts of the images.
        template: Text with `[ATR]` and `[CLS]`.
        dictionary: Category -> texts that may take its place.
        plain: Data sets whose categories are never replaced.
    """

    pairs: Pairs
    template: str
    dictionary: Mapping[str, Sequence[str]] = field(default_factory=dict)
    plain: frozenset[str] = frozenset()

    def draw(self, row: int, pick: Pick) -> Caption:
        """Return the caption of one image.

        An attribute and a category are drawn, the template is filled, and the category is replaced by one of itself and
        the dictionary's texts. An image without a category keeps its own text, if there is one.

        Args:
            row: The image.
            pick: Makes the draws, in the order of the official code.
        """
        pairs = self.pairs
        if not pairs.categories[row] and pairs.texts[row]:
            return Caption(pairs.texts[row], pairs.texts[row])
        attribute, category = _one(pairs.attributes[row], pick), _one(pairs.categories[row], pick)
        text = self.filled(category, attribute)
        if category in self.dictionary and pairs.sources[row] not in self.plain:
            text = text.replace(category, _one([category, *self.dictionary[category]], pick))
        return Caption(category, text)

    def filled(self, category: str, attribute: str = "") -> str:
        """Return the template's text for a category and an attribute, either of which can be empty."""
        return filled(self.template, category, attribute)

    def described(self, category: str) -> tuple[str, ...]:
        """Return the texts that describe a category: its name and the dictionary's, each in the template."""
        named = dict.fromkeys([category, *self.dictionary.get(category, ())])
        return tuple(self.filled(name) for name in named)

    def every(self) -> list[str]:
        """Return every text that a draw can give, without attributes, then all attributes."""
        names = sorted({name for one in self.pairs.categories for name in one})
        attributes = sorted({name for one in self.pairs.attributes for name in one})
        own = sorted(set(self.pairs.texts) - {""})
        return [text for name in names for text in self.described(name)] + own + attributes


def filled(template: str, category: str, attribute: str = "") -> str:
    """Return a template's text for a category and an attribute, either of which can be empty."""
    return template.replace(ATTRIBUTE, attribute).replace(CATEGORY, category).replace("  ", " ")


def _one(values: Sequence[str], pick: Pick) -> str:
    return values[pick(len(values))] if values else ""


def sampled(sources: Sequence[str], pick: Pick, order: NDArray[np.int64], *, balance: bool) -> NDArray[np.int64]:
    """Return the image of each draw of an epoch, (n,), as many as there are images.

    Args:
        sources: The data set of each image, (n,).
        pick: Makes the draws.
        order: A permutation of 0..n-1: the order in which the draws are made.
        balance: Draw i takes the data set i mod D of the D sorted ones, and a random image of it: small sets are seen
            as often as large ones. False: each image once.
    """
    if not balance:
        return order
    names = sorted(set(sources))
    rows = [np.flatnonzero(np.asarray(sources, object) == name) for name in names]
    chosen = [rows[i % len(names)] for i in order]
    return np.array([own[pick(len(own))] for own in chosen], np.int64)
