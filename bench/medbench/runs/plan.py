"""Make a plan from a request: find cards, resolve settings, make jobs and the jobs that they need."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from medbench import cards, metrics
from medbench.cards import DatasetCard, ModelCard, ProtocolCard, Settings
from medbench.cards.find import trained_first
from medbench.cards.recipes import KINDS, SETTINGS, Prompted
from medbench.cards.resolve import SEED, dataset_entry, fitting, native, per_seed, resolve, split_of
from medbench.data.dataset import Dataset
from medbench.data.images.square import rule_of
from medbench.data.load import Opened, open_dataset
from medbench.data.multi_input import choose_inputs
from medbench.data.pairs import open_pairs
from medbench.data.prepared.store import prepare, store_path
from medbench.errors import MedbenchError, UnreachableError, collected, joined, unknown
from medbench.models.weights.locate import WeightsFile, locate
from medbench.runs.device import choose_precision
from medbench.runs.jobs import Job, Options, Plan
from medbench.runs.language import JobLanguage, with_digests
from medbench.runs.outline import check_layers, count_units, together
from medbench.runs.targets import Targets, check_targets


def make_plan(
    model: str | Iterable[str], protocol: str | Iterable[str], dataset: str | Iterable[str], options: Options
) -> Plan:
    """Expand names, lists and globs to jobs. Every card, setting, label file and weights file is checked here.

    Raises:
        MedbenchError: Something in the request is wrong; nothing was computed or written.
    """
    models = [cards.find_model(name, options.runs) for name in cards.expand("models", model)]
    protocols = [cards.find_protocol(name) for name in cards.expand("protocols", protocol)]
    datasets = cards.expand("datasets", dataset)
    _check_options(options, models)
    options = _in_folds(options)
    request = _Request(options, [c.kind for c in protocols])
    request.check(models, protocols, datasets)
    jobs = [
        job
        for name in datasets
        for card in models
        for recipe in protocols
        for job in request.tested(request.jobs(card, recipe, name, options.changes), name)
    ]
    return Plan(_in_order(jobs), options)


@dataclass
class _Request:
    """What the jobs of one request share.

    Attributes:
        options: The options of the run.
        kinds: Kinds of all named protocols; `changes` may hold settings of any of them.
        opened: (data set, whether it is read for its pairs) -> what was read of it.
        loaded: (data set, whether it is read for its pairs, split) -> data set.
        located: Model -> its weights file.
        reachable: Whether downloads may work: none has found no network yet.
        targets: What jobs are tested on beside their own data set.
    """

    options: Options
    kinds: list[str]
    opened: dict[tuple[str, bool], Opened] = field(default_factory=dict)
    loaded: dict[tuple[str, bool, str | None], Dataset] = field(default_factory=dict)
    located: dict[str, WeightsFile] = field(default_factory=dict)
    reachable: bool = True
    targets: Targets = field(init=False)

    def __post_init__(self) -> None:
        self.targets = Targets(self.options)

    def check(self, models: list[ModelCard], protocols: list[ProtocolCard], datasets: list[str]) -> None:
        """Look for all that is wrong or missing: in settings and data first, for weights can be large downloads.

        Raises:
            MedbenchError: All of it.
        """
        found: dict[str, MedbenchError] = {}
        for name, recipe in itertools.product(datasets, protocols):
            with collected(found):
                settings, _, _ = self._settings(recipe, name, self.options.changes)
                for at in _swept(recipe, settings):
                    data = self._data(recipe, name, _with_split(at, self.options.seed_list[0]))
                    self.targets.of(data, name, recipe)
        for card in [] if found else models:
            with collected(found):
                self.weights(card)
        if found:
            raise joined(found.values())

    def _settings(
        self, recipe: ProtocolCard, dataset: str, changes: dict[str, Any]
    ) -> tuple[Settings, dict[str, Any], list[str]]:
        """Return a protocol's settings on a data set, its own of the changes, and the kinds that could have others."""
        kind = KINDS[recipe.kind]
        kinds = [*self.kinds, recipe.kind, *filter(None, (kind.first, kind.last)), *kind.tunes]
        own = fitting(recipe.kind, changes, kinds)
        return resolve(recipe, self.options.preset, dataset_entry(dataset), own), own, kinds

    def tested(self, jobs: list[Job], dataset: str) -> list[Job]:
        """Return jobs with the further data sets that they are tested on; the jobs that they need get none."""
        return [replace(job, shifts=self.targets.of(job.dataset, dataset, job.protocol)) for job in jobs]

    def jobs(self, model: ModelCard, recipe: ProtocolCard, dataset: str, changes: dict[str, Any]) -> list[Job]:
        """Return the jobs of one model, protocol and data set: one, or one per depth, or one per fold."""
        kind = KINDS[recipe.kind]
        settings, own, kinds = self._settings(recipe, dataset, changes)
        if not kind.sweep:
            return self._folds(model, recipe, settings, dataset, changes if kind.tunes else own)
        asked = getattr(settings, kind.sweep)
        values, n = _classifiers(asked), -1
        if kind.last:
            values, n = _depths(model, kind.sweep, asked, least=0 if kind.first else 1)
        first = kind.first if getattr(settings, "train_stem", True) else ""
        inner = tuple(v for v in values if isinstance(v, int) and v != n and not (first and v == 0))
        found = []
        for value in values:
            if (first and value == 0) or (kind.last and value == n):
                other = cards.find_protocol(first if value == 0 and first else kind.last)
                rest = {key: v for key, v in changes.items() if key != kind.sweep}
                found += self.jobs(model, other, dataset, fitting(other.kind, rest, kinds))
                continue
            at = settings.model_copy(update={kind.sweep: value})
            named = own.get(kind.sweep) if value == "deit" else None  # timing: `deit` or a model card
            shown = {kind.sweep: named if isinstance(named, str) else value}
            made = self._folds(model, recipe, at, dataset, own | shown)
            found += [replace(job, sweep=inner) for job in made]
        return found

    def _folds(
        self, model: ModelCard, recipe: ProtocolCard, settings: Settings, dataset: str, changes: dict[str, Any]
    ) -> list[Job]:
        """Return one job, or one per seed where each seed has its own split."""
        split = settings.split_name
        if split is None or not per_seed(split):
            return [self._job(model, recipe, settings, dataset, changes)]
        jobs = ((seed, _with_split(settings, seed)) for seed in self.options.seed_list)
        return [replace(self._job(model, recipe, at, dataset, changes), seeds=(seed,), fold=split) for seed, at in jobs]

    def _job(
        self, model: ModelCard, recipe: ProtocolCard, settings: Settings, dataset: str, changes: dict[str, Any]
    ) -> Job:
        options, kind = self.options, KINDS[recipe.kind]
        shared = model.text.image if settings.language and model.text else None
        card = model.resolved(options.preset, settings.library, settings.pooled or shared)
        settings = with_digests(native(settings, card))
        check_layers(card, settings)
        data = self._data(recipe, dataset, settings)
        _check_inputs(recipe, settings, data)
        needs = self._needs(model, settings, recipe, dataset, changes)
        weights = _of(needs[0]) if trained_first(model.name)[1] else self.weights(model)
        size = options.image_size or settings.image_size or card.input.size
        seeds = tuple(options.seed_list if recipe.seeded else [0])
        keep = seeds if options.keep_weights and kind.images and recipe.seeded else ()
        leave_out = options.unreadable == "leave-out" and not data.inputs
        return Job(
            model=card,
            weights=weights,
            protocol=recipe,
            settings=settings,
            dataset=data,
            seeds=seeds,
            image_size=size,
            precision=choose_precision(options.precision, options.machine, settings.precision, options.elsewhere),
            changes=changes,
            options=options,
            others=self._others(data.card, settings, recipe),
            keep=(0,) if kind.keeps else keep,
            needs=tuple(needs),
            left_out=self._left_out(data, settings, size) if leave_out else None,
            together=together(card, settings, kind),
            language=JobLanguage.of(model, data.card, settings, weights, download=options.download),
        )

    def _left_out(self, data: Dataset, settings: Settings, size: int) -> tuple[str, ...]:
        """Return the ids of the images that cannot be decoded; a dry run does not decode what is not decoded yet."""
        rule = rule_of(settings, size, data.card.channels, window=data.card.dicom_window)
        if not self.options.download and not store_path(rule, data).exists():
            return ()
        return tuple(sorted(prepare(data, rule, workers=self.options.workers).unreadable))

    def _needs(
        self, model: ModelCard, settings: Settings, recipe: ProtocolCard, dataset: str, changes: dict[str, Any]
    ) -> list[Job]:
        """Return the jobs whose weights are used: the one that trains the model's, and the fine-tuned one."""
        found = []
        base, maker = trained_first(model.name)
        if maker:
            plain, producer = cards.find_model(base), cards.find_protocol(maker)
            found += self.jobs(plain, producer, dataset, fitting(producer.kind, {}, self.kinds))
        if (tuned := getattr(settings, "tuned", None)) is not None:
            other = cards.find_protocol(tuned)
            own = fitting(other.kind, changes, [*self.kinds, recipe.kind, other.kind, *KINDS[recipe.kind].tunes])
            found += [
                replace(job, keep=tuple(sorted({*job.keep, job.seeds[0]})))
                for job in self.jobs(model, other, dataset, own)
            ]
        return found

    def _opened(self, name: str, *, pairs: bool) -> Opened:
        if (name, pairs) not in self.opened:
            options, read = self.options, open_pairs if pairs else open_dataset
            outside, missing, columns = options.allow_outside, options.missing, options.columns
            made = read(name, options.data_root, allow_outside=outside, missing=missing, columns=columns)
            self.opened[name, pairs] = made
        return self.opened[name, pairs]

    def _data(self, recipe: ProtocolCard, name: str, settings: Settings) -> Dataset:
        split, pairs = settings.split, KINDS[recipe.kind].pairs
        if (name, pairs, split) not in self.loaded:
            data = self._opened(name, pairs=pairs).under(split)
            metrics.get(data.card.metric, data.card.task)  # refuses a metric of another task before anything is run
            self.loaded[name, pairs, split] = data
        found = _with_channels(self.loaded[name, pairs, split], settings)
        _check_parts(recipe, settings, found)
        return found

    def weights(self, card: ModelCard, chosen: str | None = None) -> WeightsFile:
        """Return a model's weights file: `chosen`, else that of the options."""
        if trained_first(card.name)[1]:
            return WeightsFile(None, "", "trained")
        if card.name not in self.located:
            try:
                download = self.options.download and self.reachable
                self.located[card.name] = locate(card, chosen or self.options.weights, download=download)
            except UnreachableError:
                self.reachable = False
                raise
        return self.located[card.name]

    def _others(
        self, dataset: DatasetCard, settings: Settings, recipe: ProtocolCard
    ) -> dict[str, tuple[ModelCard, WeightsFile]]:
        """Find the further models that the settings name; random weights apply to all models or to none."""
        choose_inputs(dataset, settings.inputs, settings.encoders)
        named = dict(settings.encoders)
        kind = KINDS[recipe.kind]
        second = getattr(settings, kind.second, None) if kind.second else None
        if second is not None:
            named["second"] = second
        found = {}
        for name, model in named.items():
            card = cards.find_model(model).resolved(self.options.preset)
            chosen = "random" if self.options.weights == "random" else None
            found[name] = (card, locate(card, chosen, download=self.options.download))
        return found


def _check_inputs(recipe: ProtocolCard, settings: Settings, data: Dataset) -> None:
    """Refuse a data set whose samples have several inputs or findings, if the protocol takes one.

    Raises:
        MedbenchError: They have several.
    """
    if settings.single_label and data.multilabel:
        raise MedbenchError(
            f"{recipe.name} has no rule for several findings per sample, which {data.card.name} has",
            "run zero-shot, few-shot or linear-probe on it, or choose a data set of one class per sample",
        )
    if (KINDS[recipe.kind].images or settings.language) and (data.inputs or settings.inputs):
        one = {name for name, known in SETTINGS.items() if known.kind.images or issubclass(known, Prompted)}
        raise MedbenchError(
            f"{recipe.name} takes one image per sample, but samples of {data.card.name} have several inputs",
            f"run one of {', '.join(name for name in SETTINGS if name not in one)} on it",
        )


def _with_channels(data: Dataset, settings: Settings) -> Dataset:
    """Return a data set whose images are read with as many channels as the settings want."""
    wanted = settings.channels
    if wanted in (None, data.card.channels):
        return data
    return replace(data, card=data.card.model_copy(update={"channels": wanted, "mean": None, "std": None}))


def _with_split(settings: Settings, seed: int) -> Settings:
    """Return the settings with the name of one seed's split."""
    name = settings.split_name
    return settings.model_copy(update={"split": name and split_of(name, seed)})


def _swept(recipe: ProtocolCard, settings: Settings) -> list[Settings]:
    """Return the settings at each value of the sweep, where a request names values."""
    sweep = KINDS[recipe.kind].sweep
    asked = getattr(settings, sweep) if sweep else None
    return [settings.model_copy(update={sweep: value}) for value in asked] if isinstance(asked, list) else [settings]


def _check_parts(recipe: ProtocolCard, settings: Settings, data: Dataset) -> None:
    """Refuse a split that lacks a part which the protocol needs.

    Raises:
        MedbenchError: It lacks one.
    """
    if lacking := [part for part in settings.parts if not len(data.rows(part))]:
        raise MedbenchError(
            f"{recipe.name} needs samples in {' and '.join(lacking)}, and the split '{data.split_name}' of"
            f" {data.card.name} has none",
            "choose another split; zero-shot needs a test part alone, few shots with val=none no val",
        )


def _classifiers(asked: str | list[str] | None) -> list[Any]:
    return ["linear", "deit"] if asked is None else asked if isinstance(asked, list) else [asked]


def _depths(model: ModelCard, sweep: str, asked: int | list[int] | None, least: int) -> tuple[list[Any], int]:
    """Return the depths of a sweep, and the number of units.

    Raises:
        MedbenchError: The model has fewer units.
    """
    n = model.units or count_units(model)
    listed = list(range(least, n + 1)) if asked is None else asked if isinstance(asked, list) else [asked]
    for value in listed:
        if not least <= value <= n:
            raise MedbenchError(f"{sweep}={value}: {model.name} has {n} units", f"give {least} to {n}")
    return listed, n


def _of(job: Job) -> WeightsFile:
    """Return the weights that a job keeps. The unit is their digest, since the file may not exist yet."""
    unit = f"unit:{job.units[0][1]}"
    return WeightsFile(job.weights_of(job.seeds[0]), unit, "random" if job.origin == "random" else "trained")


def _in_order(jobs: list[Job]) -> list[Job]:
    """Return each job once, after the jobs that it needs; weights are kept if any job needs them."""
    found: dict[tuple[str, ...], Job] = {}

    def put(job: Job) -> None:
        for needed in job.needs:
            put(needed)
        known = found.get(job.place)
        keep = tuple(sorted({*job.keep, *(known.keep if known else ())}))
        shifts = job.shifts or (known.shifts if known else ())
        found[job.place] = replace(known or job, keep=keep, shifts=shifts)

    for job in jobs:
        put(job)
    return list(found.values())


def _in_folds(options: Options) -> Options:
    """Return the options with one seed and one split for each fold that is asked for.

    Raises:
        MedbenchError: The number is below 3, or a split is asked for, too.
    """
    if options.folds is None:
        return options
    if options.folds < 3 or "split" in options.changes:
        what = "train, val and test need one each" if options.folds < 3 else "--set split asks for another split"
        raise MedbenchError(f"--folds {options.folds}: {what}", "give 3 or more folds, and no other split")
    split = {"split": f"kfold-{options.folds}@{SEED}"}
    return replace(options, seeds=list(range(options.folds)), changes={**options.changes, **split})


def _check_options(options: Options, models: list[ModelCard]) -> None:
    if options.weights not in (None, "random") and len(models) > 1:
        names = ", ".join(card.name for card in models)
        raise MedbenchError(
            f"--weights {options.weights} is one file, but the request has {len(models)} models: {names}",
            "run one model at a time with --weights FILE",
        )
    for value, known, what in (
        (options.overwrite, ("missing", "always", "never"), "--overwrite"),
        (options.unreadable, ("stop", "leave-out"), "--unreadable"),
        (options.missing, ("stop", "leave-out"), "--missing"),
        *((tracker, ("tensorboard", "wandb"), "--log") for tracker in options.log),
    ):
        if value not in known:
            raise unknown(f"value of {what}", value, known)
    if options.image_size is not None and options.image_size <= 0:
        raise MedbenchError(
            f"--image-size {options.image_size}: the size must be above 0", "give pixels, such as --image-size 224"
        )
    check_targets(options)
    _ = options.machine, options.seed_list
