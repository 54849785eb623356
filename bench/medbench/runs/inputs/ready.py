"""The features of a job's images from a file: no image is decoded, no network is built."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medbench.cards.recipes import Augment
from medbench.errors import DataError
from medbench.features.extract import Tally
from medbench.models.weights.locate import require_unchanged
from medbench.runs.inputs.features import Encoders, JobInputs
from medbench.runs.jobs import Job
from medbench.storage.arrays.feature_files import read_table


class ReadyInputs(JobInputs):
    """Features of one job's images (`protocols.context.Inputs`), read from the file that is the job's model."""

    def __init__(self, job: Job, encoders: Encoders, tally: Tally) -> None:
        self.job, self.tally, self.encoders, self.banks = job, tally, encoders, []
        self.dataset, self.left_out = job.dataset, {}  # whoever made the file could read the images
        assert job.weights.path is not None
        self.table = read_table(job.weights.path)
        require_unchanged(job.weights)
        self.elsewhere = [ReadyInputs(job.elsewhere(shift), encoders, tally) for shift in job.shifts]
        made_of, name = self.table.about.get("data"), self.dataset.card.name
        if made_of not in (None, self.dataset.digest):
            raise DataError(
                f"{job.weights.path} has features of {self.table.about.get('dataset')}, not of {name}",
                f"to write those of {name}: medbench features MODEL {name} --to FILE",
            )

    def everything(self) -> NDArray[np.float32]:
        """Return the features of all images of the data set, (n, d); zeros for images in no split."""
        samples = self.dataset.samples
        rows = np.flatnonzero(samples["split"] != "")
        assert self.job.weights.path is not None
        found = np.zeros((len(samples), self.table.values.shape[1]), np.float32)
        found[rows] = self.table.of(samples["id"].iloc[rows].tolist(), self.job.weights.path)
        self.tally.reused += len(rows)
        return found

    def views(self, number: int, augment: Augment) -> list[NDArray[np.float32]]:
        """Return the features of the training images; a plan refuses a file where views are to be drawn."""
        assert number == 0
        return [self.clean("train")]

    def described(self) -> dict[str, Any]:
        """Return what the file says of its features, for the record."""
        return {"features": self.table.about}
