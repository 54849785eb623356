"""What cells would cost that cannot be run yet, because their data or weights are not there: from the cards alone."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from medbench import cards
from medbench.cards import DatasetCard, ModelCard, Settings
from medbench.cards.dataset import DERIVED
from medbench.cards.find import dataset_kind, trained, trained_first
from medbench.cards.recipes import KINDS
from medbench.cards.recipes.kinds import Kind
from medbench.cards.resolve import fitting, native, per_seed, related, split_of
from medbench.data.load import open_dataset
from medbench.data.splits.rule_names import with_rule
from medbench.errors import MedbenchError, MissingDataError
from medbench.papers.cells import CellSpec
from medbench.papers.commands import Commands
from medbench.records import Record
from medbench.runs.device import choose_precision
from medbench.runs.estimate import Estimate, priced
from medbench.runs.jobs import Options
from medbench.runs.planning.checks import in_folds
from medbench.runs.planning.downloads import Download, of_datasets, of_models
from medbench.runs.planning.shared import Once
from medbench.runs.planning.sweeps import sweep_of
from medbench.runs.planning.work import Task, Work


@dataclass(frozen=True)
class Absent:
    """The cost of cells without their data.

    Attributes:
        units: Number of units.
        cost: Forwards, hours where this machine was measured, and disk.
        downloads: Weights and data sets that are not here.
        unsized: Data sets of which no card tells the number of images; they are not counted.
    """

    units: int
    cost: Estimate
    downloads: tuple[Download, ...]
    unsized: tuple[str, ...]


def absent(
    cells: Sequence[CellSpec], records: Iterable[Record], options: Options, *, calibrate: bool = False
) -> Absent:
    """Return what cells would cost. Sizes of splits are those of the cards, or follow from the shares of their rules.

    Args:
        cells: The cells; each names cards that this version has, or data of the user's own.
        records: Finished units, for images per second.
        options: Of the run.
        calibrate: Measure the models that have no images per second yet.
    """
    found = _Cards(options)
    tasks = [task for one in found.jobs(cells) for task in found.tasks(one)]
    cost = priced(Work.of(tasks), records, options.device, calibrate=calibrate)
    found.tested_on()
    downloads = *of_models(found.models.values()), *of_datasets(found.lacking())
    return Absent(sum(task.seeds for task in tasks), cost, downloads, tuple(found.unsized))


def cells_of(models: str, protocols: str, datasets: str, options: Options) -> list[CellSpec]:
    """Return the cells of a request that names models, protocols and data sets.

    Raises:
        MedbenchError: A name is unknown, or an option does not fit.
    """
    cells, commands = list[CellSpec](), Commands()
    options = in_folds(options)
    recipes = [cards.find_protocol(name) for name in cards.expand("protocols", protocols)]
    kinds = [kind for recipe in recipes for kind in related(recipe.kind)]
    names, sets = cards.expand("models", models), cards.expand("datasets", datasets)
    for dataset, model, recipe in itertools.product(sets, names, recipes):
        own = [fitting(kind, options.changes, kinds) for kind in (recipe.kind, *KINDS[recipe.kind].tunes)]
        changes, seeds = dict(itertools.chain.from_iterable(map(dict.items, own))), len(options.seed_list)
        cell = CellSpec(model, recipe.name, dataset, changes, options.preset, seeds)
        cells += _swept(cell, KINDS[recipe.kind], commands, options.runs)
    return cells


def _swept(cell: CellSpec, kind: Kind, commands: Commands, runs: Path) -> list[CellSpec]:
    """Return a cell for each value of a sweep; at its ends, of the protocol that is run there."""
    if not kind.sweep:
        return [cell]
    values, ends = sweep_of(cards.find_model(trained(cell.model)[0], runs), kind, commands.settings(cell))
    rest = {name: value for name, value in cell.set.items() if name != kind.sweep}
    return [
        replace(
            cell, protocol=ends[value], set=fitting(cards.find_protocol(ends[value]).kind, rest, related(kind.name))
        )
        if value in ends
        else replace(cell, set={**rest, kind.sweep: value})
        for value in values
    ]


@dataclass
class _Cards:
    """The cards of cells; each is looked up once.

    Attributes:
        options: Of the run.
        models: Name -> card.
        datasets: Name -> card.
        unsized: Data sets whose number of images is not known.
        kept: Keys of cells of which one network is kept, since another cell uses it.
    """

    options: Options
    models: dict[str, ModelCard] = field(default_factory=dict)
    datasets: dict[str, DatasetCard] = field(default_factory=dict)
    unsized: dict[str, None] = field(default_factory=dict)
    kept: set[tuple[str, ...]] = field(default_factory=set)
    once: Once = field(default_factory=Once)
    commands: Commands = field(default_factory=Commands)

    def jobs(self, cells: Iterable[CellSpec]) -> list[CellSpec]:
        """Return a cell for each job, once: the values of sweeps, and the training of the networks that cells use."""
        found: dict[tuple[str, ...], CellSpec] = {}
        for one in (job for cell in cells for part in cell.parts() for job in (*self._needs(part), part)):
            if (known := found.get(one.key)) is None or known.seeds < one.seeds:
                found[one.key] = one
        return list(found.values())

    def _needs(self, one: CellSpec) -> Iterator[CellSpec]:
        """Yield the cells that train a cell's network, as a plan has them."""
        base, maker = trained_first(one.model)
        if maker:
            yield replace(one, model=base, protocol=maker, set={}, split=None)
        if (tuned := getattr(self.commands.settings(one), "tuned", None)) is not None:
            kind, other = self.commands.recipe(one).kind, cards.find_protocol(tuned).kind
            network = replace(one, protocol=tuned, set=fitting(other, dict(one.set), [kind, other, *KINDS[kind].tunes]))
            self.kept.add(network.key)
            yield network

    def tasks(self, one: CellSpec) -> list[Task]:
        """Return what the cost of a cell depends on, one task for each split; none: the number of images is unknown."""
        name, settings = trained(one.model)[0], self.commands.settings(one)
        kind = KINDS[self.commands.recipe(one).kind]
        second = getattr(settings, kind.second, None) if kind.second else None
        for other in {*settings.encoders.values(), second} - {None}:
            self._model(str(other), plain=self.options.weights != "random")
        model = self._model(name, plain=self.options.weights is None)
        if dataset_kind(one.dataset) != "card":
            self.unsized[one.dataset] = None
            return []
        dataset = self.once(("dataset", one.dataset), partial(cards.find_dataset, one.dataset))
        self.datasets[one.dataset] = dataset
        if dataset.counts.images is None:
            self.unsized[dataset.name] = None
            return []
        chosen = one.preset, settings.library, settings.pooled
        model = self.once(("resolved", name, *chosen), partial(model.resolved, *chosen))
        settings = native(settings, model) if settings.transform == "native" else settings
        seeds, split = one.seeds if kind.seeded else 1, settings.split_name
        if not per_seed(split):
            return [self._task(one, settings, model, dataset, split, seeds)]
        each = [split_of(str(split), seed) for seed in range(one.seeds)]
        return [self._task(one, settings.model_copy(update={"split": s}), model, dataset, s, 1) for s in each]

    def _model(self, name: str, *, plain: bool) -> ModelCard:
        """Return a model's card; `plain`: its weights are the official file, which may have to be downloaded."""
        card = self.once(("model", name), partial(cards.find_model, name, self.options.runs))
        if plain:
            self.models[name] = card
        return card

    def _task(
        self, one: CellSpec, settings: Settings, model: ModelCard, dataset: DatasetCard, split: str | None, seeds: int
    ) -> Task:
        options, kind, images = self.options, settings.kind, dataset.counts.images or 0
        kept = seeds if options.keep_weights and kind.beyond_pooled and kind.seeded else int(one.key in self.kept)
        return Task(
            name=one.model,
            model=model,
            dataset=dataset,
            kind=kind.name,
            settings=settings,
            image_size=options.image_size or settings.image_size or model.input.size,
            precision=choose_precision(options.precision, options.machine, settings.precision, options.elsewhere),
            sizes=split_sizes(dataset, images, split),
            images=images,
            seeds=seeds,
            kept=1 if kind.keeps else kept,
            same=("", dataset.name),
        )

    def tested_on(self) -> None:
        """Add the cards of the further test sets; their images are not counted."""
        names = cards.expand("datasets", self.options.test_on) if self.options.test_on else []
        self.datasets |= {name: cards.find_dataset(name) for name in names if dataset_kind(name) == "card"}

    def lacking(self) -> list[DatasetCard]:
        """Return the cards of the data sets that are not here."""
        return [card for name, card in self.datasets.items() if not card.toy and not self._is_here(name)]

    def _is_here(self, name: str) -> bool:
        try:
            open_dataset(name, self.options.data_root, missing=self.options.missing)
        except MissingDataError:
            return False
        return True


def split_sizes(card: DatasetCard, images: int, name: str | None) -> dict[str, int]:
    """Return about how many images the parts of a data set's split have.

    Args:
        card: The data set.
        images: In all.
        name: The split; None: the card's default. Of a split file, the default's sizes.
    """
    with contextlib.suppress(MedbenchError):
        card = with_rule(card, name or card.splits.default)
    rule, n = card.splits.rules.get(name or "") or card.splits.rules[card.splits.default], float(images)
    if rule.method in DERIVED:
        sizes = split_sizes(card, images, rule.base or card.splits.default)
        if rule.method == "fraction":
            return {**sizes, "train": round((rule.train or 1) * sizes["train"])}
        drawn = min(rule.shots * len(card.classes), sizes["train"])
        return {"train": drawn, "val": drawn if rule.validation else 0, "test": sizes["test"]}
    if rule.method == "official" and card.counts.splits:
        told = card.counts.splits
        train, val, test = told.get("train", 0), told.get("val", 0), told.get("test", 0)
        cut = 0 if val or not rule.validation else round(rule.val * train)
        return {"train": train - cut, "val": val + cut, "test": test}
    if rule.method == "whole":
        return {"train": 0, "val": 0, "test": images}
    shares = {
        "kfold": (1 / rule.folds,) * 2,
        "shuffle": (rule.held_out / 2,) * 2,
        "contiguous": (rule.held_out / 2,) * 2,
    }
    test, val = (round(share * n) for share in shares.get(rule.method, (rule.test, rule.val)))
    return {"train": images - test - val, "val": val, "test": test}
