"""The recipes of the MedMNIST+ benchmark on a synthetic twin of one of its sets."""

from __future__ import annotations

from pathlib import Path

import pytest

import medbench
from medbench.cards import find_dataset
from medbench.data.twins.twin import synthesise

pytestmark = pytest.mark.usefixtures("one_thread")
SHORT = {"epochs": 2, "image_size": 64, "batch_size": 16}


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("twins")
    for name in ("breastmnist", "chestmnist"):
        (root / name).mkdir()
        synthesise(find_dataset(f"medmnist/{name}"), root / name / "medmnist")
    return root


@pytest.mark.parametrize("dataset", ["breastmnist", "chestmnist"])
@pytest.mark.parametrize("preset", ["medmnistplus", "fixed"])
def test_each_preset_runs_on_a_grey_set_and_on_findings(twins: Path, tmp_path: Path, dataset: str, preset: str) -> None:
    records = medbench.run(
        model="toy-cnn",
        protocol="knn,linear-online,linear-unfrozen",
        dataset=f"medmnist/{dataset}",
        preset=preset,
        seeds=1,
        set=SHORT,
        data_root=twins / dataset,
        runs=tmp_path,
        device="cpu",
    )
    found = {record.unit.protocol: record for record in records}
    assert len(found) == 3
    for record in records:
        assert record.metrics["accuracy_label" if dataset == "chestmnist" else "accuracy"] is not None
        assert record.material["dataset"]["channels"] == (3 if preset == "medmnistplus" else 1), "grey is repeated"
    if preset == "medmnistplus":
        assert found["knn"].chosen["k"] == 11
        assert (
            found["linear-online"].chosen["val_metric"] == found["linear-unfrozen"].chosen["val_metric"] == "log_loss"
        )
        assert found["linear-unfrozen"].counts["forwards"] == 0


def test_volumes_are_read_slice_by_slice(tmp_path: Path) -> None:
    synthesise(find_dataset("medmnist/nodulemnist3d"), tmp_path / "medmnist")
    [record] = medbench.run(
        model="toy-cnn",
        protocol="knn",
        dataset="medmnist/nodulemnist3d",
        preset="medmnistplus",
        set={"inputs": ["volume"], "stride": 9, "image_size": 64},
        data_root=tmp_path,
        runs=tmp_path / "runs",
        device="cpu",
    )
    assert record.counts["forwards"] == 3 * 60, "slices 5, 14 and 23"
