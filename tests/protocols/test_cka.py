"""CKA before and after fine-tuning, and features to be compared among models, on whole runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import medbench
from medbench.protocols import cka
from medbench.records import store
from medbench.storage import paths

SHORT = {"epochs": 2, "learning_rates": [1e-2], "batch_size": 16, "warmup_epochs": 0, "plateau": False, "batch": 8}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    source, rows = np.random.default_rng(0), ["image,label"]
    for i in range(80):
        wave = np.sin(np.arange(72) * (0.4 + 0.5 * (i % 2)) + source.uniform(0, 6))
        grey = 128 + 60 * wave[None, :, None] + source.normal(scale=30, size=(72, 72, 3))
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{i:03d}.png")
        rows.append(f"{i:03d}.png,{i % 2}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "labels.csv"


pytestmark = pytest.mark.usefixtures("one_thread")


def run(data: Path, protocol: str, **changes: Any) -> list[medbench.Record]:
    return medbench.run(model="toy-vit", protocol=protocol, dataset=str(data), seeds=2, set={**SHORT, **changes})


def matrix(record: medbench.Record) -> np.ndarray:
    frame = pd.read_csv(record.path / "cka.csv")
    return frame.pivot(index="tuned_layer", columns="start_layer", values="cka").to_numpy()


def test_the_fine_tuned_network_is_made_first_and_compared(data: Path) -> None:
    *tuned, record = run(data, "cka")
    assert [(r.unit.protocol, r.unit.seed) for r in tuned] == [("linear-unfrozen", 0), ("linear-unfrozen", 1)]
    assert (tuned[0].path / "weights.safetensors").is_file()
    assert not (tuned[1].path / "weights.safetensors").exists(), "one seed's weights are enough"
    found = matrix(record)
    assert found.shape == (4, 4)
    assert record.metric == "cka_last"
    assert record.metrics["cka_last"] == pytest.approx(found[3, 3])
    assert record.metrics["cka_diagonal_mean"] == pytest.approx(np.diagonal(found).mean())
    assert (np.diagonal(found) < 0.999).all(), "training has changed every layer"
    assert record.unit.weights == "random"
    assert not (record.path / "predictions.parquet").exists()
    again = run(data, "cka")
    assert again[-1].path == record.path
    assert len(list(store.read_all(paths.runs_dir()))) == 3


def test_an_untrained_network_is_equal_to_its_start(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = cka.network_of
    monkeypatch.setattr(cka, "network_of", lambda context, *, tuned=False: plain(context))
    found = matrix(run(data, "cka")[-1])
    assert np.diagonal(found) == pytest.approx(np.ones(4), abs=1e-5)
    assert found == pytest.approx(found.T, abs=1e-5)


@pytest.mark.parametrize("tuned", ["deit-frozen", "deit-unfrozen"])
def test_the_stacked_networks_blocks(data: Path, tuned: str) -> None:
    more = {"views": 1} if tuned == "deit-frozen" else {}
    record = run(data, "cka", tuned=tuned, classifier="toy-vit", **more)[-1]
    assert record.unit.options["tuned"] == tuned
    found = matrix(record)
    assert found.shape == (4, 4)
    assert np.abs(found).max() <= 1 + 1e-6
    assert found[3, 3] < 0.999


def test_features_of_two_models_are_of_the_same_images(data: Path) -> None:
    records = medbench.run(
        model="toy-vit,toy-cnn", protocol="cka-models", dataset=str(data), seeds=1, set={**SHORT, "images": 10}
    )
    one, other = (r for r in records if r.unit.protocol == "cka-models")
    assert one.chosen == other.chosen
    assert one.chosen["images"] == 10
    features = np.load(one.path / "features.npy")
    assert features.shape == (10, 96)
    assert 1 <= one.metrics["feature_rank"] <= 10
