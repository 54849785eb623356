"""From a paper's figure to the records behind its values, and what must be said about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medbench import stats
from medbench.cards import PaperCard
from medbench.cards.paper import PaperFigure
from medbench.papers.cells import CellSpec
from medbench.papers.commands import Commands
from medbench.papers.matching import RecordIndex, alike, fits, other_split, repeats_of
from medbench.records import Record
from medbench.records.groups import FLAW, FLAW_MARK, SEEN, SEEN_MARK, Group
from medbench.report.tables.dataset_table import spoken
from medbench.report.tables.marks import RANDOM_MARK, SANITY, SPLIT_MARK, other_data
from medbench.storage import files

Measure = Callable[[Record], "float | None"]
SHOWN = 6  # names in one note, before it says how many more there are
MARKS = {
    RANDOM_MARK: SANITY,
    SEEN_MARK: SEEN,
    SPLIT_MARK: f"{SPLIT_MARK} the split or the data differ from the paper's",
    FLAW_MARK: FLAW,
}
PUBLISHED = "hollow: from the paper's printed tables"


@dataclass(frozen=True)
class Values:
    """What was found for one value.

    Attributes:
        by_seed: Seed -> value; empty: not run.
        group: The records.
        marks: Signs that the notes explain.
    """

    by_seed: Mapping[int, float] = field(default_factory=dict)
    group: Group | None = None
    marks: str = ""

    @property
    def mean(self) -> float | None:
        """The mean over the seeds."""
        return stats.summary(self.by_seed.values())[0]

    @property
    def summary(self) -> tuple[float | None, float | None, int]:
        """The mean, the sample standard deviation and the number of the seeds."""
        return stats.summary(self.by_seed.values())

    @property
    def records(self) -> tuple[str, ...]:
        """The beginning of the group's digest."""
        return (self.group.first.group[:12],) if self.group else ()


class FigureRecords:
    """Finds the records behind a figure's values and gathers its small print.

    Attributes:
        card: The paper.
        name: The figure's name in it.
        figure: The figure, under the preset that is shown.
        published: Whether published values are shown.
    """

    def __init__(
        self,
        card: PaperCard,
        name: str,
        records: Iterable[Record],
        published: bool = False,
        include_random: bool = False,
        preset: str | None = None,
    ) -> None:
        self.card, self.name, self.published = card, name, published
        own: PaperFigure = card.figures[name]
        self.figure = own if preset is None else own.model_copy(update={"preset": preset})
        self._include_random = include_random
        self._found = RecordIndex(records)
        self._sought = 0
        self._missing: list[tuple[str, CellSpec]] = []
        self._fewer: list[CellSpec] = []
        self._said: dict[str, dict[str, None]] = {}
        self._notes: dict[str, None] = {}
        self._counts: set[int] = set()
        self._marks: set[str] = set()
        self._synthetic = False

    def find(self, wanted: CellSpec, who: str, measure: Measure | None = None) -> Values:
        """Return the values of one (model, protocol, data set) and note what a reader must know of them.

        Args:
            wanted: What stands behind the value.
            who: How notes call it, e.g. `Sam on aptos`.
            measure: Record -> value; None: the wanted metric on the test split.
        """
        self._sought += 1
        choice = self._found.choose(wanted, self._include_random)
        group = choice.group
        by_seed = {} if group is None else _by_seed(group, measure or (lambda r: r.metrics.get(wanted.metric)))
        if group is None or not by_seed:
            for other in choice.others:
                if not self._other_part(other, wanted):
                    self.say(
                        f"run with other settings ({other.settings}, {other.weights} weights), which is not shown", who
                    )
            self._missing.append((who, wanted))
            return Values()
        for note in choice.notes:
            self.note(note)
        self._counts |= {len(by_seed)} if repeats_of(wanted) > 1 else set()
        marks = self._marked(group, wanted, who)
        if len(by_seed) < repeats_of(wanted) or RANDOM_MARK in marks or SPLIT_MARK in marks:
            self._fewer.append(wanted)
        return Values(by_seed, group, marks)

    def _other_part(self, group: Group, wanted: CellSpec) -> bool:
        """Tell whether records are another value of the same figure: they differ in what it runs through."""
        unit, own = group.first.unit, {*wanted.set, getattr(self.figure, "option", None), "split"}
        theirs = dataclasses.replace(wanted, set=unit.options, metric="")
        official = unit.weights == "official" or fits(group, theirs)
        same = alike(unit.model, unit.protocol, unit.dataset, unit.preset, wanted.preset)
        return same and own.issuperset(unit.options) and official

    def _marked(self, group: Group, wanted: CellSpec, who: str) -> str:
        first = group.first
        split, other = other_split(group, wanted), self._found.other_data(group)
        signs = {
            RANDOM_MARK: first.unit.weights == "random",
            SEEN_MARK: group.contaminated,
            SPLIT_MARK: split is not None or other,
            FLAW_MARK: group.flawed,
        }
        marks = "".join(sign for sign, holds in signs.items() if holds)
        self._marks.update(marks)
        self._synthetic |= bool(first.provenance.get("synthetic"))
        if split is not None:
            self.say(f"split '{split}', the paper's is '{wanted.split}'", who)
        if other:
            self.say(other_data(group), who)
        if absent := first.absent.get(wanted.metric):
            self.say(f"{wanted.metric} is computed without {', '.join(absent)} (absent from test)", wanted.dataset)
        for line in spoken(group):
            if not line.startswith("contamination:"):
                self.say(line, who)
        return marks

    def say(self, what: str, who: str) -> None:
        """Note something about one value; notes that say the same are put together."""
        self._said.setdefault(what, {})[who] = None

    def note(self, text: str) -> None:
        """Note something about the figure."""
        self._notes[text] = None

    def published_of(self, wanted: CellSpec) -> float | None:
        """Return what the paper's tables print for a (model, protocol, data set) and metric, if asked for."""
        if not self.published or not wanted.metric:
            return None
        for table in self.card.tables.values():
            shown = {column.dataset for column in table.columns if column.metric == wanted.metric}
            for row in table.rows:
                same = (row.model, row.protocol, row.suffix) == (wanted.model, wanted.protocol, "")
                printed = row.published.get(wanted.dataset)
                if same and printed and wanted.dataset in shown and _same(row.set, wanted.set):
                    return printed[0]
        return None

    def closing(self, any_published: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the small print and the commands that run what is missing, one per recipe.

        The small print tells how to read the figure, then what is special about some of its values.

        Args:
            any_published: Whether a published value is shown.
        """
        commands, name = Commands(), f"{self.card.name}/{self.name}"
        missing = _swept([wanted for _, wanted in self._missing] + self._fewer, self.figure)
        run = [line.replace("medbench table", "medbench figure") for line in commands.table(name, missing)]
        lines = [_how(self.figure, self._counts, self.card.figures[self.name].preset)]
        if self._synthetic:
            lines.append("SYNTHETIC records: made-up numbers, no results")
        if self.published:
            lines.append(PUBLISHED if any_published else "the paper prints no number for this figure")
            errors = {table.read_off for table in self.card.tables.values() if table.read_off and any_published}
            lines += [f"these numbers were read off a figure of the paper, ± {max(errors):g}"] if errors else []
        lines += [text for sign, text in MARKS.items() if sign in self._marks]
        lines += [*self.figure.notes, *self._notes]
        lines += [f"{_listed(who)}: {what}" for what, who in self._said.items()]
        if self._missing:
            who = _listed(dict.fromkeys(who for who, _ in self._missing))
            some = f"{len(self._missing)} of {self._sought} values ({who})"
            lines.append(f"not run: {'all' if len(self._missing) == self._sought else some}")
        lines += commands.lacking(missing, [wanted for _, wanted in self._missing])
        return tuple(" ".join(line.split()) for line in lines), tuple(run)


def _by_seed(group: Group, measure: Measure) -> dict[int, float]:
    found = ((record.unit.seed, measure(record)) for record in group.records)
    return {seed: float(value) for seed, value in found if value is not None and value == value}


def _same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Tell whether two sets of settings are equal, the split aside."""
    one, two = ({k: v for k, v in settings.items() if k != "split"} for settings in (a, b))
    return files.canonical(one) == files.canonical(two)


def _swept(missing: Sequence[CellSpec], figure: PaperFigure) -> list[CellSpec]:
    """Leave out the setting that a sweep runs through by itself."""
    option = getattr(figure, "option", None)
    return [dataclasses.replace(w, set={k: v for k, v in w.set.items() if k != option}) for w in missing]


def _how(figure: PaperFigure, counts: set[int], papers: str) -> str:
    """Return how to read the values: preset, split, and the seeds behind means and deviations."""
    line = f"preset {figure.preset}{'' if figure.preset == papers else f' (the paper: {papers})'}, test split"
    if counts:
        low, high = min(counts), max(counts)
        over = f"{low} seed{'s' * (high > 1)}" if low == high else f"{low} to {high} seeds"
        line += f"; mean and sample standard deviation over {over}"
    if counts and min(counts) < figure.seeds:
        line += f" (the paper: {figure.seeds})"
    return line


def _listed(who: Iterable[str]) -> str:
    """Return names as a list, those on one data set put together; of many the first."""
    names = list(who)
    more = len(names) - SHOWN
    together: dict[str, list[str]] = {}
    for name in names if more < 2 else names[:SHOWN]:
        model, on, dataset = name.rpartition(" on ")
        together.setdefault(on + dataset if on else "", []).append(model if on else name)
    listed = ", ".join(", ".join(models) + where for where, models in together.items())
    return listed if more < 2 else f"{listed} and {more} more"


def relative(values: Sequence[Values], references: Sequence[float]) -> tuple[float | None, float | None, int]:
    """Return (mean, sample standard deviation, n) of the ratios of values to their references, over data sets.

    The mean is that of the data sets' ratios, each of the seeds' mean to the reference. The deviation is over the
    seeds that all data sets have, of each seed's mean ratio; the references are held fixed, so their own spread is
    not in it.

    Args:
        values: One per data set, none of them empty.
        references: One per data set, not 0.
    """
    ratios = [value.mean / ref for value, ref in zip(values, references, strict=True) if value.mean is not None]
    common = sorted(set.intersection(*(set(value.by_seed) for value in values)))
    each = [
        sum(value.by_seed[seed] / ref for value, ref in zip(values, references, strict=True)) / len(values)
        for seed in common
    ]
    _, std, n = stats.summary(each)
    return sum(ratios) / len(ratios), std, n
