"""The account of what a user's files were taken for, and what is doubtful in them."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from medbench.cards.dataset import DatasetCard, Task
from medbench.data.layouts.own.spelling import is_turned, plain
from medbench.errors import few

SIDE = re.compile(r"^(?P<who>.*\w)[-_. ](left|right|od|os|l|r|[a-d]|\d{1,4})$", re.IGNORECASE)
"""The end of a file name that may tell one picture of a patient from the next."""


@dataclass(frozen=True)
class Taken:
    """What a user's files were taken for.

    Attributes:
        lines: (what, text): image, label, group, split, channels, task, and what was not used.
        doubts: What may be wrong with it; warnings of a check and of a run.
    """

    lines: tuple[tuple[str, str], ...] = ()
    doubts: tuple[str, ...] = ()

    def text(self) -> list[str]:
        """Return the lines as they are printed."""
        return [line for what, text in self.lines for line in _wrapped(what, text)]

    def with_rows(self, repeated: int) -> Taken:
        """Return the account with the number of rows that repeat others, if there are any."""
        said = ("rows", f"{repeated} that repeat another row are counted once")
        return replace(self, lines=(*self.lines, said)) if repeated else self


def _wrapped(what: str, text: str) -> list[str]:
    return textwrap.wrap(text, 80, initial_indent=f"  {what:<9} ", subsequent_indent=" " * 12, break_on_hyphens=False)


NOTHING = Taken()
"""The account of data that have a card."""


@dataclass(frozen=True)
class Own:
    """The card of files of one's own, the folder that its paths start from, and the account of both."""

    card: DatasetCard
    root: Path
    taken: Taken


def classes_line(names: Sequence[str], task: Task) -> str:
    """Return the classes in order, and which one of a binary task is positive."""
    if task == "binary":
        return f"2 classes in this order: {names[0]}, {names[1]} ({names[1]} is positive)"
    return f"{len(names)} classes in this order: {few(names, 8)}"


def turned(names: Sequence[str], task: Task, *, chosen: bool = False) -> str:
    """Return the doubt that the positive class is the one without a finding; empty if there is none.

    `chosen`: The order is the user's.
    """
    if task != "binary" or not is_turned(names):
        return ""
    why, todo = "the order of the names", "use a card: medbench init writes one with the classes in the other order"
    if chosen:
        why, todo = "the order of --label", f"reverse it: --label {names[1]},{names[0]}"
    return f"'{names[1]}' is the positive class, by {why}; if '{names[0]}' is the finding, {todo}"


def card_lines(card: DatasetCard, looked: int) -> list[tuple[str, str]]:
    """Return what is said of channels, task and metric, after a look at so many images."""
    colour = "grey, 1 channel" if card.channels == 1 else "colour, 3 channels"
    seen = f"{looked} of the images" if looked else "no image could be read"
    return [("channels", f"{colour} (by {seen})"), ("task", f"{card.task}, metric {card.metric}")]


def paired(paths: Sequence[str], classes: Sequence[str]) -> str:
    """Return the doubt that several images are of one patient, by their names; empty if there is none.

    Args:
        paths: The images.
        classes: Names of the classes, which are no patients.
    """
    known = {plain(name) for name in classes}
    found: Counter[str] = Counter()
    for path in paths:
        match = SIDE.match(PurePosixPath(path).stem)
        if match and plain(match["who"]) not in known:
            found[match["who"]] += 1
    shared = {name: n for name, n in found.items() if n > 1}
    alike = sum(shared.values())
    if len(shared) < 3 or alike < 0.2 * len(paths) or alike > 8 * len(shared):
        return ""
    name, n = next(iter(shared.items()))
    return (
        f"{alike} of {len(paths)} file names begin like another one ({name}…: {n}): if these are images of one "
        f"patient, patients may be in several splits; give a column of patients (--group), or layout.group in a card"
    )
