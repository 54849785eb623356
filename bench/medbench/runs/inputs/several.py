"""Features of samples with several inputs: one vector per input, pooled over its slices, concatenated."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medbench.cards.recipes import Augment
from medbench.cards.resolve import native
from medbench.data.multi_input import choose_inputs, chosen_slices, pool
from medbench.features.extract import Tally
from medbench.runs.inputs.features import Encoders, JobInputs, without
from medbench.runs.jobs import Job

Features = NDArray[np.float32]


class CombinedInputs:
    """Features of a job whose samples have several inputs (`protocols.context.Inputs`).

    Each input has its own encoder, which the settings may name, its own store and its own cached features.

    Attributes:
        dataset: The data set; samples of which an input has no readable image are in no split.
        left_out: Id of each such sample -> the reason.
        parts: Input -> its features.
        elsewhere: Nothing.
    """

    def __init__(self, job: Job, encoders: Encoders, workers: int, tally: Tally) -> None:
        self.job, self.encoders = job, encoders
        settings = job.settings
        self.elsewhere: tuple[JobInputs, ...] = ()  # such a job is tested on its own data set alone
        self.parts: dict[str, JobInputs] = {}
        for name in choose_inputs(job.dataset.card, settings.inputs, settings.encoders):
            data = job.dataset.inputs.get(name)
            data = job.dataset if data is None else chosen_slices(data, settings.slices, settings.stride)
            self.parts[name] = JobInputs(_job_of(job, name, data), encoders, workers, tally)
        self._scales: dict[str, float] = {}
        self.left_out = {sample: why for part in self.parts.values() for sample, why in _gone(job, part).items()}
        self.dataset = without(job.dataset, set(self.left_out)) if self.left_out else job.dataset

    def clean(self, split: str) -> Features:
        """Return the features of a split's samples under the evaluation transform, (n, sum of d)."""
        rows = self.dataset.rows(split)
        return self._beside(lambda part: self._of(part, part.everything(), np.arange(len(part.dataset.samples)), rows))

    def views(self, number: int, augment: Augment) -> list[Features]:
        """Return the features of each augmented view of the training samples, (n, sum of d)."""
        rows = self.dataset.rows("train")
        views = {name: part.views(number, augment) for name, part in self.parts.items()}
        names = {id(part): name for name, part in self.parts.items()}

        def one(view: int) -> Features:
            return self._beside(
                lambda part: self._of(part, views[names[id(part)]][view], part.dataset.rows("train"), rows)
            )

        return [one(view) for view in range(max(1, number))]

    def described(self) -> dict[str, Any]:
        """Return a description of each network's input, for the record."""
        return {
            name: {
                **part.described(),
                "model": part.job.model.name,
                "weights": part.job.weights.sha256,
                "pictures": len(part.dataset.samples),
            }
            for name, part in self.parts.items()
        }

    def _of(self, part: JobInputs, features: Features, at: NDArray[np.intp], rows: NDArray[np.intp]) -> Features:
        """Return one row per sample in `rows`, pooled from the features of an input's images at the positions `at`."""
        samples = part.dataset.samples
        owner = samples["owner"].to_numpy()[at] if "owner" in samples else at
        wanted = np.isin(owner, rows) & (samples["split"].to_numpy()[at] != "")
        return pool(np.asarray(features)[wanted], owner[wanted], self.job.settings.slices)

    def _beside(self, of: Callable[[JobInputs], Features]) -> Features:
        for name, part in self.parts.items():
            self._scales.setdefault(name, self._scale(part))
        blocks = [of(part) / self._scales[name] for name, part in self.parts.items()]
        return np.concatenate(blocks, axis=1).astype(np.float32)

    def _scale(self, part: JobInputs) -> float:
        """Return the root mean square length of an input's training features: divided by it, all inputs weigh alike."""
        if not self.job.settings.balance or len(self.parts) == 1:
            return 1.0
        every = np.arange(len(part.dataset.samples))
        train = self._of(part, part.everything(), every, self.dataset.rows("train"))
        return float(np.sqrt(np.square(train, dtype=np.float64).sum(axis=1).mean())) or 1.0


def _job_of(job: Job, name: str, data: Any) -> Job:
    """Return the job of one input: its images and its encoder."""
    model, weights = job.others.get(name, (job.model, job.weights))
    settings = native(job.settings, model)
    size = job.options.image_size or settings.image_size or model.input.size
    return dataclasses.replace(
        job, model=model, weights=weights, dataset=data, settings=settings, image_size=size, others={}
    )


def _gone(job: Job, part: JobInputs) -> dict[str, str]:
    """Return the samples of which an input has no readable image, with the reason."""
    samples = part.dataset.samples
    if "owner" not in samples:
        return part.left_out
    left = set(samples["owner"][samples["split"] != ""])
    whole = job.dataset.samples
    lost = [i for i in np.flatnonzero(whole["split"] != "") if i not in left]
    return {str(whole["id"][i]): "no readable slice" for i in lost}
