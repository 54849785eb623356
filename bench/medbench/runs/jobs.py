"""Jobs of a plan: their units, keys and folders, and which are done. Imports no torch; `plan` makes plans."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from medbench.cards import ModelCard, ProtocolCard, Settings
from medbench.cards.recipes import EXECUTION, KINDS
from medbench.cards.recipes.kinds import Kind
from medbench.data.dataset import Dataset
from medbench.data.layouts.own_columns import OwnColumns, own_columns
from medbench.data.load import Missing
from medbench.data.shift import Part, Shifted
from medbench.errors import MedbenchError
from medbench.models.weights.locate import WeightsFile
from medbench.records import Record, Unit, store
from medbench.records.listing import Listing
from medbench.records.pending import Planned
from medbench.runs.device import choose_device
from medbench.runs.language import JobLanguage
from medbench.runs.planning.shared import Entry, Texts, recipe_of
from medbench.storage import files, paths

KEY_SCHEMA = 1
MOST_SEEDS = 1_000  # of one command
Overwrite = Literal["missing", "always", "never"]
Unreadable = Literal["stop", "leave-out"]


@dataclass(frozen=True)
class Options:
    """How a request is run; the fields are the keywords of `medbench.run` and the options of `medbench run`.

    Attributes:
        preset: Preset of the protocols: `paper`, `wacv-code`, `fixed` or another that their cards have.
        seeds: A number of seeds (5: the seeds 0 to 4), or the seeds themselves.
        folds: Cross-validation with this number of parts in place of seeds: seed i has part i as test, the next one as
            val. Mean and deviation of pixels are then those of all images, so that features are extracted once.
        changes: Setting of the protocol -> value, as `--set`; dots in the name of a nested one (`augment.hue`).
        data_root: Folder of the data sets; None: `MEDBENCH_DATA`.
        test_on: Other data sets to test on, once each: names, comma lists, own data.
        test_part: Which of their images: `all`, or their own `test` part.
        closed: Whether the classes that such a set lacks are left out of the scores on it.
        corrupt: Corruptions of the own test images to test on: names with severities, comma lists (`jpeg:1:3`, `all`).
        weights: Weights file, or `random`; None: the official file.
        image_size: Side of the network's input in pixels; None: the model's.
        device: `auto`, `cpu`, `cuda` or `cuda:i`.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        workers: Loader processes; None: by the number of cores.
        runs: The run store; by default `MEDBENCH_RUNS` or `results/runs`.
        overwrite: `missing` runs what is missing, `always` runs all again, `never` only reads what is there.
        unreadable: `stop` at images that cannot be decoded, or `leave-out`.
        missing: `stop` at images that are not there, or `leave-out`.
        label: Own data: column of the class; several with commas: one column per class.
        image: Own data: column of the image's path.
        group: Own data: column of what a split keeps together, such as the patient.
        split_column: Own data: column of train, val and test.
        task: Own data: `binary`, `multiclass`, `ordinal` or `multilabel`; None: from the labels.
        metric: Own data: primary metric; None: by the task.
        allow_outside: Whether image paths may leave the data folder.
        download: Whether missing weights may be downloaded.
        keep_weights: Whether the best weights of trained networks are kept next to their records.
        log: Where curves are sent too: `tensorboard`, `wandb`.
        command: The command line, for the record; empty if there is none.
        elsewhere: What the precision `auto` means on the other machine of the plan, which has `device`; None: this one.
        processes: (pattern of model names, processes that train such a model there); the first that fits counts.
    """

    preset: str = "paper"
    seeds: int | Sequence[int] = 5
    folds: int | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    data_root: Path | None = None
    test_on: str | Sequence[str] = ()
    test_part: Part = "all"
    closed: bool = False
    corrupt: str | Sequence[str] = ()
    weights: str | None = None
    image_size: int | None = None
    device: str = "auto"
    precision: str = "auto"
    workers: int | None = None
    runs: Path = field(default_factory=paths.runs_dir)
    overwrite: Overwrite = "missing"
    unreadable: Unreadable = "stop"
    missing: Missing = "stop"
    label: str | None = None
    image: str | None = None
    group: str | None = None
    split_column: str | None = None
    task: str | None = None
    metric: str | None = None
    allow_outside: bool = False
    download: bool = True
    keep_weights: bool = False
    log: Sequence[str] = ()
    command: str = ""
    elsewhere: str | None = None
    processes: Sequence[tuple[str, int]] = ()

    @property
    def machine(self) -> str:
        """The device that the plan is for; checked where it is this machine's."""
        return choose_device(self.device) if self.elsewhere is None else self.device

    def world(self, model: str) -> int:
        """Return the number of processes that train a model together."""
        if self.elsewhere is None:
            return int(os.environ.get("WORLD_SIZE", "1"))
        return next((number for pattern, number in self.processes if fnmatch.fnmatchcase(model, pattern)), 1)

    @property
    def columns(self) -> OwnColumns | None:
        """What the user says of own data: which columns, which task, which metric; None: nothing."""
        return own_columns(self.image, self.label, self.group, self.split_column, self.task, self.metric)

    @property
    def seed_list(self) -> list[int]:
        """The seeds: 0 to n - 1 for a number n, or the listed ones."""
        asked = range(min(self.seeds, MOST_SEEDS + 1)) if isinstance(self.seeds, int) else self.seeds
        listed = list(dict.fromkeys(asked))
        if not listed or min(listed) < 0:
            raise MedbenchError(
                f"--seeds {self.seeds}: at least one seed is needed", "give a number above 0, or a list such as 0,1,2"
            )
        if len(listed) > MOST_SEEDS or max(listed) >= 2**32:
            raise MedbenchError(f"--seeds: at most {MOST_SEEDS:,} seeds, each below 2^32", "5 seeds are usual")
        return listed


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
    """Input -> the encoder that `settings.encoders` names for it; `second` -> the network on top of the encoder."""
    sweep: tuple[int, ...] = ()
    """All depths of the request, this job's included: work that they share is done once for all."""
    fold: str = ""
    """Template of the split's name where each seed has its own split; the job has one seed then."""
    keep: tuple[int, ...] = ()
    """Seeds whose best weights are kept next to their records."""
    needs: tuple[Job, ...] = ()
    """Jobs whose weights this one uses."""
    left_out: tuple[str, ...] | None = None
    """Ids of the images that are left out since they cannot be decoded; None: known only when the job runs."""
    together: tuple[int, int] | None = None
    """Micro-batch (0: as many as fit) and processes, where a trained network's batch norm makes them matter."""
    language: JobLanguage | None = None
    """The texts of the classes, where the text tower is used."""
    shifts: tuple[Shifted, ...] = ()
    """Further test sets; they change nothing that is fitted or chosen."""
    texts: Texts = field(default_factory=Texts, repr=False, compare=False)
    """What the jobs of a plan share of their material."""

    @property
    def kind(self) -> Kind:
        """The protocol's kind."""
        return KINDS[self.protocol.kind]

    @property
    def depth(self) -> int | None:
        """The job's value of a sweep over depths."""
        value = getattr(self.settings, self.kind.sweep) if self.kind.sweep else None
        return value if isinstance(value, int) else None

    @property
    def encoders(self) -> list[tuple[ModelCard, WeightsFile]]:
        """All encoders of the job: the run's, then those of single inputs."""
        return [(self.model, self.weights), *self.others.values()]

    @property
    def origin(self) -> str:
        """Where the weights come from; `random` if those of any encoder are."""
        origins = [weights.origin for _, weights in self.encoders]
        return "random" if "random" in origins else origins[0]

    @property
    def name(self) -> str:
        """The name that users see: model, protocol (with the value of its sweep) and data set."""
        at = f" {self.kind.sweep}={getattr(self.settings, self.kind.sweep)}" if self.kind.sweep else ""
        split = f" ({self.dataset.split_name})" if self.fold else ""
        return f"{self.model.name} · {self.protocol.name}{at} · {self.dataset.card.name}{split}"

    @property
    def choosing(self) -> list[int]:
        """The seeds that hyper-parameters are chosen on: further seeds take over the choice, and change no number."""
        searched = getattr(self.settings, "lr_search_seeds", None)
        alone = searched is not None and len(getattr(self.settings, "learning_rates", ())) == 1
        return [] if alone else list(self.seeds[:searched])

    @property
    def material(self) -> dict[str, Any]:
        """Everything that can change the job's numbers, without the single unit's seed.

        The device is not part of it: with one precision devices differ in rounding alone. The record names it.
        """
        return {name: one.value if isinstance(one, Entry) else one for name, one in self._entries().items()}

    def _entries(self) -> dict[str, Any]:
        part, language, several = self.texts.part, self.language, bool(self.dataset.inputs)
        others = {name: [card.material(), weights.sha256] for name, (card, weights) in self.others.items()}
        return {
            **({"encoders": others} if others else {}),
            **({"needs": [[job.group, *job.keep] for job in self.needs]} if self.needs else {}),
            **({"together": self.together} if self.together else {}),
            **({"device": self.options.machine} if self.kind.timed else {}),
            **({"statistics": "all images"} if self.options.folds else {}),
            **({"language": part(lambda: language.material(self.model), language, self.model)} if language else {}),
            "schema": KEY_SCHEMA,
            "model": part(self.model.material, self.model),
            "weights": self.weights.sha256,
            "dataset": part(self.dataset.card.material, self.dataset.card),
            "data": self.dataset.digest,
            "split": self.fold or self.dataset.split_digest,
            "protocol": part(lambda: recipe_of(self.settings, several), self.settings, how=several),
            "image_size": self.image_size,
            "precision": self.precision,
            "seeds": "folds" if self.fold else self.choosing,
            "unreadable": self.options.unreadable if self.left_out is None else list(self.left_out) or "stop",
        }

    def _texts(self, shift: Shifted | None = None) -> dict[str, str]:
        """Return the material as JSON, entry by entry; with the other data set that units are tested on."""
        on = {} if shift is None else {"test_on": self.texts.part(lambda: shift.material, shift)}
        found = self._entries() | on
        return {name: one.text if isinstance(one, Entry) else files.canonical(one) for name, one in found.items()}

    @cached_property
    def _digests(self) -> tuple[str, list[str]]:
        """The digest of the material, and the keys of all units."""
        fold = {"fold": files.canonical(self.dataset.split_digest)} if self.fold else {}
        texts = [self._texts(on) for on in (None, *self.shifts)]
        keys = [key for one in texts for key in files.digests_by(one | fold, "seed", self.seeds)]
        return files.digest_of_texts(texts[0]), keys

    @property
    def group(self) -> str:
        """Digest of the material: the same for all seeds of a table cell."""
        return self._digests[0]

    @property
    def keys(self) -> list[str]:
        """The keys of all units: one for each seed on the job's own data set, then on each of the others."""
        return self._digests[1]

    def group_on(self, shift: Shifted) -> str:
        """Return the digest that the records of all seeds on another data set share."""
        return files.digest_of_texts(self._texts(shift))

    @property
    def family(self) -> str:
        """Digest shared by the jobs of a plan that differ only in their split or in the value of their sweep."""
        settings = self.settings.model_dump(mode="json", exclude={"split", self.kind.sweep})
        return files.digest([self.model.name, self.protocol.name, self.dataset.digest, self.image_size, settings])

    @property
    def place(self) -> tuple[str, str, str, str]:
        """What distinguishes a job from all others of a plan; two cards can be of one network and one file."""
        return self.model.name, self.protocol.name, self.group, self.dataset.split_digest

    @property
    def partial(self) -> str:
        """Name of the folder for unfinished work."""
        return f"{self.group[:16]}-{self.seeds[0]}" if self.fold else self.group[:16]

    @property
    def units(self) -> list[tuple[Unit, str]]:
        """The job's units with their keys: one for each seed, on its own data set."""
        return self.planned[0].units()

    @property
    def all_units(self) -> list[tuple[Unit, str]]:
        """The job's units on its own data set, then those on each of the others."""
        return [unit for planned in self.planned for unit in planned.units()]

    @property
    def planned(self) -> list[Planned]:
        """The units on the job's own data set, then those on each of the others."""
        n = len(self.seeds)
        return [self._planned(on, self.keys[at * n : (at + 1) * n]) for at, on in enumerate((None, *self.shifts))]

    def _planned(self, shift: Shifted | None, keys: list[str]) -> Planned:
        shown = {key: value for key, value in self.changes.items() if key not in EXECUTION}
        own, size = self.options.columns, self.options.image_size
        shown |= (own.as_options() if own else {}) | ({"image_size": size} if size is not None else {})
        unit = Unit(
            model=self.model.name,
            protocol=self.protocol.name,
            dataset=self.dataset.card.name,
            seed=self.seeds[0],
            preset=self.options.preset,
            options=shown | (shift.options if shift else {}),
            weights=self.origin,
            toy=self.dataset.toy,
        )
        return Planned(unit, self.seeds, keys, self.partial)

    @property
    def shelf(self) -> store.Place:
        """Data set, model and protocol of the job's records."""
        return self.dataset.card.name, self.model.name, self.protocol.name

    def finished(self, there: Listing | None = None) -> list[bool]:
        """Tell for each of `all_units` whether its record exists, and its weights if they are to be kept.

        Args:
            there: What the run store had when it was listed; None: look now.
        """
        there, kept = there or Listing(self.options.runs), set(self.keep)
        found = [there.is_done(self.shelf, key) for key in self.keys]
        for at, (seed, key) in enumerate(zip(self.seeds, self.keys, strict=False)):
            found[at] = found[at] and (seed not in kept or there.exists(self.shelf, key, store.WEIGHTS))
        return found

    def done(self) -> list[bool]:
        """Tell for each seed whether all its units are finished."""
        finished, n = self.finished(), len(self.seeds)
        return [all(finished[at::n]) for at in range(n)]

    def weights_of(self, seed: int) -> Path:
        """Return the file of one seed's best weights, which exists if they were kept."""
        return self._folder(self.keys[self.seeds.index(seed)]) / store.WEIGHTS

    def folders(self) -> list[Path]:
        """Return the folder of each unit on the job's own data set."""
        return [self._folder(key) for key in self.keys[: len(self.seeds)]]

    def _folder(self, key: str) -> Path:
        return store.folder_at(self.options.runs, self.shelf, key)

    def records(self) -> list[Record]:
        """Return the records of all finished units."""
        return [record for key in self.keys if (record := store.read(self._folder(key)))]

    def elsewhere(self, shift: Shifted) -> Job:
        """Return a job on the images of another test set alone, which are prepared as this job's are."""
        return replace(self, dataset=shift.dataset, shifts=())


@dataclass(frozen=True)
class Plan:
    """The jobs of a request; jobs on the same images and encoder follow each other."""

    jobs: list[Job]
    options: Options

    @cached_property
    def finished(self) -> list[list[bool]]:
        """For each job which of its units were finished when this was first asked."""
        there = Listing(self.options.runs)
        return [job.finished(there) for job in self.jobs]

    @cached_property
    def todo(self) -> list[Job]:
        """The jobs that have work to do under the `overwrite` option."""
        if self.options.overwrite == "always":
            return self.jobs
        if self.options.overwrite == "never":
            return []
        return [job for job, finished in zip(self.jobs, self.finished, strict=True) if not all(finished)]


@dataclass
class Result:
    """The outcome of a plan.

    Attributes:
        records: The records of all finished units of the plan, in its order.
        made: How many of them are new.
        mistakes: (job, error) of mistakes that the user can fix.
        failures: (job, error text) of jobs that failed.
        tables: Files of the metric tables that were updated.
        writer: Whether this process is the one, of several, that writes.
    """

    records: list[Record] = field(default_factory=list)
    made: int = 0
    mistakes: list[tuple[str, MedbenchError]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)
    writer: bool = True
