"""Inputs of jobs that train networks: cached outputs of a frozen part against the images themselves."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from medbench.cards.recipes import Augment
from medbench.data.prepared.transforms import Drawn
from medbench.features.extract import Tally
from medbench.runs.inputs import features
from medbench.runs.inputs.features import Encoders
from medbench.runs.inputs.images import NetworkInputs
from medbench.runs.jobs import Options
from medbench.runs.plan import make_plan
from medbench.storage import cache_folder

from ..conftest import train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("protocol", "changes"),
    [
        ("freeze", {"frozen": 2, "learning_rates": [3e-3]}),
        ("deit-frozen", {}),
        ("decapitate-frozen", {"kept": [1, 2], "learning_rates": [3e-3]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_cached_outputs_give_the_numbers_of_the_images(
    data: Path, tmp_path: Path, protocol: str, changes: dict
) -> None:
    cached = train(data, protocol, seeds=1, changes=changes)
    plain = train(data, protocol, seeds=1, changes={**changes, "cache_gb": 0}, runs=tmp_path / "b")
    assert [r.key for r in cached] == [r.key for r in plain]
    assert all(r.counts["forwards"] == 0 for r in plain), "nothing was cached"
    assert sum(r.counts["forwards"] for r in cached) == 90 + 2 * cached[0].n["train"].images, "one pass for all depths"
    for one, other in zip(cached, plain, strict=True):
        assert one.chosen["learning_rate"] == other.chosen["learning_rate"]
        scores = [
            pd.read_parquet(r.path / "predictions.parquet").filter(like="score_").to_numpy() for r in (one, other)
        ]
        assert np.abs(scores[0] - scores[1]).max() < 1e-4, "rounding, grown over 12 steps"


@pytest.mark.parametrize(
    ("protocol", "changes"),
    [("linear-frozen", {}), ("linear-unfrozen", {"views": None, "epochs": 1, "micro_batch": 7})],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_views_made_on_the_device_give_the_same_bits(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str, changes: dict
) -> None:
    changes = {"learning_rates": [3e-3], **changes}
    plain = train(data, protocol, seeds=1, changes=changes)
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))  # else the features are there
    monkeypatch.setattr(features, "augments_late", lambda *_: True)
    monkeypatch.setattr(Drawn, "__getitems__", lambda *_: pytest.fail("a loader made the views"))
    late = train(data, protocol, seeds=1, changes=changes, runs=tmp_path / "b")
    assert [r.key for r in late] == [r.key for r in plain]
    for one, other in zip(plain, late, strict=True):
        predictions = [pd.read_parquet(r.path / "predictions.parquet") for r in (one, other)]
        pd.testing.assert_frame_equal(*predictions, check_exact=True)


def test_a_network_gets_copies_of_the_encoder_and_normalised_images(data: Path) -> None:
    options = Options(seeds=1, changes={"learning_rates": [1e-3]})
    (job,) = make_plan("toy-vit", "linear-unfrozen", str(data), options).jobs
    inputs = NetworkInputs(job, Encoders(torch.device("cpu")), 0, Tally())
    one, two = inputs.encoder(), inputs.encoder()
    assert one is not two
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.data_ptr() != b.data_ptr()
    rows = job.dataset.rows("val")
    images = inputs.images("val")
    batch = images[[0, 1]]
    assert (len(images), batch.dtype) == (len(rows), torch.uint8)
    shown = inputs.normalise(batch)
    by_hand = (batch.numpy().transpose(0, 3, 1, 2) / 255 - np.reshape(inputs.mean, (-1, 1, 1))) / np.reshape(
        inputs.std, (-1, 1, 1)
    )
    np.testing.assert_allclose(shown.numpy(), by_hand, atol=1e-5)


def test_a_bank_stays_while_another_process_uses_it(data: Path) -> None:
    (job,) = make_plan("toy-vit", "freeze", str(data), Options(seeds=1, changes={"frozen": 2})).jobs

    def bank() -> Path:
        inputs = NetworkInputs(job, Encoders(torch.device("cpu")), 0, Tally())
        assert inputs.bank({"one": lambda encoder, x: [encoder.pooled(x)]}, "one", 1.0, 0, Augment()) is not None
        return inputs.banks[0].path

    folder = bank()
    (other,) = folder.parent.glob(".*.user")
    other = other.rename(other.with_name(other.name.replace(f"-{os.getpid()}.", f"-{os.getppid()}.")))
    assert bank() == folder
    cache_folder.release(folder)
    assert (folder / "features.npy").is_file()
    assert list(folder.parent.glob(".*.user")) == [other]
