"""Samples with several inputs: a picture and the slices of a volume, through the whole run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import medbench
from medbench.data.load import load_dataset
from medbench.data.prepared.transforms import normalise
from medbench.errors import CardError, DataError
from medbench.features.extract import Tally
from medbench.models.load import load_model
from medbench.runs.inputs.features import Encoders
from medbench.runs.inputs.several import CombinedInputs
from medbench.runs.jobs import Options
from medbench.runs.plan import make_plan

from ...data.made import CASES, pairs_of


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return pairs_of(tmp_path / "pairs")


def run(pairs: Path, **changes: Any) -> Any:
    (record,) = medbench.run(
        model="toy-cnn", protocol="knn", dataset=str(pairs / "pairs.yaml"), device="cpu", set={"k": 3, **changes}
    )
    return record


def test_features_are_pooled_balanced_and_side_by_side(pairs: Path) -> None:
    data = load_dataset(str(pairs / "pairs.yaml"))
    plan = make_plan("toy-cnn", "knn", str(pairs / "pairs.yaml"), Options(changes={"k": 3}))
    inputs = CombinedInputs(plan.jobs[0], Encoders(torch.device("cpu")), 0, Tally())
    enc = load_model("toy-cnn")

    def features(name: str) -> np.ndarray:
        part = inputs.parts[name]
        x = torch.from_numpy(np.ascontiguousarray(part.store.images[:, 4:68, 4:68]))
        with torch.inference_mode():
            return enc.pooled(normalise(x, part.mean, part.std)).numpy()

    owner = data.inputs["oct"].samples["owner"].to_numpy()
    eye = features("fundus")
    volume = np.stack([features("oct")[owner == i].mean(axis=0) for i in range(CASES)])
    rows, train = data.rows("test"), data.rows("train")
    blocks = [block[rows] / np.sqrt(np.square(block[train]).sum(1).mean()) for block in (eye, volume)]
    np.testing.assert_allclose(inputs.clean("test"), np.concatenate(blocks, axis=1), rtol=1e-3, atol=1e-5)
    assert inputs.described()["oct"]["pictures"] == len(owner)


def test_each_input_alone_and_both(pairs: Path) -> None:
    both, eye, volume = run(pairs), run(pairs, inputs=["fundus"]), run(pairs, inputs=["oct"])
    assert volume.metrics["auroc"] == 1.0, "the slices tell the class"
    assert eye.metrics["auroc"] < 1.0, "the picture does not"
    assert len({both.key, eye.key, volume.key}) == 3
    assert set(eye.provenance["input"]) == {"fundus"}


def test_an_encoder_of_its_own(pairs: Path) -> None:
    own = run(pairs, encoders={"oct": "toy-vit"})
    assert own.provenance["input"]["oct"]["model"] == "toy-vit"
    assert own.provenance["input"]["fundus"]["model"] == "toy-cnn"
    assert own.key != run(pairs).key


def test_one_random_or_contaminated_encoder_marks_the_record(pairs: Path, tmp_path: Path) -> None:
    torch.save(load_model("toy-cnn").network.state_dict(), tmp_path / "own.pth")
    seen = yaml.safe_load((Path(__file__).parents[3] / "model_zoo" / "toy-vit.yaml").read_text())
    (tmp_path / "seen.yaml").write_text(yaml.safe_dump({**seen, "name": "seen", "pretraining": {"data": ["pairs"]}}))
    options = {
        "model": "toy-cnn",
        "protocol": "knn",
        "dataset": str(pairs / "pairs.yaml"),
        "weights": tmp_path / "own.pth",
    }
    (plain,) = medbench.run(**options, set={"k": 3})
    assert plain.unit.weights == "file"
    assert not any(w.startswith(("random", "contamination")) for w in plain.warnings)
    (mixed,) = medbench.run(**options, set={"k": 3, "encoders": {"oct": str(tmp_path / "seen.yaml")}})
    assert mixed.unit.weights == "random"
    assert any(w.startswith("random weights") for w in mixed.warnings)
    assert "contamination: seen was pre-trained on pairs" in mixed.warnings


def test_unknown_inputs_are_told(pairs: Path) -> None:
    with pytest.raises(CardError, match="unknown input of pairs 'octt'") as caught:
        run(pairs, inputs=["octt"])
    assert "oct" in caught.value.hint
    with pytest.raises(CardError, match="unknown input of toy 'oct'"):
        medbench.run(model="toy-cnn", protocol="knn", dataset="toy", set={"encoders": {"oct": "toy-vit"}})


def test_an_unreadable_slice_is_left_out_of_its_volume(pairs: Path) -> None:
    (pairs / "007" / "oct" / "0_s.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="cannot be"):
        run(pairs)
    (record,) = medbench.run(
        model="toy-cnn", protocol="knn", dataset=str(pairs / "pairs.yaml"), set={"k": 3}, unreadable="leave-out"
    )
    assert sum(record.n[s].images for s in ("train", "val", "test")) == CASES
    for path in (pairs / "007" / "oct").glob("*.png"):
        path.write_bytes(b"no picture")
    (record,) = medbench.run(
        model="toy-cnn", protocol="knn", dataset=str(pairs / "pairs.yaml"), set={"k": 3}, unreadable="leave-out"
    )
    assert sum(record.n[s].images for s in ("train", "val", "test")) == CASES - 1
    assert any("007" in warning for warning in record.warnings)


def test_a_linear_head_on_views_of_both(pairs: Path) -> None:
    changes = {"views": 2, "epochs": 3, "learning_rates": [0.1, 1.0]}
    records = medbench.run(
        model="toy-cnn", protocol="linear-frozen", dataset=str(pairs / "pairs.yaml"), seeds=2, set=changes
    )
    assert len(records) == 2
    assert records[0].counts["forwards"] > 0
