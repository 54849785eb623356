"""Where a record comes from, read back from a job and from the machine."""

from __future__ import annotations

import platform
import resource
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from medbench.runs.jobs import Options
from medbench.runs.plan import make_plan
from medbench.runs.results.provenance import LIBRARIES, peak_memory_mb, provenance
from medbench.storage import files


def test_the_origin_names_machine_weights_data_and_split(pictures: Path) -> None:
    (job,) = make_plan("toy-vit", "knn", str(pictures), Options(changes={"k": 5})).jobs
    inputs = SimpleNamespace(
        dataset=job.dataset,
        encoders=SimpleNamespace(device=torch.device("cpu")),
        left_out={"images/004.png": "truncated"},
        described=lambda: {"mean": [0.5]},
    )
    found = provenance(job, inputs)
    assert found["libraries"]["torch"] == version("torch")
    assert set(found["libraries"]) == set(LIBRARIES)
    assert (found["python"], found["device"]) == (platform.python_version(), f"cpu ({platform.machine()})")
    assert found["weights"] == {"file": None, "sha256": "random:0", "origin": "random", "licence": ""}
    assert found["data"]["split_digest"] == job.dataset.split_digest
    tested = job.dataset.samples["id"][job.dataset.samples["split"] == "test"]
    assert found["data"]["test_digest"] == files.digest(sorted(tested))
    assert found["data"]["left_out"] == {"images/004.png": "truncated"}
    assert (found["input"], found["seeds"]) == ({"mean": [0.5]}, [0])


def test_peak_memory_is_that_of_the_process_and_never_falls() -> None:
    before = peak_memory_mb(torch.device("cpu"))
    block = np.ones(4 * 2**20)  # 32 MiB
    after = peak_memory_mb(torch.device("cpu"))
    assert after >= before > 10
    assert after == pytest.approx(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, abs=64)
    assert block.sum() == 4 * 2**20
