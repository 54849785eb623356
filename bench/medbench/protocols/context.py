"""The input and the output of a protocol. A protocol never sees a test label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from medbench.cards import ModelCard
from medbench.cards.model import Input
from medbench.cards.prompts.sets import ByClass, Prompts
from medbench.cards.recipes import Augment, DinoPretrain, Settings
from medbench.data.pairs import Pairs
from medbench.features.extract import Outputs
from medbench.models.encoder import Encoder
from medbench.models.prototypes import Rule, prototypes
from medbench.training.machine import Machine
from medbench.training.selection import Criterion, criterion

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.utils.data import Dataset

S = TypeVar("S", bound=Settings, covariant=True)


@dataclass(frozen=True)
class FeatureBank:
    """Outputs of a frozen encoder for clean images and for views, as memory maps of files.

    Attributes:
        splits: Split -> (n, …).
        views: One (n, …) per view of the training images.
    """

    splits: dict[str, NDArray[np.floating]]
    views: list[NDArray[np.floating]]


class Inputs(Protocol):
    """A job's features, images and networks. A job whose samples have several inputs has only features."""

    image_size: int
    mean: Sequence[float]
    std: Sequence[float]

    def clean(self, split: str) -> NDArray[np.float32]:
        """Return the features of a split's images under the evaluation transform, (n, d)."""

    def views(self, number: int, augment: Augment) -> Sequence[NDArray[np.float32]]:
        """Return the features of each augmented view of the training images, (n, d); of 0 views the clean pass.

        They may be memory maps of files.
        """

    def encoder(self, units: int | None = None, drop_path: float | None = None, *, any_size: bool = False) -> Encoder:
        """Return a new copy of the encoder, frozen; with `units`, only its first ones.

        With `any_size` a transformer of timm takes images of other sizes too.

        Raises:
            CardError: The network's library has no such argument.
        """

    def second(self) -> Encoder:
        """Return a new copy of the second encoder that the settings name (the stacked DeiT)."""

    def images(self, split: str) -> Dataset[Tensor]:
        """Return a split's images under the evaluation transform: list of indices -> (b, h, w, c) uint8."""

    def still(self) -> Dataset[Tensor]:
        """Return the training images under the evaluation transform: list of (epoch, index) -> (b, h, w, c) uint8."""

    def pairs(self, split: str) -> Pairs:
        """Return categories, attributes and texts of a split's images, in their order."""

    def drawn(self, seed: int, views: int | None, augment: Augment) -> Dataset[Any]:
        """Return the training images in augmented views: list of (view, index) -> (b, h, w, c) uint8.

        Where the device makes the views, a batch is an `Undrawn`.

        Args:
            seed: Of the draws, where each epoch draws its views anew.
            views: Number of views in a bank, the same for all seeds; 0: clean images; None: anew each epoch.
            augment: What is drawn.
        """

    def crops(self, seed: int, settings: DinoPretrain) -> Dataset[tuple[Tensor, Tensor]]:
        """Return the training images in crops: list of (epoch, index) -> (2, b, g, g, c), (l, b, s, s, c) uint8."""

    def normalise(self, batch: Tensor) -> Tensor:
        """Return a network's input (b, c, h, w) float32 of uint8 images (b, h, w, c), on their device."""

    def bank(
        self, outputs: dict[str, Outputs], wanted: str, limit_gb: float, views: int | None, augment: Augment
    ) -> FeatureBank | None:
        """Return the bank of one of several outputs, made together in one pass; None if it would not be cheaper.

        It would not if every epoch draws new views, or if the bank were larger than `limit_gb` or than half of the free
        disk.

        Args:
            outputs: Name of the output -> images to it.
            wanted: The one to return.
            limit_gb: Limit for all of them together, in GiB.
            views: Number of views of the training images; None: there is no bank.
            augment: How views are drawn.
        """


@dataclass(frozen=True)
class Language:
    """The texts of the classes and the text tower, which has the space of the image features.

    Attributes:
        prompts: The chosen texts.
        others: Further sets of texts, to show how much the number depends on the texts.
        embed: Texts -> their vectors as the tower gives them, (n, d); one call of the tower for all of them, since
            padding can be part of a vector (FLAIR).
        scale: Factor on cosines.
        bias: Added to scaled cosines before a sigmoid (SigLIP); None: the model has none.
        warnings: What a reader of the number must know about the texts.
        rule: How the vectors of a class's texts become one.
    """

    prompts: Prompts
    others: tuple[Prompts, ...]
    embed: Callable[[Sequence[str]], NDArray[np.float32]]
    scale: float
    bias: float | None = None
    warnings: tuple[str, ...] = ()
    rule: Rule = "unit"

    def prototypes(self, texts: ByClass | None = None) -> NDArray[np.float32]:
        """Return one vector for each class by the rule, (c, d); none: of the chosen texts.

        The texts of a class go through the tower in one call, and those of no other class with them (FLAIR).
        """
        return prototypes([self.embed(one) for one in texts or self.prompts.texts], self.rule)


@dataclass(frozen=True)
class Context(Generic[S]):
    """One job: all its seeds.

    Attributes:
        settings: The resolved recipe.
        seeds: The seeds to do.
        classes: Number of classes c.
        multilabel: Whether a sample can have several.
        ordinal: Whether they are in order, such as grades.
        metric: Id of the data set's metric.
        train_targets: (n,) int64 or (n, c) 0/1.
        val_targets: (m,) or (m, c).
        val_groups: Patient of each validation image, (m,), or None where no groups are known.
        inputs: Features of all splits; labels of train and validation only.
        device: Where to compute.
        partial: Folder for the state of unfinished work; removed when the records are written.
        name: The job's name, for messages.
        machine: Processes and precision, for protocols that train networks.
        sweep: All depths that the request asks for, the job's own among them.
        depth: The job's own.
        tuned: Weights file of the fine-tuned network that the protocol examines, if it does.
        keep_weights: Whether outcomes should hold the best weights.
        chosen: What an earlier run of other seeds chose, with its record's `selection`, where these take it over.
        language: Texts and text tower, where the settings use them.
        together: Of siblings, jobs that differ in split or sweep alone: a function of all their contexts -> one result
            each is called once for all of them; returns this job's result.
        split_digest: Digest of the split: jobs with the same digest have the same images in each split.
    """

    settings: S
    seeds: list[int]
    classes: int
    multilabel: bool
    metric: str
    train_targets: NDArray[np.integer]
    val_targets: NDArray[np.integer]
    val_groups: NDArray[np.generic] | None
    inputs: Inputs
    device: torch.device
    partial: Path
    name: str = ""
    machine: Machine | None = None
    sweep: tuple[int, ...] = ()
    depth: int | None = None
    tuned: Path | None = None
    keep_weights: bool = False
    split_digest: str = ""
    ordinal: bool = False
    chosen: Mapping[str, Any] | None = None
    language: Language | None = None
    together: Callable[[Callable[[list[Any]], Sequence[Any]]], Any] | None = None

    @property
    def words(self) -> Language:
        """The language side of a job whose settings use it."""
        assert self.language is not None
        return self.language

    @property
    def criterion(self) -> Criterion:
        """What choices on validation are made by: the settings' metric, else the data set's, where they can tell."""
        asked = getattr(self.settings, "select", None) or self.metric
        return criterion(asked, self.val_targets, self.classes)

    def input_of(self, plain: ModelCard) -> Input:
        """Return the input section of a model's card with the size, colours and transform of this job's images."""
        settings, inputs = self.settings, self.inputs
        return plain.input.model_copy(
            update={
                "size": inputs.image_size,
                "native": inputs.image_size,
                "mean": list(inputs.mean),
                "std": list(inputs.std),
                "interpolation": settings.interpolation,
                "crop": 1 / settings.resize_ratio,
                "fit": settings.fit,
                "foreground": settings.foreground,
            }
        )


class Further(NamedTuple):
    """A further number of one seed.

    Attributes:
        metric: Id of the metric that it is.
        scores: What the metric is computed of on test, (t, c): log-odds, or for a ranking any scores.
    """

    metric: str
    scores: NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """The result of one seed.

    Attributes:
        log_odds_val: Of each class on validation, (m, c), from `medbench.metrics.log_odds`; None: the protocol does not
            classify.
        log_odds_test: The same on test, (t, c), or None.
        chosen: Hyper-parameters chosen on validation.
        selection: Every candidate with its validation curve.
        history: Column -> values, one row per epoch and candidate.
        warnings: What a reader of the number must know.
        metrics: Numbers of a protocol that does not classify; the first is the primary one.
        further: Id in the record's metrics -> a further number of the same images.
        spread: Set of prompts -> log-odds on test with its texts, (t, c).
        counts: Costs and counts of this seed.
        weights: Tensors to keep next to the record.
        arrays: Name -> array to keep next to the record as `name.npy`.
        tables: Name -> columns to keep next to the record as `name.csv`.
        model: Card of the model that `weights` make, to keep next to them; its name, its file and what the run adds to
            `pretraining.data` are filled in later. None: the weights are of the job's own model.
        files: Name -> content of a file that this card names, to keep next to it.
        failed: Why this seed failed; the other fields are empty then.
    """

    log_odds_val: NDArray[np.float64] | None = None
    log_odds_test: NDArray[np.float64] | None = None
    chosen: dict[str, Any] = field(default_factory=dict)
    selection: dict[str, Any] = field(default_factory=dict)
    history: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    further: Mapping[str, Further] = field(default_factory=dict)
    spread: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    counts: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    model: ModelCard | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    failed: str = ""
