"""The further data sets that a job is tested on (`--test-on`). Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from medbench import cards
from medbench.cards import ProtocolCard
from medbench.cards.find import dataset_kind
from medbench.cards.recipes import KINDS
from medbench.data.dataset import Dataset
from medbench.data.load import load_dataset
from medbench.data.shift import Shifted, shifted
from medbench.errors import MedbenchError, unknown
from medbench.runs.jobs import Options

PARTS = ("all", "test")


@dataclass
class Targets:
    """The data sets that a request's jobs are tested on, beside their own.

    Attributes:
        options: The options of the run.
        loaded: Name -> data set.
        known: (digest of the trained set, its split, name) -> the set in the trained one's classes.
    """

    options: Options
    loaded: dict[str, Dataset] = field(default_factory=dict)
    known: dict[tuple[str, str, str], Shifted] = field(default_factory=dict)

    def of(self, trained: Dataset, name: str, recipe: ProtocolCard) -> tuple[Shifted, ...]:
        """Return the further data sets that a job is tested on.

        Args:
            trained: The data set of the job.
            name: What the user calls it.
            recipe: The job's protocol.

        Raises:
            MedbenchError: The protocol scores no classes, samples have several inputs, or a set does not fit.
        """
        if not self.options.test_on:
            return ()
        if not KINDS[recipe.kind].classifies:
            raise MedbenchError(
                f"--test-on: {recipe.name} does not classify, so it cannot be tested on another data set",
                "leave out --test-on, or run another protocol",
            )
        return tuple(self._shifted(trained, self._load(other, name)) for other in self._names)

    @cached_property
    def _names(self) -> list[str]:
        return cards.expand("datasets", self.options.test_on)

    def _shifted(self, trained: Dataset, other: Dataset) -> Shifted:
        for data in (trained, other):
            if data.inputs:
                raise MedbenchError(
                    f"--test-on takes one image per sample, but samples of {data.card.name} have several inputs",
                    "name another data set, or a card without `inputs`",
                )
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


def check_targets(options: Options) -> None:
    """Refuse options that need `--test-on` without it, and an unknown part.

    Raises:
        MedbenchError: One of the two.
    """
    if options.test_part not in PARTS:
        raise unknown("value of --test-part", options.test_part, PARTS)
    if not options.test_on and (options.closed or options.test_part != "all"):
        given = "--closed" if options.closed else f"--test-part {options.test_part}"
        raise MedbenchError(f"{given} has no effect without --test-on", "name the data sets to test on: --test-on NAME")
