"""What cells would cost that cannot be run yet, because their data or weights are not there: from the cards alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from medbench import cards
from medbench.cards import DatasetCard, ModelCard
from medbench.cards.find import dataset_kind, trained
from medbench.cards.recipes import KINDS
from medbench.cards.resolve import fitting, related
from medbench.data.load import open_dataset
from medbench.errors import MissingDataError
from medbench.papers.cells import CellSpec
from medbench.papers.commands import Commands
from medbench.records import Record
from medbench.runs.device import choose_precision
from medbench.runs.estimate import Estimate, priced
from medbench.runs.jobs import Options
from medbench.runs.planning.checks import in_folds
from medbench.runs.planning.downloads import Download, of_datasets, of_models
from medbench.runs.planning.shared import Once
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
    tasks = [task for one in cells if (task := found.task(one)) is not None]
    cost = priced(Work.of(tasks), records, options.device, calibrate=calibrate)
    downloads = *of_models(found.models.values()), *of_datasets(found.lacking())
    return Absent(sum(task.seeds * task.jobs for task in tasks), cost, downloads, tuple(found.unsized))


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
        changes, seeds = fitting(recipe.kind, options.changes, kinds), len(options.seed_list)
        cell = CellSpec(model, recipe.name, dataset, changes, options.preset, seeds)
        setting = KINDS[recipe.kind].sweep
        asked = getattr(commands.settings(cell), setting) if setting else ""
        cells += _swept(cell, setting, asked, cards.find_model(trained(model)[0], options.runs).units)
    return cells


def _swept(cell: CellSpec, setting: str, asked: object, units: int | None) -> list[CellSpec]:
    """Return a cell for each listed value of a sweep; else one for all: for each unit of the model, or both heads."""
    if isinstance(asked, list):
        return [replace(cell, set={**cell.set, setting: value}) for value in asked]
    return [replace(cell, sweep=(setting, 1 + (units or 2)))] if asked is None else [cell]


@dataclass
class _Cards:
    """The cards of cells; each is looked up once.

    Attributes:
        options: Of the run.
        models: Name -> card.
        datasets: Name -> card.
        unsized: Data sets whose number of images is not known.
    """

    options: Options
    models: dict[str, ModelCard] = field(default_factory=dict)
    datasets: dict[str, DatasetCard] = field(default_factory=dict)
    unsized: dict[str, None] = field(default_factory=dict)
    once: Once = field(default_factory=Once)
    commands: Commands = field(default_factory=Commands)

    def task(self, one: CellSpec) -> Task | None:
        """Return what the cost of a cell depends on; None: the number of images is not known."""
        settings, recipe, options = self.commands.settings(one), self.commands.recipe(one), self.options
        name = trained(one.model)[0]
        plain = self.once(("model", name), partial(cards.find_model, name, options.runs))
        if options.weights is None:
            self.models[name] = plain
        if dataset_kind(one.dataset) != "card":
            self.unsized[one.dataset] = None
            return None
        dataset = self.once(("dataset", one.dataset), partial(cards.find_dataset, one.dataset))
        self.datasets[one.dataset] = dataset
        if (images := dataset.counts.images) is None:
            self.unsized[dataset.name] = None
            return None
        chosen = one.preset, settings.library, settings.pooled
        model = self.once(("resolved", name, *chosen), partial(plain.resolved, *chosen))
        kind, seeds = KINDS[recipe.kind], one.seeds if recipe.seeded else 1
        kept = seeds if options.keep_weights and kind.beyond_pooled and recipe.seeded else 0
        return Task(
            name=one.model,
            model=model,
            dataset=dataset,
            kind=recipe.kind,
            settings=settings,
            image_size=options.image_size or settings.image_size or model.input.size,
            precision=choose_precision(options.precision, options.machine, settings.precision, options.elsewhere),
            sizes=split_sizes(dataset, images, settings.split_name),
            images=images,
            seeds=seeds,
            jobs=one.sweep[1] - 1 if one.sweep else 1,
            kept=1 if kind.keeps else kept,
            same=("", dataset.name),
        )

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
        name: The split; None: the card's default. Of one that the card does not list, the default's sizes.
    """
    rule = card.splits.rules.get(name or "") or card.splits.rules[card.splits.default]
    if rule.method == "official" and card.counts.splits:
        told = card.counts.splits
        train, val, test = told.get("train", 0), told.get("val", 0), told.get("test", 0)
        cut = 0 if val else round(rule.val * train)
        return {"train": train - cut, "val": val + cut, "test": test}
    if rule.method == "whole":
        return {"train": 0, "val": 0, "test": images}
    test, val = round(rule.test * images), round(rule.val * images)
    return {"train": images - test - val, "val": val, "test": test}
