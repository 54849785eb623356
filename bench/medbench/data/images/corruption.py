"""Corruptions of test images that occur in clinics: names, severities and strengths. `damage` makes the pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from medbench.errors import MedbenchError, unknown

VERSION = 1
"""Raise it when `damage` computes other pixels."""
SIDE = 224
"""Side of the images, in pixels, for which strengths that are lengths are given; they scale with the side."""
STRENGTHS: dict[str, tuple[float, ...]] = {
    "blur": (5, 9, 13, 19, 27),  # length of the motion, pixels
    "defocus": (1.5, 2.5, 3.5, 5, 7),  # radius of the disc, pixels
    "noise": (0.02, 0.04, 0.08, 0.12, 0.18),  # standard deviation, share of the full scale
    "jpeg": (50, 30, 20, 12, 7),  # quality of the encoder
    "brightness": (0.25, 0.5, 0.75, 1, 1.25),  # stops up or down
    "gamma": (1.2, 1.4, 1.7, 2, 2.5),  # exponent, or one over it
    "contrast": (0.8, 0.6, 0.45, 0.3, 0.2),  # share of the contrast that is left
    "downscale": (1.5, 2, 3, 4, 6),  # by which the side is divided
    "occlusion": (0.02, 0.05, 0.1, 0.2, 0.3),  # share of the area
    "colour-cast": (1.1, 1.2, 1.35, 1.55, 1.8),  # gain of red over blue, or of blue over red
}
"""Name -> strength of severity 1 to 5."""
COLOUR = ("colour-cast",)
"""Those that need colour images."""
ALL = "all"
SYNTAX = "NAME, NAME:SEVERITY or NAME:FIRST:LAST, with severities from 1 to 5, such as jpeg,blur:3,all:1:2"


@dataclass(frozen=True)
class Corruption:
    """One corruption at one severity.

    Attributes:
        name: Which one.
        severity: 1 (slight) to 5 (strong).
        seed: Of what is drawn for each image: directions, noise, places.
    """

    name: str
    severity: int
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.name}:{self.severity}"

    @property
    def strength(self) -> float:
        """The number behind the severity; its unit is that of `STRENGTHS`."""
        return STRENGTHS[self.name][self.severity - 1]

    @property
    def material(self) -> dict[str, Any]:
        """What keys of features and records depend on."""
        own = {"name": self.name, "severity": self.severity, "strength": self.strength}
        return {**own, "seed": self.seed, "version": VERSION}


def corruptions(words: str | Iterable[str], dataset: str, channels: int) -> tuple[Corruption, ...]:
    """Return the corruptions that a user asks for, each once, in the order of `STRENGTHS`.

    Args:
        words: Comma list, or several words: `jpeg`, `jpeg:3`, `jpeg:1:3`, `all`. A name alone means all severities;
            `all` means those that apply to the images.
        dataset: Name of the data set, for messages.
        channels: Channels of its images.

    Raises:
        MedbenchError: An unknown name, a wrong severity, or a corruption of colours for images without colours.
    """
    found: set[tuple[str, int]] = set()
    for word in (part.strip() for text in ([words] if isinstance(words, str) else words) for part in text.split(",")):
        name, *ends = word.split(":")
        if name not in (*STRENGTHS, ALL):
            raise unknown("corruption", name, (*STRENGTHS, ALL), f"--corrupt takes {SYNTAX}")
        if name in COLOUR and channels == 1:
            raise MedbenchError(
                f"--corrupt {word}: the images of {dataset} are grey, so their colours cannot change",
                f"remove {name}; --corrupt all uses all corruptions that apply",
            )
        names = [one for one in STRENGTHS if name in (one, ALL) and (channels > 1 or one not in COLOUR)]
        found.update((one, severity) for one in names for severity in _severities(word, ends))
    order = list(STRENGTHS)
    return tuple(Corruption(*one) for one in sorted(found, key=lambda one: (order.index(one[0]), one[1])))


def _severities(word: str, ends: list[str]) -> range:
    most = len(next(iter(STRENGTHS.values())))
    numbers = [int(end) if end.isascii() and end.isdigit() else 0 for end in ends] or [1, most]
    if len(numbers) > 2 or not 1 <= numbers[0] <= numbers[-1] <= most:
        raise MedbenchError(f"--corrupt {word}: no such severity", f"give {SYNTAX}")
    return range(numbers[0], numbers[-1] + 1)
