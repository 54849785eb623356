"""The features of all images of a data set, as a file for other programs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch

from medbench.errors import MedbenchError
from medbench.features.extract import Tally
from medbench.runs.device import choose_device, choose_workers
from medbench.runs.inputs.choose import features_of
from medbench.runs.inputs.features import Encoders, JobInputs
from medbench.runs.jobs import Options
from medbench.runs.plan import make_plan
from medbench.runs.results.provenance import weights_of
from medbench.storage.arrays.feature_files import FeatureTable, form_of, write_table

PROTOCOL = "knn"
"""Whose transform and settings are used: it takes the features as they are."""


def export_features(model: str, dataset: str, to: Path, options: Options) -> FeatureTable:
    """Write the pooled features of a data set's images to a file, and return them.

    Features that are stored already are not computed again. Images in no split are left out.

    Args:
        model: One model.
        dataset: One data set whose samples are single images.
        to: The file; its ending says how it is written: .parquet, .npz or .safetensors.
        options: As for `run`: preset, weights, image size, device and so on.

    Raises:
        MedbenchError: Something in the request is wrong.
    """
    form_of(to)  # a wrong ending is refused before the features are computed
    jobs = make_plan(model, PROTOCOL, dataset, dataclasses.replace(options, seeds=1)).jobs
    if len(jobs) != 1 or jobs[0].dataset.inputs:
        what = "samples with several images" if jobs[0].dataset.inputs else f"{len(jobs)} models or data sets"
        raise MedbenchError(
            f"a features file is for one model and one image per sample, not for {what}",
            "give one model and one data set",
        )
    job, device = jobs[0], torch.device(choose_device(options.device))
    inputs = features_of(job, Encoders(device), choose_workers(options.workers, device.type), Tally())
    assert isinstance(inputs, JobInputs)
    samples = inputs.dataset.samples
    rows = np.flatnonzero(samples["split"] != "")
    about = {
        "model": job.model.name,
        "dataset": job.dataset.card.name,
        "data": job.dataset.digest,
        "weights": weights_of(job),
        "pretraining": job.model.pretraining.model_dump(mode="json"),
        "image_size": job.image_size,
        "precision": job.precision,
        "preset": options.preset,
        "input": inputs.described(),
    }
    table = FeatureTable(samples["id"].iloc[rows].tolist(), np.asarray(inputs.everything()[rows]), about)
    write_table(to, table)
    return table
