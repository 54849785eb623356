"""Names of made-up images: composed of what a card's regular expressions want, and held against them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from medbench.cards.dataset import DatasetCard
from medbench.data.layouts.image_paths import ENDINGS, compiled, stem
from medbench.data.twins.spell_regex import Speller
from medbench.errors import DataError

BRANCHES = 3
"""Alternatives of an expression that are tried."""


@dataclass(frozen=True)
class Fake:
    """One made-up sample: its number, class (or 0/1 findings), group, official split (or empty), rank in its group."""

    number: int
    target: int | list[int]
    group: int
    split: str
    rank: int = 0

    @property
    def digits(self) -> str:
        """The number as no group is written."""
        return str(70000 + self.number)

    @property
    def group_digits(self) -> str:
        """The group's number."""
        return f"{self.group:04d}"

    @property
    def plain(self) -> str:
        """A name that tells group and number."""
        return f"g{self.group:04d}_{self.number:05d}"


def pieces(pattern: str | None, fake: Fake, fixed: Mapping[str, str] | None = None) -> list[str]:
    """Return texts that an expression should find: its open places hold the sample's digits, `group` the group's."""
    if not pattern:
        return []
    compiled(pattern, "layout")
    digits = {"": fake.digits, "group": fake.group_digits}
    ways = [(branch, False) for branch in range(BRANCHES)] + [(0, True)]
    found = [Speller(pattern, fixed or {}, digits, branch, ahead=ahead).text() for branch, ahead in ways]
    found += [text.rpartition(".")[0] for text in found if re.search(r"\.\w+$", text) and stem(text) == text]
    return list(dict.fromkeys(filter(None, found)))


def composed(wanted: Sequence[Sequence[str]], plain: str) -> Iterator[str]:
    """Yield texts made of one piece of each kind (or none of it) and the parts of `plain`, in every order.

    The simplest come first.
    """
    yield plain
    choices = [[piece for piece in choice if piece] for choice in itertools.product(*([*kind, ""] for kind in wanted))]
    for last in (plain.split("/"), []):  # without it where nothing else will do
        for between in ("/", "_", ""):
            for choice in choices:
                for parts in itertools.permutations([*choice, *last]):
                    if parts:
                        yield _joined(parts, between)


def _joined(parts: Sequence[str], between: str) -> str:
    text = parts[0]
    for part in parts[1:]:
        if text.endswith("/") and part.startswith("/"):
            part = part[1:]
        apart = text[-1:].isalnum() and part[:1].isalnum()
        text += (between if apart else "") + part
    return text


def with_ending(text: str, endings: Sequence[str]) -> Iterator[str]:
    """Yield a name with the ending it has, if that is an image's, else with each of `endings`."""
    if stem(text) != text:
        yield text
        return
    for ending in endings:
        yield text + (ending[1:] if text.endswith(".") else ending)


@dataclass
class Names:
    """The names given so far: no two alike, and one group text for each group.

    Attributes:
        card: The card, for messages.
        pattern: Expression of the group, if names tell it.
    """

    card: DatasetCard
    pattern: str | None = None
    used: set[str] = field(default_factory=set)
    groups: dict[str, int] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)

    def take(self, names: Iterator[str], fake: Fake, fits: Callable[[str], bool]) -> str:
        """Return the first new name that fits and tells the sample's group.

        Raises:
            DataError: There is none.
        """
        for name in names:
            if name not in self.used and fits(name) and self._grouped(name, fake):
                self.used.add(name)
                return name
        wishes = f" whose group {self.pattern} finds" if self.pattern else ""
        raise DataError(f"{self.card.name}: cannot make up names{wishes}", "no twin of this card")

    def _grouped(self, name: str, fake: Fake) -> bool:
        if not self.pattern:
            return True
        match = re.search(self.pattern, name)
        if match is None or not match["group"] or fake.digits in match["group"]:
            return False
        text = match["group"]
        if self.groups.get(text, fake.group) != fake.group or self.texts.get(fake.group, text) != text:
            return False
        self.groups[text], self.texts[fake.group] = fake.group, text
        return True


def is_image(path: str) -> bool:
    """Tell whether a path ends as an image's does and has no hidden parts."""
    return path.lower().endswith(ENDINGS) and not any(part.startswith(".") for part in path.split("/"))
