"""The features of a job's images: prepared images, an encoder when it is needed, the feature store."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from medbench.cards.recipes import Augment
from medbench.data.dataset import Dataset
from medbench.data.prepared import store as pixels
from medbench.data.prepared.transforms import Clean, Corrupted, Drawn, Late, Views
from medbench.data.splits.split_file import refuse_empty
from medbench.errors import DataError
from medbench.features.extract import Extraction, Tally, features_in_turn
from medbench.features.spec import FeatureSpec
from medbench.features.store import FeatureFolder
from medbench.models.encoder import Encoder
from medbench.models.load import load_model
from medbench.progress import bar
from medbench.runs.device import augments_late
from medbench.runs.jobs import Job
from medbench.storage import files

VIEW_SEED = 0

Statistics = tuple[list[float], list[float]]
"""Mean and standard deviation of each channel."""


class Encoders:
    """Holds the last encoder: the jobs of a plan that share an encoder follow each other."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._key: str = ""
        self._encoder: Encoder | None = None

    def get(self, job: Job) -> Encoder:
        """Return the job's encoder, on the device, frozen and in eval mode."""
        channels, rule = job.dataset.card.channels, job.settings.channel_rule
        key = files.digest([job.model.material(), job.weights.sha256, job.image_size, channels, rule])
        if self._encoder is None or key != self._key:
            self._encoder = None  # frees its memory before the next one is built
            self._encoder = load_model(
                job.model,
                weights=job.weights,
                image_size=job.image_size,
                in_chans=channels,
                channel_rule=rule,
                device=str(self.device),
            ).channels_last()
            self._key = key
        return self._encoder


class JobInputs:
    """Features of one job's images (`protocols.context.Inputs`).

    Attributes:
        dataset: The data set, without unreadable images if the user said `--unreadable leave-out`.
        left_out: Id of each image left out -> the reason.
        side: Side of the images that networks are given; `normalise` pads smaller ones to the input.
        mean: Mean used for normalisation.
        std: Standard deviation used for normalisation.
        elsewhere: The inputs of each further data set that the job is tested on, normalised as the job's own images.
    """

    def __init__(
        self, job: Job, encoders: Encoders, workers: int, tally: Tally, statistics: Statistics | None = None
    ) -> None:
        self.job, self.tally, self.workers, self.encoders = job, tally, workers, encoders
        self.banks: list[FeatureFolder] = []  # removed at the end of the plan: they can be large
        card = job.dataset.card
        rule = pixels.rule_for(job.dataset, job.settings, job.image_size)
        self.side = min(rule.size, job.image_size)
        self.store = pixels.prepare(job.dataset, rule, workers=workers or None)
        self.left_out = dict(self.store.unreadable)
        if self.left_out and job.options.unreadable == "stop":
            pixels.refuse_unreadable(self.store)
        self.dataset = without(job.dataset, set(self.left_out)) if self.left_out else job.dataset
        self.mean, self.std = statistics or self._statistics()
        shown = self.mean, self.std
        self.elsewhere: Sequence[JobInputs] = [
            type(self)(job.elsewhere(shift), encoders, workers, tally, shown) for shift in job.shifts
        ]
        for inputs in self.elsewhere:
            inputs.banks = self.banks
            if inputs.side != self.side:
                raise DataError(
                    f"{inputs.dataset.card.name} has images of {inputs.side} pixels, and {card.name} of {self.side}",
                    "fit=centre does not resize: test on images of the same size",
                )

    def clean(self, split: str) -> NDArray[np.float32]:
        """Return the features of a split's images under the evaluation transform, (n, d).

        After the job's own test images come those of each further data set that it is tested on.
        """
        own = self.everything()[self._at(split)]
        if split != "test" or not self.elsewhere:
            return own
        return np.concatenate([own, *(inputs.clean(split) for inputs in self.in_turn())])

    def in_turn(self) -> Iterator[JobInputs]:
        """Yield each of `elsewhere`; a bar counts the images of those that are done with."""
        what = f"{self.job.model.name} on {self.dataset.card.name}: further test sets"
        with bar(what, sum(len(inputs._rows) for inputs in self.elsewhere)) as advance:
            for inputs in self.elsewhere:
                yield inputs
                advance(len(inputs._rows))

    def described(self) -> dict[str, Any]:
        """Return a description of the network's input, for the record."""
        return {"mean": self.mean, "std": self.std, "store": self.store.digest}

    def views(self, number: int, augment: Augment) -> list[NDArray[np.float32]]:
        """Return the features of each augmented view of the training images, (n, d), as memory maps of their files."""
        if number == 0:
            return [self.clean("train")]
        rows = self.dataset.rows("train")
        spec, marked = self._spec(), files.digest(rows.tolist())
        size, name = self.side, f"{self.job.model.name} on {self.dataset.card.name}"
        tasks = []
        for view in range(number):
            images = self._placed(Views(self.store, rows, size, augment, VIEW_SEED, view))
            what = f"{name}: view {view + 1}/{number}"
            drawn = spec.of_view(view, marked, augment, VIEW_SEED)
            tasks.append(Extraction([drawn], images, len(rows), what))
        return [found for (found,) in self._features(tasks)]

    def everything(self) -> NDArray[np.float32]:
        """Return the features of all images of the data set under the evaluation transform, (n, d).

        Of a corrupted data set, those of its test images.
        """
        images = self._still(self._rows)
        what = f"{self.job.model.name} on {self.dataset.card.name}: {self.dataset.corruption or 'clean pass'}"
        [[found]] = self._features([Extraction([self._spec()], images, len(images), what)])
        return found

    @property
    def _rows(self) -> NDArray[np.intp]:
        """The rows of the store that go through the encoder: all, or the test images if they are corrupted."""
        return np.arange(len(self.dataset.samples)) if self.dataset.corruption is None else self.dataset.rows("test")

    def _at(self, split: str) -> NDArray[np.intp]:
        """Return the places of a split's images among `_rows`."""
        return np.searchsorted(self._rows, self.dataset.rows(split))

    def _still(self, rows: NDArray[np.intp]) -> Clean:
        """Return images under the evaluation transform, corrupted if the data set is."""
        how, size = self.dataset.corruption, self.side
        return Clean(self.store, rows, size) if how is None else Corrupted(self.store, rows, size, how, self._ids(rows))

    def _ids(self, rows: NDArray[np.intp]) -> list[str]:
        found: list[str] = self.dataset.samples["id"].to_numpy()[rows].tolist()
        return found

    def _placed(self, images: Drawn) -> Drawn | Late:
        """Return augmented images that are made by loaders or, where these are too few, on the device."""
        return Late(images) if augments_late(self.encoders.device.type, self.workers) else images

    def _features(self, tasks: Sequence[Extraction]) -> list[list[NDArray[np.float32]]]:
        encoder: Callable[[], Encoder] = lambda: self.encoders.get(self.job)  # noqa: E731 - built only on a miss
        return features_in_turn(tasks, encoder, self.encoders.device, self.workers, self.tally)

    def _spec(self) -> FeatureSpec:
        job, how, rows = self.job, self.dataset.corruption, self._rows
        return FeatureSpec(
            dataset=self.dataset.card.name,
            model=job.model.name,
            card=job.model.material(),
            weights=job.weights.sha256,
            store=self.store.digest,
            image_size=job.image_size,
            channels=self.dataset.card.channels,
            channel_rule=job.settings.channel_rule,
            mean=tuple(self.mean),
            std=tuple(self.std),
            precision=job.precision,
            rows="all" if how is None else files.digest(rows.tolist()),
            corruption=None if how is None else {**how.material, "ids": files.digest(self._ids(rows))},
        )

    def _statistics(self) -> Statistics:
        """Return mean and standard deviation as the settings say: the model's, the card's, or the training split's."""
        card, channels = self.dataset.card, self.dataset.card.channels
        if self.job.settings.normalise == "none":
            return [0.0] * channels, [1.0] * channels
        if self.job.settings.normalise == "model":
            mean, std = self.job.model.input.mean, self.job.model.input.std
            same = channels == len(mean)  # one-channel data use the mean over the model's channels
            return (mean, std) if same else ([float(np.mean(mean))] * channels, [float(np.mean(std))] * channels)
        if card.mean is not None and card.std is not None:
            return card.mean, card.std
        rows = self.dataset.rows("train")
        if self.job.options.folds or not len(rows):  # all that is in some part: what was left out is zeros in the store
            rows = np.flatnonzero(self.dataset.samples["split"] != "")
        kept = self.store.path / f"stats-{files.digest(rows.tolist())[:12]}.json"
        if (known := files.read_sealed(kept)) is None:
            known = pixels.channel_stats(self.store, rows)
            files.write_sealed(kept, known)
        mean, std = known
        return mean, std


def without(dataset: Dataset, ids: set[str]) -> Dataset:
    """Return the data set with some samples in no split; their rows stay, since the prepared store has them."""
    samples = dataset.samples.copy()
    samples.loc[samples["id"].isin(ids), "split"] = ""
    where = f"{dataset.card.name} without its {len(ids)} unreadable images"
    refuse_empty(samples["split"].to_numpy(), where, set(dataset.samples["split"]))
    return dataclasses.replace(dataset, samples=samples)
