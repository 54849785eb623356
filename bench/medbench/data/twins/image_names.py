"""Names of made-up images: those of a card's examples with other numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from medbench.cards.dataset.example import ExampleError, Named
from medbench.data.layouts.image_paths import stem
from medbench.storage.patterns import Expression

DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class Fake:
    """One made-up sample: its number, class (or 0/1 findings), group, official split (or empty), rank in its group."""

    number: int
    target: int | list[int]
    group: int
    split: str
    rank: int = 0


class Series:
    """Names like an example, with other numbers.

    The group's number replaces the last digits that change the group. The image's own number replaces the last other
    digits that change the file name; without such digits it is added at the end of the file name or before it.

    Args:
        example: The name.
        most: The largest number.
        read: Returns what the card finds in a name; by default the name is the image's path. It raises ExampleError
            for a name that the card cannot read.

    Raises:
        ExampleError: The card cannot read the example, or the example has no place for the numbers.
    """

    def __init__(self, example: str, most: int, read: Callable[[str], Named] = Named) -> None:
        read(example)
        start, end = example.rfind("/") + 1, len(stem(example))
        for text in (example, f"{example[:end]}_0{example[end:]}", f"{example[:start]}0_{example[start:]}"):
            with suppress(ExampleError):
                if places := _places(text, most, read):
                    self._text, self._places = text, places
                    return
        raise ExampleError(f"the example '{example}' has no digits that tell images and groups apart")

    def name(self, number: int, group: int) -> str:
        """Return the name of the image with this number in the group with that number."""
        text = self._text
        for place, what in reversed(self._places):
            text = _put(text, place, number if what == "number" else group)
        return text


def _places(text: str, most: int, read: Callable[[str], Named]) -> list[tuple[slice, str]]:
    """Return where the image's number and the group's number are, in the order of the text; empty if one is missing."""
    found = read(text)
    places: dict[str, slice] = {}
    for run in DIGITS.finditer(text):
        place = slice(*run.span())
        with suppress(ExampleError):
            other = read(_put(text, place, most - (int(run[0]) == most)))
            if other.group != found.group:
                places["group"] = place
            elif other.label == found.label and _file(other.image) != _file(found.image):
                places["number"] = place
    if "number" not in places or (found.group and "group" not in places):
        return []
    return sorted(((place, what) for what, place in places.items()), key=lambda pair: pair[0].start)


def _put(text: str, place: slice, number: int) -> str:
    return text[: place.start] + str(number).zfill(place.stop - place.start) + text[place.stop :]


def _file(path: str) -> str:
    return path.rpartition("/")[2]


def with_part(pattern: str, part: str, text: str, new: str) -> str:
    """Return a text with another content of the named part of a regular expression that matches it."""
    match = Expression(pattern).search(text)
    assert match
    return text[: match.start(part)] + new + text[match.end(part) :]
