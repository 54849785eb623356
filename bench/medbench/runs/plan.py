"""The plan: which units a request means, their keys, and which are done. No torch is imported here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from medbench import cards, files, paths
from medbench.cards import DatasetCard, ModelCard, ProtocolCard, Settings
from medbench.cards.native import native
from medbench.data import load_dataset
from medbench.data.inputs import choose_inputs
from medbench.errors import CardError, MedbenchError, unknown
from medbench.models.files import WeightsFile, locate
from medbench.protocols import KINDS
from medbench.records import Record, Unit, store
from medbench.runs.device import choose_device, choose_precision
from medbench.runs.settings import fitting, resolve

if TYPE_CHECKING:
    from medbench.data.dataset import Dataset

KEY_SCHEMA = 1
MANY = {"inputs", "encoders", "slices", "stride", "balance"}
"""Settings that mean something only where samples have several inputs."""
ABSORBED = {"split", "image_size", "library", "pooled", "transform"}
"""Settings whose outcome stands elsewhere in the key: the split's digest, the size, the model card, other settings."""
Overwrite = Literal["missing", "always", "never"]
"""Run what is missing, run everything anew, or run nothing and read what is there."""
Unreadable = Literal["stop", "leave-out"]


@dataclass(frozen=True)
class Options:
    """How a request is run; the fields are `medbench run`'s options."""

    preset: str = "paper"
    seeds: int | Sequence[int] = 5
    changes: dict[str, Any] = field(default_factory=dict)
    data_root: Path | None = None
    weights: str | None = None
    image_size: int | None = None
    device: str = "auto"
    precision: str = "auto"
    workers: int | None = None
    out: Path | None = None
    overwrite: Overwrite = "missing"
    unreadable: Unreadable = "stop"
    allow_outside: bool = False
    download: bool = True

    @property
    def seed_list(self) -> list[int]:
        """The seeds: 0 to n - 1 for a number n, or those that are listed."""
        listed = list(range(self.seeds)) if isinstance(self.seeds, int) else list(dict.fromkeys(self.seeds))
        if not listed or min(listed) < 0:
            raise MedbenchError(f"--seeds {self.seeds}: no seeds", "give a number above 0, or a list like 0,1,2")
        return listed

    @property
    def runs(self) -> Path:
        """The run store."""
        return paths.runs_dir(self.out)


@dataclass(frozen=True)
class Job:
    """All seeds of one (model, protocol, data set): they share features and the choice of hyper-parameters."""

    model: ModelCard
    weights: WeightsFile
    protocol: ProtocolCard
    settings: Settings
    dataset: Dataset
    seeds: tuple[int, ...]
    image_size: int
    precision: str
    changes: dict[str, Any]
    options: Options
    others: dict[str, tuple[ModelCard, WeightsFile]] = field(default_factory=dict)
    """Input -> the encoder that `settings.encoders` names for it."""

    @property
    def encoders(self) -> list[tuple[ModelCard, WeightsFile]]:
        """All encoders of the job: the run's own, then those of single inputs."""
        return [(self.model, self.weights), *self.others.values()]

    @property
    def origin(self) -> str:
        """Where the weights are from; `random` as soon as one encoder's are."""
        origins = [weights.origin for _, weights in self.encoders]
        return "random" if "random" in origins else origins[0]

    @property
    def name(self) -> str:
        """For people: model, protocol and data set."""
        return f"{self.model.name} · {self.protocol.name} · {self.dataset.card.name}"

    @cached_property
    def material(self) -> dict[str, Any]:
        """Everything that can change the job's numbers, without the single unit's seed.

        The device is not part of it: precision is, and on one precision devices differ in rounding alone; the record
        says which it was.
        """
        unused = set() if self.dataset.inputs else MANY
        settings = self.settings.model_dump(mode="json", exclude=ABSORBED | unused)
        others = {name: [card.material(), weights.sha256] for name, (card, weights) in self.others.items()}
        return {
            **({"encoders": others} if others else {}),
            "schema": KEY_SCHEMA,
            "model": self.model.material(),
            "weights": self.weights.sha256,
            "dataset": self.dataset.card.material(),
            "data": self.dataset.digest,
            "split": self.dataset.split_digest,
            "protocol": {"kind": self.protocol.kind, "version": KINDS[self.protocol.kind].version, **settings},
            "image_size": self.image_size,
            "precision": self.precision,
            "seeds": list(self.seeds),
            "unreadable": self.options.unreadable,
        }

    @cached_property
    def group(self) -> str:
        """Digest of the material: the same for all seeds of a table cell."""
        return files.digest(self.material)

    @cached_property
    def units(self) -> list[tuple[Unit, str]]:
        """The job's units with their keys."""
        shown = dict(self.changes)
        if self.options.image_size is not None:
            shown["image_size"] = self.options.image_size
        return [
            (
                Unit(
                    model=self.model.name,
                    protocol=self.protocol.name,
                    dataset=self.dataset.card.name,
                    seed=seed,
                    preset=self.options.preset,
                    options=shown,
                    weights=self.origin,
                    toy=self.dataset.toy,
                ),
                files.digest({**self.material, "seed": seed}),
            )
            for seed in self.seeds
        ]

    def done(self) -> list[bool]:
        """Tell for each unit whether its record is there."""
        return [store.is_done(self.options.runs, unit, key) for unit, key in self.units]

    def folders(self) -> list[Path]:
        """Return the folder of each unit."""
        return [store.folder_of(self.options.runs, unit, key) for unit, key in self.units]


@dataclass(frozen=True)
class Plan:
    """The jobs of a request, ordered so that those on the same images and encoder follow each other."""

    jobs: list[Job]
    options: Options

    @cached_property
    def todo(self) -> list[Job]:
        """The jobs with something to do under the `overwrite` option."""
        if self.options.overwrite == "always":
            return self.jobs
        if self.options.overwrite == "never":
            return []
        return [job for job in self.jobs if not all(job.done())]


@dataclass
class Result:
    """What a plan came to.

    Attributes:
        records: Of all units of the plan that are done, in plan order.
        made: How many of them were made now.
        mistakes: (job, error) that a person can mend.
        failures: (job, error text) of jobs that broke.
        tables: Files of the metric tables that were renewed.
    """

    records: list[Record] = field(default_factory=list)
    made: int = 0
    mistakes: list[tuple[str, MedbenchError]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)


def make_plan(
    model: str | Iterable[str], protocol: str | Iterable[str], dataset: str | Iterable[str], options: Options
) -> Plan:
    """Expand names, lists and globs to jobs. Every card, setting, label file and weights file is looked at here.

    Raises:
        MedbenchError: Anything in the request is wrong; nothing has been computed or written then.
    """
    models = [cards.find_model(name) for name in cards.expand("models", model)]
    protocols = [cards.find_protocol(name) for name in cards.expand("protocols", protocol)]
    datasets = cards.expand("datasets", dataset)
    recipes = [(card, fitting(card.kind, options.changes, [other.kind for other in protocols])) for card in protocols]
    _check_options(options, models)
    precision = choose_precision(options.precision, options.device)
    located = {card.name: locate(card, options.weights, download=options.download) for card in models}
    jobs = []
    loaded: dict[tuple[str, str | None], Dataset] = {}
    for name in datasets:
        for model_card in models:
            for recipe, changes in recipes:
                settings = resolve(recipe, options.preset, Path(name).stem, changes)
                card = model_card.resolved(options.preset, settings.library, settings.pooled)
                settings = native(settings, card)
                place = (name, settings.split)
                if place not in loaded:
                    loaded[place] = load_dataset(
                        name, options.data_root, settings.split, allow_outside=options.allow_outside
                    )
                data = loaded[place]
                _check_metric(data.card)
                seeds = options.seed_list if KINDS[recipe.kind].seeded else [0]
                size = options.image_size or settings.image_size or card.input.size
                weights = located[card.name]
                others = _others(data.card, settings, options)
                jobs.append(
                    Job(card, weights, recipe, settings, data, tuple(seeds), size, precision, changes, options, others)
                )
    return Plan(jobs, options)


def _others(dataset: DatasetCard, settings: Settings, options: Options) -> dict[str, tuple[ModelCard, WeightsFile]]:
    """Find the encoders that the settings name for single inputs; random weights go for all or for none."""
    choose_inputs(dataset, settings.inputs, settings.encoders)
    found = {}
    for name, model in settings.encoders.items():
        card = cards.find_model(model).resolved(options.preset)
        chosen = "random" if options.weights == "random" else None
        found[name] = (card, locate(card, chosen, download=options.download))
    return found


def _check_options(options: Options, models: list[ModelCard]) -> None:
    if options.weights not in (None, "random") and len(models) > 1:
        names = ", ".join(card.name for card in models)
        raise MedbenchError(
            f"--weights {options.weights} is one file, but {len(models)} models are named: {names}",
            "run one model at a time with --weights FILE",
        )
    for value, known, what in (
        (options.overwrite, ("missing", "always", "never"), "--overwrite"),
        (options.unreadable, ("stop", "leave-out"), "--unreadable"),
    ):
        if value not in known:
            raise unknown(f"value of {what}", value, known)
    if options.image_size is not None and options.image_size <= 0:
        raise MedbenchError(f"--image-size {options.image_size} is not a size", "give pixels, e.g. --image-size 224")
    choose_device(options.device)
    _ = options.seed_list


def _check_metric(card: DatasetCard) -> None:
    from medbench import metrics

    if not metrics.get(card.metric, card.task).higher_is_better:
        raise CardError(
            f"data set card {card.name}: metric: '{card.metric}' falls as models get better",
            "choose one that rises: every choice takes the highest",
        )
