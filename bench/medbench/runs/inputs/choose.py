"""Which inputs a job has: features of one image or of several, networks and images, or a features file."""

from __future__ import annotations

from medbench.cards.catalogues.features_file import LIBRARY
from medbench.features.extract import Tally
from medbench.runs.inputs.features import Encoders, JobInputs
from medbench.runs.inputs.several import CombinedInputs
from medbench.runs.jobs import Job


def features_of(job: Job, encoders: Encoders, workers: int, tally: Tally) -> JobInputs | CombinedInputs:
    """Return the features of a job's images."""
    if job.dataset.inputs:
        return CombinedInputs(job, encoders, workers, tally)
    if job.model.library == LIBRARY:
        from medbench.runs.inputs.ready import ReadyInputs

        return ReadyInputs(job, encoders, tally)
    return JobInputs(job, encoders, workers, tally)


def inputs_of(job: Job, encoders: Encoders, workers: int, tally: Tally) -> JobInputs | CombinedInputs:
    """Return what a job's protocol takes: features, or images and networks, too."""
    if job.dataset.inputs or not job.kind.beyond_pooled:
        return features_of(job, encoders, workers, tally)
    from medbench.runs.inputs.images import NetworkInputs

    return NetworkInputs(job, encoders, workers, tally)
