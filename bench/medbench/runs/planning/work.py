"""What jobs have to compute, and what they leave on disk; from a plan, or from cards alone. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from medbench.cards import DatasetCard, ModelCard, Settings
from medbench.cards.catalogues.features_file import LIBRARY
from medbench.cards.recipes import KINDS
from medbench.data.images.square import rule_of
from medbench.storage import files

Speed = tuple[str, str, int, str]
"""(model, kind of protocol or `features`, image size, precision)."""
NUMBER = 4
"""Bytes of a feature or of a parameter, in single precision."""
FILE, ROW, SCORE = 6_000, 32, 16
"""Bytes of a file of predictions: of its own, of a row's id and group, of a class's score and log odds."""


@dataclass(frozen=True)
class Disk:
    """Bytes that jobs leave on disk; what is there already is not subtracted.

    Attributes:
        images: Of the prepared images, which stay in the cache.
        features: Of the pooled features, which stay in the cache.
        predictions: Of the predictions beside the records.
        weights: Of the trained networks that are kept.
        tokens: Limit of the patch tokens that one job stores; they are removed at the end.
        unknown: Models whose cards do not tell the length of their features or their number of parameters.
    """

    images: int = 0
    features: int = 0
    predictions: int = 0
    weights: int = 0
    tokens: int = 0
    unknown: tuple[str, ...] = ()

    @property
    def kept(self) -> int:
        """Bytes in all, without the patch tokens."""
        return self.images + self.features + self.predictions + self.weights


@dataclass(frozen=True)
class Task:
    """What the cost of a job depends on.

    Attributes:
        name: The model's name, as records have it.
        model: Its card, as resolved.
        dataset: The data set's card.
        kind: The protocol's kind.
        settings: The protocol's settings.
        image_size: Side of the input.
        precision: `fp32`, `bf16` or `fp16`.
        sizes: Part of the split -> number of samples.
        images: Images in all, of all inputs.
        seeds: Number of seeds.
        kept: Number of trained networks that are kept.
        tested: Images of further test sets.
        extracted: How many of these have features of their own.
        same: What else tasks must have in common to share features: digests of weights and data.
    """

    name: str
    model: ModelCard
    dataset: DatasetCard
    kind: str
    settings: Settings
    image_size: int
    precision: str
    sizes: Mapping[str, int]
    images: int
    seeds: int
    kept: int = 0
    tested: int = 0
    extracted: int = 0
    same: tuple[str, ...] = ()

    @property
    def speed(self) -> Speed:
        """What decides how many images a second are possible."""
        return self.name, "features" if from_features(self.kind) else self.kind, self.image_size, self.precision

    @property
    def trained(self) -> int:
        """Image forwards of one job that trains the network."""
        return forwards_of_training(self.settings, self.sizes, self.images, self.seeds, self.tested)


@dataclass
class Work:
    """The work of many tasks; what they share is counted once.

    Attributes:
        forwards: Image forwards by speed.
        protocols: (kind, data set) of each task.
        models: The cards of the models that compute.
        disk: What is left on disk.
    """

    forwards: dict[Speed, int] = field(default_factory=dict)
    protocols: list[tuple[str, str]] = field(default_factory=list)
    models: dict[str, ModelCard] = field(default_factory=dict)
    disk: Disk = field(default_factory=Disk)

    @classmethod
    def of(cls, tasks: Iterable[Task]) -> Work:
        """Return the work of tasks."""
        found, pixels = cls(), dict[str, int]()
        shared: dict[str, tuple[Task, int]] = {}
        predictions = weights = tokens = 0
        unknown: dict[str, None] = {}
        for task in tasks:
            found.protocols.append((task.kind, task.dataset.name))
            predictions += _predictions(task)
            weights += task.kept * _parameters(task.model)
            tokens = max(tokens, round(getattr(task.settings, "cache_gb", 0) * 2**30))
            if task.model.library == LIBRARY:
                continue
            key, size = _pixels(task)
            pixels[key] = max(size, pixels.get(key, 0))
            found.models[task.name] = task.model
            lacks = task.kept and task.model.parameters is None
            if from_features(task.kind):
                lacks = lacks or task.model.features.dim is None
                for key, number in _features(task):
                    shared[key] = task, max(number, shared.get(key, (task, 0))[1])
            else:
                found._add(task.speed, task.trained)
            unknown |= {task.name: None} if lacks else {}
        for task, number in shared.values():
            found._add(task.speed, number)
        features = sum(number * NUMBER * _length(task) for task, number in shared.values())
        found.disk = Disk(sum(pixels.values()), features, predictions, weights, tokens, tuple(unknown))
        return found

    def _add(self, speed: Speed, number: int) -> None:
        self.forwards[speed] = self.forwards.get(speed, 0) + number


def from_features(kind: str) -> bool:
    """Tell whether a kind's images go through the encoder once per view; their features are stored and shared."""
    return kind in KINDS and not KINDS[kind].images


def forwards_of_training(
    settings: Settings, sizes: Mapping[str, int], images: int, seeds: int, further: int = 0
) -> int:
    """Return the image forwards of all seeds of a protocol that trains the network.

    Args:
        settings: Of the protocol.
        sizes: Part of the split -> number of images.
        images: In all.
        seeds: Number of seeds.
        further: Images of other test sets.
    """
    epochs = getattr(settings, "epochs", None)
    if epochs is None:
        return images
    train, val, test = (sizes.get(split, 0) for split in ("train", "val", "test"))
    crops = 4 + getattr(settings, "local_crops", 0) if hasattr(settings, "local_crops") else 1
    rates = len(getattr(settings, "learning_rates", (0,)))
    searched = min(getattr(settings, "lr_search_seeds", seeds), seeds)
    runs = rates * searched + seeds - searched
    return int(runs * epochs * (crops * train + val) + seeds * (test + further))


def _features(task: Task) -> Iterator[tuple[str, int]]:
    """Yield what tasks must have in common to share features, and their number.

    Features of all images are shared by all splits, unless images are normalised by statistics of the training part.
    Those of augmented training images and of further test sets are the split's own.
    """
    settings, split = task.settings, task.settings.split_name
    seen = settings.model_dump(mode="json", include=set(Settings.model_fields) - {"split"})
    drawn = split if settings.normalise == "dataset" and task.dataset.mean is None else None
    place = [task.speed, KINDS[task.kind].tokens, task.same, seen, drawn]
    yield files.digest(place), task.images
    augment = settings.model_dump(mode="json", include={"augment"})
    yield files.digest([*place, split, augment]), getattr(settings, "views", 0) * task.sizes.get("train", 0)
    yield files.digest([*place, split, "further"]), task.extracted


def _pixels(task: Task) -> tuple[str, int]:
    """Return what prepared images depend on, and their bytes; with `fit: centre` at most these."""
    channels = task.settings.channels or task.dataset.channels
    rule = rule_of(task.settings, task.image_size, channels)
    return files.digest([task.dataset.name, task.same[1:], str(rule)]), task.images * rule.size**2 * channels


def _length(task: Task) -> int:
    """Return the numbers that are stored of an image: none where they are patch tokens, which do not stay."""
    return 0 if KINDS[task.kind].tokens else task.model.features.dim or 0


def _parameters(model: ModelCard) -> int:
    return round((model.parameters or 0) * 1e6) * NUMBER


def _predictions(task: Task) -> int:
    if not KINDS[task.kind].classifies:
        return 0
    rows = task.sizes.get("val", 0) + task.sizes.get("test", 0) + task.tested
    return task.seeds * (FILE + rows * (ROW + SCORE * len(task.dataset.classes)))
