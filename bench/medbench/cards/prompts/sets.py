"""The texts that describe the classes of a data set: class names, the data set card's prompts, or a prompts card's.

A template goes around names and terms alone; whole sentences are taken as they are. Nothing here depends on a network.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench.cards.dataset import DatasetCard
from medbench.cards.dataset.card import ClassInfo
from medbench.cards.find import find_prompts, is_card, is_file_name, names
from medbench.cards.load import line_of
from medbench.cards.prompts.card import PromptsCard, filled
from medbench.cards.recipes import Prompted
from medbench.errors import CardError, unknown

AUTO, NAMES, CARD = "auto", "names", "card"
"""Sets without a prompts card: `auto` (the data set card's if every class has some, else names), `names`, `card`."""

CHOICE = "a card of medbench ls prompts, or a YAML file of `CLASS: [texts]`"


ByClass = tuple[tuple[str, ...], ...]
"""Texts of each class, in the order of the classes; no class has none."""


@dataclass(frozen=True)
class Prompts:
    """The texts that stand for the classes of one data set.

    Attributes:
        source: `names`, `card`, the name of the prompts card, or that of a file with its ending.
        template: What went around the names; None: nothing.
        texts: The texts of each class, with the template around them.
        negatives: Multilabel: the texts for the absence of each finding; else None.
    """

    source: str
    template: str | None
    texts: ByClass
    negatives: ByClass | None = None

    def material(self) -> list[Any]:
        """Return what can change a number: the texts in their order."""
        return [self.texts, self.negatives]


def prompt_sets(dataset: DatasetCard, settings: Prompted, own: str) -> list[Prompts]:
    """Return the sets of texts that describe all classes, the chosen one first.

    Args:
        dataset: The data set's card.
        settings: What is asked for.
        own: The model's template, for settings that have none.

    Raises:
        CardError: There is no such set, it lacks a class, or it has one that the data set lacks.
    """
    first = chosen(dataset, settings.prompts, template=settings.template, own=own)
    return [first, *others(dataset, first, template=settings.template, own=own)]


def chosen(dataset: DatasetCard, which: str = AUTO, *, template: str | None = None, own: str | None = None) -> Prompts:
    """Return one prompt set of a data set.

    Args:
        dataset: Its card.
        which: `auto`, `names`, `card`, the name of a prompts card, or a YAML file.
        template: The user's, before the prompts card's own; None: not given.
        own: The model's, for names where nothing else is given.

    Raises:
        CardError: There is no such prompts card; a class has no text; the file names a class that the data set lacks.
    """
    if which == AUTO:
        which = CARD if _missing(dataset) is None else NAMES
    if which == NAMES:
        return _named(dataset, template or own)
    if which == CARD:
        return _of_dataset(dataset, template or own)
    if not is_file_name(which) and not is_card("prompts", which):
        known = [AUTO, NAMES, CARD, *names("prompts")]
        raise unknown("set of prompts", which, known, "Or a YAML file of `CLASS: [texts]`")
    return _of_card(dataset, find_prompts(which), which, template, own)


def others(
    dataset: DatasetCard, first: Prompts, *, template: str | None = None, own: str | None = None
) -> list[Prompts]:
    """Return all further prompt sets that describe every class: the names, the card's, those of the prompts cards.

    Left out: a prompts card that lacks a class, since it can be of another field, and a set with the texts of another.
    """
    found = [first, _named(dataset, template or own)]
    if _missing(dataset) is None:
        found.append(_of_dataset(dataset, template or own))
    for name in names("prompts"):
        with contextlib.suppress(CardError):  # one that is broken stops only the runs that name it
            card = find_prompts(name)
            if {*dataset.class_names} <= {*card.prompts}:
                found.append(_of_card(dataset, card, name, template, own))
    different = {(prompts.texts, prompts.negatives): prompts for prompts in reversed(found)}
    return [prompts for prompts in reversed(different.values()) if prompts is not first]


def _missing(dataset: DatasetCard) -> ClassInfo | None:
    """Return the first class for which the data set card has no text."""
    return next((one for one in dataset.classes if not one.terms and not one.prompts), None)


def _absent(one: ClassInfo, name: str, template: str | None) -> tuple[str, ...]:
    """Return the texts for the absence of a finding: the card's, or else `no` and the name of the finding."""
    return tuple(filled(template, term) for term in one.absent or [f"no {name}"])


def _named(dataset: DatasetCard, template: str | None) -> Prompts:
    texts = tuple((filled(template, name),) for name in dataset.class_names)
    negatives = tuple(_absent(one, one.name, template) for one in dataset.classes)
    return Prompts(NAMES, template, texts, negatives if dataset.task == "multilabel" else None)


def _of_dataset(dataset: DatasetCard, template: str | None) -> Prompts:
    if (one := _missing(dataset)) is not None:
        raise CardError(
            f"data set card {dataset.name}: the class '{one.name}' has no prompts", f"give prompts=names, {CHOICE}"
        )
    texts = tuple((*(filled(template, term) for term in one.terms), *one.prompts) for one in dataset.classes)
    negatives = tuple(_absent(one, (one.terms or [one.name])[0], template) for one in dataset.classes)
    return Prompts(CARD, template, texts, negatives if dataset.task == "multilabel" else None)


def _of_card(dataset: DatasetCard, card: PromptsCard, which: str, template: str | None, own: str | None) -> Prompts:
    if not card.append_name:
        _require_same_classes(dataset, card, which)
    around = (template or card.template) if card.template is not None else None
    name_in = around or template or own
    texts = []
    for name in dataset.class_names:
        listed = card.prompts.get(name, [])
        added = [filled(name_in, name)] if card.append_name and name not in listed else []
        texts.append((*(filled(around, text) for text in listed), *added))
    negatives = []
    for one in dataset.classes if dataset.task == "multilabel" else []:
        listed = card.prompts.get(f"no {one.name}", [])
        negatives.append(tuple(filled(around, text) for text in listed) or _absent(one, one.name, name_in))
    source = Path(which).name if is_file_name(which) else card.name  # a file can be called like a card, or `names`
    return Prompts(source, name_in if card.append_name else around, tuple(texts), tuple(negatives) or None)


def _require_same_classes(dataset: DatasetCard, card: PromptsCard, which: str) -> None:
    """Check that a prompts card has an entry for each class, and no entry without a class."""
    known = list(dataset.class_names)
    absences = [f"no {name}" for name in known] if dataset.task == "multilabel" else []
    for name in card.prompts:
        if name not in [*known, *absences]:
            fault = unknown("class", name, known)
            place = f"{which}:{line_of(Path(which).expanduser(), name)}" if is_file_name(which) else f"prompts {which}"
            raise CardError(f"{place}: {dataset.name} has no class '{name}'", fault.hint)
    if lacking := [name for name in known if name not in card.prompts]:
        raise CardError(
            f"prompts {which}: no text for the class '{lacking[0]}' of {dataset.name}",
            f"add a line: {lacking[0]}: [a text that describes it]",
        )
