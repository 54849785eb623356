"""The further test sets of a job: other data sets (`--test-on`), corrupted images (`--corrupt`). Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from medbench import cards
from medbench.cards import ProtocolCard
from medbench.cards.find import dataset_kind
from medbench.cards.recipes import KINDS
from medbench.data.dataset import Dataset
from medbench.data.images.corruption import corruptions
from medbench.data.load import load_dataset
from medbench.data.shift import Shifted, corrupted, shifted
from medbench.errors import MedbenchError, unknown
from medbench.runs.jobs import Options

PARTS = ("all", "test")


@dataclass
class Targets:
    """The test sets of a request's jobs, next to their own.

    Attributes:
        options: The options of the run.
        loaded: Name -> data set.
        known: (digest of the trained set, its split, what tells the test set from others) -> the test set.
    """

    options: Options
    loaded: dict[str, Dataset] = field(default_factory=dict)
    known: dict[tuple[str, str, str], Shifted] = field(default_factory=dict)

    def of(self, trained: Dataset, name: str, recipe: ProtocolCard) -> tuple[Shifted, ...]:
        """Return the further test sets of a job: other data sets, then its own test images, corrupted.

        Args:
            trained: The data set of the job.
            name: What the user calls it.
            recipe: The job's protocol.

        Raises:
            MedbenchError: The protocol scores no classes, samples have several inputs, or a set does not fit.
        """
        asked = [
            given
            for given, value in (("--test-on", self.options.test_on), ("--corrupt", self.options.corrupt))
            if value
        ]
        if not asked:
            return ()
        if not KINDS[recipe.kind].classifies:
            raise MedbenchError(
                f"{asked[0]}: {recipe.name} does not classify, so it cannot be tested on other images",
                f"remove {' and '.join(asked)}, or run another protocol",
            )
        elsewhere = [self._shifted(trained, self._load(other, name)) for other in self._names]
        return (*elsewhere, *self._corrupted(trained))

    @cached_property
    def _names(self) -> list[str]:
        return cards.expand("datasets", self.options.test_on) if self.options.test_on else []

    def _corrupted(self, trained: Dataset) -> list[Shifted]:
        if not self.options.corrupt:
            return []
        _refuse_inputs("--corrupt", trained)
        card, found = trained.card, []
        for how in corruptions(self.options.corrupt, card.name, card.channels):
            place = trained.digest, trained.split_digest, f"{how} {card.channels}"
            found.append(self.known.setdefault(place, corrupted(trained, how)))
        return found

    def _shifted(self, trained: Dataset, other: Dataset) -> Shifted:
        for data in (trained, other):
            _refuse_inputs("--test-on", data)
        place = trained.digest, trained.split_digest, str(other.root / other.card.name)
        if place not in self.known:
            closed, part = self.options.closed, self.options.test_part
            self.known[place] = shifted(trained, other, closed=closed, part=part)
        return self.known[place]

    def _load(self, name: str, trained: str) -> Dataset:
        """Load a data set; the data folder that the user gave is that of cards, or holds a folder for each."""
        if name not in self.loaded:
            options, own = self.options, dataset_kind(name) != "card"
            root = None if own or dataset_kind(trained) != "card" else options.data_root
            self.loaded[name] = load_dataset(
                name,
                root,
                "whole" if options.test_part == "all" else None,
                allow_outside=options.allow_outside,
                missing=options.missing,
                columns=options.columns if own else None,
            )
        return self.loaded[name]


def _refuse_inputs(given: str, data: Dataset) -> None:
    if data.inputs:
        raise MedbenchError(
            f"{given} takes one image per sample, but samples of {data.card.name} have several inputs",
            "give another data set, or a card without `inputs`",
        )


def check_targets(options: Options) -> None:
    """Refuse options that need `--test-on` without it, and an unknown part.

    Raises:
        MedbenchError: One of the two.
    """
    if options.test_part not in PARTS:
        raise unknown("value of --test-part", options.test_part, PARTS)
    if not options.test_on and (options.closed or options.test_part != "all"):
        given = "--closed" if options.closed else f"--test-part {options.test_part}"
        raise MedbenchError(f"{given} has no effect without --test-on", "give the data sets to test on: --test-on NAME")
