"""Where a record comes from: versions, device, weights, data."""

from __future__ import annotations

import platform
import resource
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from medbench.runs.cluster.task_here import task_here
from medbench.runs.inputs.features import JobInputs
from medbench.runs.inputs.several import CombinedInputs
from medbench.runs.jobs import Job
from medbench.storage import files
from medbench.storage.version import commit

LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "accelerate",
    "open_clip_torch",
    "transformers",
    "numpy",
    "pillow",
    "scikit-learn",
    "pandas",
)


def provenance(job: Job, inputs: JobInputs | CombinedInputs) -> dict[str, Any]:
    """Return the origin of a number: code, libraries, machine, weights, data and split."""
    device, data = inputs.encoders.device, inputs.dataset
    return {
        "medbench": _version("medbench"),
        **({"command": job.options.command} if job.options.command else {}),
        "commit": commit(),
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})",
        "threads": torch.get_num_threads(),
        **({"task": here} if (here := task_here()) else {}),
        "weights": weights_of(job),
        "encoder": {
            "library": job.model.library,
            "features": job.model.features.model_dump(mode="json", exclude_none=True),
            "transform": job.settings.transform,
        },
        "data": {
            "digest": job.dataset.digest,
            **({"source": source} if (source := job.dataset.card.links.get("source")) else {}),
            "licence": job.dataset.card.licence,
            "split": job.dataset.split_name,
            "split_digest": job.dataset.split_digest,
            "test_digest": files.digest(sorted(data.samples["id"].iloc[data.rows("test")])),
            "left_out": inputs.left_out | dict.fromkeys(job.dataset.missing, "not there"),
        },
        "input": inputs.described(),
        **({"language": job.language.described()} if job.language else {}),
        "seeds": list(job.seeds),
    }


def weights_of(job: Job) -> dict[str, Any]:
    """Return what is known of the file of a job's weights."""
    return {
        "file": job.weights.path.name if job.weights.path else None,
        "sha256": job.weights.sha256,
        "origin": job.weights.origin,
        "licence": job.model.weights.licence if job.model.weights else "",
    }


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak memory of this process in MiB: on the GPU if it used one, else resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
