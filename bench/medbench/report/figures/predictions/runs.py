"""Which runs a figure of predictions shows: those that are asked for, or of each model the best on validation."""

from __future__ import annotations

import fnmatch
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from medbench.errors import CardError, MedbenchError, unknown
from medbench.metrics import METRICS
from medbench.metrics.measures import Predictions, measure
from medbench.records import Record
from medbench.records.groups import FLAW, FLAW_MARK, SEEN, SEEN_MARK, Group, collect, pick, rank_of, shared_tests, title
from medbench.report.comparison import selectors
from medbench.report.figures.figure import Point
from medbench.report.figures.names import label_of, names_of, shared_settings, styles_of
from medbench.report.measured import NOT_STORED, Loaded, Measured, by_class, load_predictions, measured, task_of
from medbench.report.tables.marks import SANITY, stored

MOST = 10
"""Most runs of a figure: there are no more looks that readers tell apart."""
TOY = " (TOY DATA: generated images, no result about medicine)"


@dataclass(frozen=True)
class Selection:
    """What a figure is to show.

    Attributes:
        models: Comma list of models: names, globs, or `MODEL/PROTOCOL/SETTINGS` as `medbench compare` takes them.
        protocols: Comma list of protocols: names or globs.
        class_name: One class, against the rest; empty: the figure's own choice.
        metric: The metric; empty: the figure's own choice.
    """

    models: str = ""
    protocols: str = ""
    class_name: str = ""
    metric: str = ""


@dataclass(frozen=True)
class Run:
    """A group of records that is shown, with its predictions.

    Attributes:
        group: The records.
        name: As the legend calls it.
        loaded: Test and validation predictions of each seed.
    """

    group: Group
    name: str
    loaded: Loaded

    @property
    def tests(self) -> list[Predictions]:
        """The test predictions of each seed."""
        return [test for test, _ in self.loaded.seeds]

    @property
    def validations(self) -> list[Predictions]:
        """The validation predictions of each seed; empty if a seed has none."""
        found = [validation for _, validation in self.loaded.seeds if validation is not None]
        return found if len(found) == len(self.loaded.seeds) else []

    @cached_property
    def classes(self) -> dict[str, int]:
        """Class -> test images."""
        return dict(self.group.first.n["test"].classes)

    @property
    def multilabel(self) -> bool:
        """Whether an image may have several labels."""
        return self.loaded.targets.ndim == 2

    @property
    def binary(self) -> bool:
        """Whether an image has one of two classes."""
        return not self.multilabel and len(self.classes) == 2

    @property
    def task(self) -> str:
        """The task, as the records say, or else as the predictions look."""
        return task_of(self.group) or ("multilabel" if self.multilabel else "binary" if self.binary else "multiclass")

    def measured(self, metric: str, k: int | None = None) -> Measured:
        """Return a metric with its interval: of class `k` against the rest; None: as the task has it."""
        if k is not None:
            return by_class(self.group, [metric])[k][metric]
        own = measure(metric, self.task).id
        return measured(self.group, [own], intervals=True)[own]

    def summary(self, metric: str, kind: str, k: int | None = None, panel: str = "", series: str = "") -> Point:
        """Return the point of a kind that has a metric with its interval; arguments are those of `measured`."""
        one = self.measured(metric, k)
        return Point(
            panel, series or self.name, metric, kind, one.value, one.std, one.n, low=one.low, high=one.high,
            records=(self.group.first.group[:12],),
        )  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """The runs of a figure.

    Attributes:
        dataset: The data set's name.
        runs: The runs; all were tested on the same images.
        series: Name of a run -> number of its style.
        notes: What to say of them.
    """

    dataset: str
    runs: tuple[Run, ...]
    series: dict[str, int]
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """How captions begin."""
        return self.dataset + TOY * any(run.group.first.unit.toy for run in self.runs)

    @property
    def classes(self) -> list[str]:
        """The classes."""
        return list(self.runs[0].classes)

    def class_of(self, name: str) -> int | None:
        """Return the place of a class; None for an empty name.

        Raises:
            CardError: There is no such class.
        """
        if not name:
            return None
        lower = [known.lower() for known in self.classes]
        if name.lower() not in lower:
            raise unknown(f"class of {self.dataset}", name, self.classes)
        return lower.index(name.lower())


def shown(
    dataset: str, records: Iterable[Record], include_random: bool, selection: Selection, most: int = MOST
) -> Shown:
    """Return the runs that a figure shows.

    If nothing is selected, each model has one run: the one with the best primary metric on validation. With protocols
    selected, each model has one run for each of them. Nothing is chosen on test images.

    Args:
        dataset: The data set's name.
        records: Records; those of other data sets, and tests on other data sets, are ignored.
        include_random: Whether random weights may be shown, marked.
        selection: What is asked for.
        most: Most runs.

    Raises:
        CardError: A selected model or protocol has not been run.
        MedbenchError: There are no runs with predictions, or more than `most`.
    """
    groups, notes = _candidates(dataset, records, include_random)
    groups, said = _one_test(_reduced(_selected(groups, selection), selection))
    notes += [*said, *_about_choice(groups, selection)]
    if len(groups) > most:
        raise MedbenchError(
            f"the figure would show {len(groups)} runs, more than {most}",
            "select some: --model MODEL,MODEL or --protocol PROTOCOL",
        )
    loaded = [load_predictions(group) for group in groups]
    lacking = [title(group) for group, found in zip(groups, loaded, strict=True) if found is None]
    notes += [f"left out, because the predictions of their seeds do not match: {'; '.join(lacking)}"] * bool(lacking)
    pairs = [(group, found) for group, found in zip(groups, loaded, strict=True) if found is not None]
    if not pairs:
        raise MedbenchError(f"the stored predictions on '{dataset}' are damaged", "run again with --overwrite always")
    labels = [label_of(group) for group, _ in pairs]
    names = names_of(labels)
    marks = [SEEN_MARK * group.contaminated + FLAW_MARK * group.flawed for group, _ in pairs]
    marked = [name + mark for name, mark in zip(names, marks, strict=True)]
    runs = tuple(Run(group, name, found) for name, (group, found) in zip(marked, pairs, strict=True))
    notes += [SANITY] * any(label.weights == "random" for label in labels)
    notes += [text for text in (SEEN, FLAW) if any(text[0] in mark for mark in marks)]
    styles = styles_of(labels, names)
    series = {own: styles[name] for own, name in zip(marked, names, strict=True)}
    return Shown(dataset, runs, series, (*shared_settings(labels), *notes))


def _candidates(dataset: str, records: Iterable[Record], include_random: bool) -> tuple[list[Group], list[str]]:
    """Return the groups that have predictions on the data set's own test images, and notes on others."""
    own = (record for record in records if record.unit.dataset == dataset and record.test_on is None)
    groups, notes = pick(collect(own))
    held = [group for group in groups if "test" in group.first.n and stored(group)]
    if not held:
        raise MedbenchError(f"no predictions are stored with the runs on '{dataset}'", NOT_STORED.partition(": ")[2])
    real = [group for group in held if include_random or group.first.unit.weights != "random"]
    if not real:
        raise MedbenchError(f"all runs on '{dataset}' have random weights", "to show them, marked: --random")
    return real, notes


def records_of(dataset: str, records: Iterable[Record], selection: Selection) -> list[Record]:
    """Return the records on a data set's own test images that a selection means.

    Raises:
        CardError: A selected model or protocol has not been run.
    """
    own = [record for record in records if record.unit.dataset == dataset and record.test_on is None]
    if not (selection.models or selection.protocols):
        return own
    return [record for group in _selected(collect(own), selection) for record in group.records]


def _selected(groups: Sequence[Group], selection: Selection) -> list[Group]:
    """Return the groups that the models and protocols of a selection mean."""
    ran = [(group.first.unit.dataset, group.first.unit.model, group.first.unit.protocol) for group in groups]
    found: list[Group] = []
    for word in _words(selection.models) or ["*"]:
        if any(sign in word for sign in "*?["):
            side, own = None, [group for group in groups if fnmatch.fnmatchcase(group.first.unit.model, word)]
            if not own:
                raise unknown("model", word, {model for _, model, _ in ran}, selectors.WHERE)
        else:
            side = selectors.parse(word, ran)
            own = [g for g in groups if g.first.unit.model == side.model]
            own = selectors.meant(own, side, side.protocol) if side.protocol else own
            selectors.check_settings(own, side)
        found += selectors.having(own, side.settings) if side else own
    wanted = _words(selection.protocols)
    known = {protocol for _, _, protocol in ran}
    for word in wanted:
        if not fnmatch.filter(known, word):
            raise unknown("protocol", word, known, selectors.WHERE)
    meant = {id(g) for g in found if not wanted or any(fnmatch.fnmatchcase(g.first.unit.protocol, w) for w in wanted)}
    return [group for group in groups if id(group) in meant]


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _reduced(groups: Sequence[Group], selection: Selection) -> list[Group]:
    """Return one group for each model and weights, with `/` or protocols selected also for each protocol.

    Models that are selected with settings keep all their groups.
    """
    words = _words(selection.models)
    whole = {word.split("/")[0] for word in words if word.count("/") > 1}
    named = bool(selection.protocols) or any("/" in word for word in words)
    found: dict[tuple[str, ...], list[Group]] = {}
    for group in groups:
        unit = group.first.unit
        key = (unit.model, group.weights) + (unit.protocol,) * named
        found.setdefault(group.label if unit.model in whole else key, []).append(group)
    kept = {id(max(_without_shots(same), key=_on_validation)) for same in found.values()}
    return [group for group in groups if id(group) in kept]


def _without_shots(groups: Sequence[Group]) -> list[Group]:
    """Return the groups that learned from the complete training part, if there are any."""
    return [group for group in groups if not isinstance(group.shots, int)] or list(groups)


def _on_validation(group: Group) -> tuple[float, int, float, str]:
    """Return the sort key of a model's groups: the primary metric on validation, then seeds, then time."""
    values = [value for record in group.records if (value := record.metrics_val.get(group.first.metric)) is not None]
    mean = math.fsum(values) / len(values) if values else -math.inf
    known = METRICS.get(group.first.metric)
    return (mean if not values or known is None or known.higher_is_better else -mean, *rank_of(group))


def _one_test(groups: Sequence[Group]) -> tuple[list[Group], list[str]]:
    """Return the groups that were tested on the images that most share, and a note on the others."""
    tests = shared_tests(groups)
    if not tests:
        raise CardError("no run matches", "to list the runs: medbench ls runs")
    common = Counter(tests).most_common(1)[0][0]
    others = [title(group) for group, test in zip(groups, tests, strict=True) if test != common]
    notes = [f"left out, because they were tested on other images: {'; '.join(others)}"] * bool(others)
    return [group for group, test in zip(groups, tests, strict=True) if test == common], notes


def _about_choice(groups: Sequence[Group], selection: Selection) -> list[str]:
    metric = groups[0].first.metric
    what = "each model" + " and protocol" * bool(selection.protocols or "/" in selection.models)
    return [f"shown: for {what}, the run with the best {metric} on validation; to show others: --model, --protocol"]
