"""Which records fill a cell of a paper: the rule for tables, and for what is run to fill them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from medbench import cards
from medbench.cards import PaperCard
from medbench.cards.find import trained
from medbench.cards.resolve import per_seed, resolve, split_of
from medbench.errors import MedbenchError
from medbench.metrics.measures import on_demand
from medbench.papers.cells import CellSpec, wanted_of
from medbench.records import Record
from medbench.records.groups import Group, collect, pick, rank_of
from medbench.records.store import records_of
from medbench.storage import files


@dataclass
class Match:
    """What was found for one cell.

    Attributes:
        group: The records that fill it, or None.
        others: Groups of the same model, protocol and data set, with real weights, that do not fill it.
        notes: Notes on other groups that would fill it too.
    """

    group: Group | None = None
    others: list[Group] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class RecordIndex:
    """Groups of records by model, protocol and data set."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.groups: dict[tuple[str, str, str], list[Group]] = {}
        contents: dict[str, Counter[str]] = {}
        for group in collect(record for record in records if record.test_on is None):
            unit = group.first.unit
            self.groups.setdefault((unit.model, unit.protocol, unit.dataset), []).append(group)
            contents.setdefault(unit.dataset, Counter())[group.content] += unit.weights != "random"
        self._usual = {name: max(found, key=lambda one: (found[one], one)) for name, found in contents.items()}

    def other_data(self, group: Group) -> bool:
        """Tell whether a group is of other data than most results under the name of its data set."""
        return group.content != self._usual[group.first.unit.dataset]

    def choose(self, wanted: CellSpec, include_random: bool = False) -> Match:
        """Return what fills a cell.

        Records on the paper's split come first, then those on the data of most results, then the most seeds, then the
        newest.
        """
        found = self.groups.get((wanted.model, wanted.protocol, wanted.dataset), [])
        fitting = [group for group in found if fits(group, wanted, include_random)]
        official = [group for group in fitting if group.first.unit.weights != "random"]
        others = [g for g in found if g not in fitting and g.first.unit.weights != "random"]
        # An official file counts as official whether it was downloaded or given by path.
        shown = official or fitting
        if not shown:
            return Match(others=others)
        right = [group for group in shown if not other_split(group, wanted)] or shown
        right = [group for group in right if not self.other_data(group)] or right
        best = right[0] if len(right) == 1 else max(right, key=rank_of)
        return Match(best, others, pick(right)[1] if len(right) > 1 else [])


def paper_records(paper: PaperCard, runs: Path, places: Iterable[str]) -> list[Record]:
    """Return the records that can stand in some of a paper's tables and figures; no other folder is opened.

    Args:
        paper: The paper.
        runs: The run store.
        places: Names of tables and figures, as the card has them.
    """
    needed: dict[str, list[tuple[str, str]]] = {}
    for one in wanted_of(paper, places):
        needed.setdefault(one.dataset, []).append((one.model, one.protocol))
    return [record for dataset, found in needed.items() for record in records_of(runs, dataset, found)]


def fits(group: Group, wanted: CellSpec, include_random: bool = False) -> bool:
    """Tell whether records fill a cell, without regard to their split and number.

    They do if model, protocol, data set, preset and changed settings are those of the cell, the metric is defined, the
    weights are the official file (or were trained from it by medbench), and the data are real. Two presets with the
    same settings count as the same preset: results of one are not run again for the other.
    """
    unit = group.first.unit
    options = {key: value for key, value in unit.options.items() if key != "split"}
    changes = {key: value for key, value in wanted.set.items() if key != "split"}
    return (
        (unit.model, unit.protocol, unit.dataset) == (wanted.model, wanted.protocol, wanted.dataset)
        and not unit.toy
        and files.canonical(options) == files.canonical(changes)
        and _has(group, wanted.metric)
        and (include_random if unit.weights == "random" else _official(group, wanted.model))
        and alike(unit.model, unit.protocol, unit.dataset, unit.preset, wanted.preset)
    )


def _has(group: Group, metric: str) -> bool:
    """Tell whether a metric is defined in the records, or can be computed from what is stored with them."""
    return not metric or on_demand(metric) or any(r.metrics.get(metric) is not None for r in group.records)


def alike(model: str, protocol: str, dataset: str, one: str, two: str) -> bool:
    """Tell whether two presets of a protocol have the same settings on a data set, and the same network of a model."""
    if one == two:
        return True
    try:
        recipe, encoder = cards.find_protocol(protocol), cards.find_model(trained(model)[0])
        same = resolve(recipe, one, dataset, {}) == resolve(recipe, two, dataset, {})
    except MedbenchError:  # the card was removed, or has no such preset
        return False
    return same and encoder.resolved(one) == encoder.resolved(two)


def other_split(group: Group, wanted: CellSpec) -> str | None:
    """Return the name of the records' split if it is not the paper's; None if it is, or if either is unknown."""
    if wanted.split is None:
        return None
    for record in group.records:
        split = record.provenance.get("data", {}).get("split")
        if split and split != split_of(wanted.split, record.unit.seed):
            return str(split)
    return None


def seeds_there(found: RecordIndex, wanted: CellSpec) -> int:
    """Return how many seeds fill a cell on the paper's split with real weights; for a sweep, the minimum over parts."""
    counts = []
    for part in wanted.parts():
        group = found.choose(part).group
        counts.append(0 if group is None or other_split(group, part) else group.n)
    return min(counts)


def repeats_of(wanted: CellSpec) -> int:
    """Return how many units a cell needs: one if neither protocol nor split use seeds."""
    return 1 if draws_nothing(wanted) else wanted.seeds


def draws_nothing(wanted: CellSpec) -> bool:
    """Tell whether a cell has one unit because neither its protocol nor its split uses seeds."""
    if per_seed(wanted.split):
        return False
    try:
        return not cards.find_protocol(wanted.protocol).seeded
    except MedbenchError:
        return False


def _official(group: Group, model: str) -> bool:
    """Tell whether the weights are those of the card: by name, by digest, or trained from them by medbench."""
    if group.first.unit.weights == "official" or trained(model)[1]:
        return True
    try:
        weights = cards.find_model(model).weights
    except MedbenchError:
        return False
    digest = str(group.first.material.get("weights", ""))
    return bool(weights and weights.sha256 and digest.startswith(weights.sha256))
