"""Make a plan from a request: find cards, resolve settings, make jobs and the jobs that they need."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

from medbench import cards, metrics
from medbench.cards import DatasetCard, ModelCard, ProtocolCard, Settings
from medbench.cards.find import Words, trained_first
from medbench.cards.recipes import KINDS
from medbench.cards.recipes.kinds import Kind
from medbench.cards.resolve import dataset_entry, fitting, native, per_seed, related, resolve, split_of
from medbench.data.dataset import Dataset
from medbench.data.load import Opened, open_dataset
from medbench.data.multi_input import choose_inputs
from medbench.data.pairs import open_pairs
from medbench.data.prepared.store import prepare, rule_for, store_path
from medbench.errors import MedbenchError, UnreachableError, collected, joined
from medbench.models.weights.locate import WeightsFile, locate
from medbench.records.store import gc_paused
from medbench.runs.device import choose_precision
from medbench.runs.jobs import Job, Options, Plan
from medbench.runs.language import JobLanguage, with_digests
from medbench.runs.planning.checks import check_features, check_inputs, check_options, check_parts, in_folds, named
from medbench.runs.planning.outline import check_layers, together
from medbench.runs.planning.shared import Once, Texts
from medbench.runs.planning.sweeps import sweep_of
from medbench.runs.planning.targets import Targets


def make_plan(model: Words, protocol: Words, dataset: Words, options: Options) -> Plan:
    """Expand names, lists and globs to jobs. Every card, setting, label file and weights file is checked here.

    Raises:
        MedbenchError: Something in the request is wrong; nothing was computed or written.
    """
    models, protocols, datasets = named(model, protocol, dataset, options)
    check_options(options, models)
    options = in_folds(options)
    request = _Request(options, [kind for card in protocols for kind in related(card.kind)])
    request.check(models, protocols, datasets)
    with gc_paused():
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
    """What the jobs of one request share: cards, settings, data sets and weights files are found once.

    Attributes:
        options: The options of the run.
        kinds: Kinds of all named protocols and of those that they plan; `changes` may hold settings of any of them.
        once: What was found.
        texts: What jobs share of the material of their keys.
        may_fetch: Whether weights may be downloaded: nothing is wrong, and no download has found no network yet.
        targets: Data sets on which jobs are tested in addition to their own.
    """

    options: Options
    kinds: list[str]
    once: Once = field(default_factory=Once)
    texts: Texts = field(default_factory=Texts)
    may_fetch: bool = True
    targets: Targets = field(init=False)

    def __post_init__(self) -> None:
        self.targets = Targets(self.options)

    def check(self, models: list[ModelCard], protocols: list[ProtocolCard], datasets: list[str]) -> None:
        """Look for all that is wrong or missing: in settings and data first, for weights can be large downloads.

        Once something is found, nothing is downloaded; weights are still looked for, so that all is said at once.

        Raises:
            MedbenchError: All of it.
        """
        found: dict[str, MedbenchError] = {}
        for name, recipe in itertools.product(datasets, protocols):
            with collected(found):
                self._settings(recipe, name, self.options.changes)
            with collected(found):  # data that are missing are said beside wrong settings
                self._read(name, pairs=KINDS[recipe.kind].pairs)
                settings, _, _ = self._settings(recipe, name, self.options.changes)
                for at in _swept(recipe, settings):
                    data = self._data(recipe, name, _with_split(at, self.options.seed_list[0]))
                    self.targets.of(data, name, recipe)
        self.may_fetch = self.options.download and not found
        for card in models:
            with collected(found):
                self.weights(card)
        if found:
            raise joined(found.values())

    def _settings(
        self, recipe: ProtocolCard, dataset: str, changes: dict[str, Any]
    ) -> tuple[Settings, dict[str, Any], list[str]]:
        """Return a protocol's settings on a data set, its own of the changes, and the kinds that could have others."""
        entry = self.once(("entry", dataset), lambda: dataset_entry(dataset))
        return self.once(("settings", id(recipe), entry, repr(changes)), lambda: self._resolved(recipe, entry, changes))

    def _resolved(
        self, recipe: ProtocolCard, entry: str, changes: dict[str, Any]
    ) -> tuple[Settings, dict[str, Any], list[str]]:
        kinds = [*self.kinds, *related(recipe.kind)]
        own = fitting(recipe.kind, changes, kinds)
        return resolve(recipe, self.options.preset, entry, own), own, kinds

    def tested(self, jobs: list[Job], dataset: str) -> list[Job]:
        """Return jobs with the further data sets that they are tested on; the jobs that they need get none."""
        found = [self.targets.of(job.dataset, dataset, job.protocol) for job in jobs]
        return [replace(job, shifts=shifts) if shifts else job for job, shifts in zip(jobs, found, strict=True)]

    def jobs(self, model: ModelCard, recipe: ProtocolCard, dataset: str, changes: dict[str, Any]) -> list[Job]:
        """Return the jobs of one model, protocol and data set: one, or one per depth, or one per fold."""
        kind = KINDS[recipe.kind]
        settings, own, kinds = self._settings(recipe, dataset, changes)
        if not kind.sweep:
            return self._folds(model, recipe, settings, dataset, changes if kind.tunes else own)
        values, ends = sweep_of(model, kind, settings)
        inner = tuple(value for value in values if isinstance(value, int) and value not in ends)
        found = []
        for value in values:
            if value in ends:
                other = self._protocol(ends[value])
                rest = {key: v for key, v in changes.items() if key != kind.sweep}
                found += self.jobs(model, other, dataset, fitting(other.kind, rest, kinds))
                continue
            at = self._changed(settings, kind.sweep, value)
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
        jobs = ((seed, self._changed(settings, "split", split_of(split, seed))) for seed in self.options.seed_list)
        return [replace(self._job(model, recipe, at, dataset, changes), seeds=(seed,), fold=split) for seed, at in jobs]

    def _job(
        self, model: ModelCard, recipe: ProtocolCard, settings: Settings, dataset: str, changes: dict[str, Any]
    ) -> Job:
        options, kind = self.options, KINDS[recipe.kind]
        card, settings = self._resolved_card(model, settings)
        data = self._data(recipe, dataset, settings)
        check_inputs(recipe, settings, data)
        check_features(card, recipe, settings, data, options)
        needs = self._needs(model, settings, recipe, dataset, changes)
        weights = _of(needs[0]) if trained_first(model.name)[1] else self.weights(model)
        size = options.image_size or settings.image_size or card.input.size
        seeds = self.once("seeds", lambda: tuple(options.seed_list)) if recipe.seeded else (0,)
        keep = seeds if options.keep_weights and kind.beyond_pooled and recipe.seeded else ()
        leave_out = options.unreadable == "leave-out" and not data.inputs
        return Job(
            model=card,
            weights=weights,
            protocol=recipe,
            settings=settings,
            dataset=data,
            seeds=seeds,
            image_size=size,
            precision=self._precision(settings.precision),
            changes=changes,
            options=options,
            others=self._others(data.card, settings, recipe),
            keep=(0,) if kind.keeps else keep,
            needs=tuple(needs),
            left_out=self._left_out(data, settings, size) if leave_out else None,
            together=self._together(card, settings, kind, options.world(model.name)),
            language=self._language(card, data.card, settings, weights),
            texts=self.texts,
        )

    def _resolved_card(self, model: ModelCard, settings: Settings) -> tuple[ModelCard, Settings]:
        """Return a model's card as the settings want it, and the settings as the model wants them."""
        shared = model.text.image if settings.language and model.text else None
        library, pooled = settings.library, settings.pooled or shared
        card = self.once(
            ("card", id(model), library, pooled), lambda: model.resolved(self.options.preset, library, pooled)
        )
        if settings.transform == "native":
            plain = settings
            settings = self.once(("native", id(plain), id(card)), lambda: native(plain, card))
        asked = settings
        settings = self.once(("digests", id(asked)), lambda: with_digests(asked))
        if compared := getattr(settings, "layers", ""):
            kinds = compared, getattr(settings, "second", None) is None
            self.once(("layers", id(card), kinds), lambda: check_layers(card, settings))
        return card, settings

    def _together(self, card: ModelCard, settings: Settings, kind: Kind, world: int) -> tuple[int, int] | None:
        key = "together", id(card), getattr(settings, "micro_batch", None), kind, world
        return self.once(key, lambda: together(card, settings, kind, world))

    def _precision(self, asked: str | None) -> str:
        """Return the precision of jobs whose recipe asks for this one."""
        how = self.options
        return self.once(
            ("precision", asked), lambda: choose_precision(how.precision, how.machine, asked, how.elsewhere)
        )

    def _language(
        self, card: ModelCard, dataset: DatasetCard, settings: Settings, weights: WeightsFile
    ) -> JobLanguage | None:
        if not settings.language:
            return None
        key = "language", id(card), id(dataset), id(settings), weights
        return self.once(key, lambda: JobLanguage.of(card, dataset, settings, weights, download=self.options.download))

    def _changed(self, settings: Settings, name: str, value: Any) -> Settings:
        """Return the settings with another value of one of them."""
        return self.once(
            ("changed", id(settings), name, repr(value)), lambda: settings.model_copy(update={name: value})
        )

    def _model(self, name: str) -> ModelCard:
        return self.once(("model", name), lambda: cards.find_model(name))

    def _protocol(self, name: str) -> ProtocolCard:
        return self.once(("protocol", name), lambda: cards.find_protocol(name))

    def _left_out(self, data: Dataset, settings: Settings, size: int) -> tuple[str, ...]:
        """Return the ids of the images that cannot be decoded; a dry run does not decode what is not decoded yet."""
        rule = rule_for(data, settings, size)
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
            plain, producer = self._model(base), self._protocol(maker)
            found += self.jobs(plain, producer, dataset, fitting(producer.kind, {}, self.kinds))
        if (tuned := getattr(settings, "tuned", None)) is not None:
            other = self._protocol(tuned)
            own = fitting(other.kind, changes, [*self.kinds, recipe.kind, other.kind, *KINDS[recipe.kind].tunes])
            found += [
                replace(job, keep=tuple(sorted({*job.keep, job.seeds[0]})))
                for job in self.jobs(model, other, dataset, own)
            ]
        return found

    def _opened(self, name: str, *, pairs: bool) -> Opened:
        options, read = self.options, open_pairs if pairs else open_dataset
        outside, missing, columns = options.allow_outside, options.missing, options.columns
        return read(name, options.data_root, allow_outside=outside, missing=missing, columns=columns)

    def _read(self, name: str, *, pairs: bool) -> Opened:
        return self.once(("opened", name, pairs), lambda: self._opened(name, pairs=pairs))

    def _loaded(self, name: str, split: str | None, *, pairs: bool) -> Dataset:
        data = self._read(name, pairs=pairs).under(split)
        metrics.get(data.card.metric, data.card.task)  # refuses a metric of another task before anything is run
        return data

    def _data(self, recipe: ProtocolCard, name: str, settings: Settings) -> Dataset:
        pairs, split, channels = KINDS[recipe.kind].pairs, settings.split, settings.channels
        plain = self.once(("data", name, pairs, split), lambda: self._loaded(name, split, pairs=pairs))
        found = plain
        if channels not in (None, plain.card.channels):
            found = self.once(("channels", id(plain), channels), lambda: _with_channels(plain, channels))
        check_parts(recipe, settings, found)
        return found

    def weights(self, card: ModelCard, chosen: str | None = None) -> WeightsFile:
        """Return a model's weights file: `chosen`, else that of the options."""
        if trained_first(card.name)[1]:
            return WeightsFile(None, "", "trained")
        chosen = chosen or self.options.weights
        try:
            return self.once(("weights", id(card)), lambda: locate(card, chosen, download=self.may_fetch))
        except UnreachableError:
            self.may_fetch = False
            raise

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
        return {name: self._other(model) for name, model in named.items()}

    def _other(self, model: str) -> tuple[ModelCard, WeightsFile]:
        return self.once(("other", model), lambda: self._located_other(model))

    def _located_other(self, model: str) -> tuple[ModelCard, WeightsFile]:
        card = self._model(model).resolved(self.options.preset)
        chosen = "random" if self.options.weights == "random" else None
        return card, locate(card, chosen, download=self.options.download)


def _with_split(settings: Settings, seed: int) -> Settings:
    """Return the settings with the name of one seed's split."""
    name = settings.split_name
    return settings.model_copy(update={"split": name and split_of(name, seed)})


def _swept(recipe: ProtocolCard, settings: Settings) -> list[Settings]:
    """Return the settings at each value of the sweep, where a request names values."""
    sweep = KINDS[recipe.kind].sweep
    asked = getattr(settings, sweep) if sweep else None
    return [settings.model_copy(update={sweep: value}) for value in asked] if isinstance(asked, list) else [settings]


def _with_channels(data: Dataset, channels: int) -> Dataset:
    """Return a data set whose images are read with so many channels."""
    return replace(data, card=data.card.model_copy(update={"channels": channels, "mean": None, "std": None}))


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
        known = found.setdefault(job.place, job)
        keep, shifts = tuple(sorted({*job.keep, *known.keep})), job.shifts or known.shifts
        if (keep, shifts) != (known.keep, known.shifts):
            found[job.place] = replace(known, keep=keep, shifts=shifts)

    for job in jobs:
        put(job)
    return list(found.values())
