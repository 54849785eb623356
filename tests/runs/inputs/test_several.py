"""Samples with several inputs: a picture and the slices of a volume, through the whole run."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import medbench
from medbench.data.load import load_dataset
from medbench.data.multi_input import chosen_slices, pool
from medbench.data.prepared.transforms import normalise
from medbench.errors import CardError, DataError
from medbench.features.extract import Tally
from medbench.models.load import load_model
from medbench.runs.inputs.features import Encoders
from medbench.runs.inputs.several import CombinedInputs
from medbench.runs.jobs import Options
from medbench.runs.plan import make_plan

N, SLICES = 30, (3, 4, 5)  # samples; slices of each volume in turn
CARD = """
title: pairs
layout:
  kind: csv
  tables: [{file: labels.csv}]
  image: "{case}/eye.png"
  id: "{case}"
  label: grade
  input: fundus
  inputs: {oct: {image: "{case}/oct", slices: '(?P<index>\\d+)_s\\.png'}}
task: binary
classes: [well, ill]
metric: auroc
mean: [0.5, 0.5, 0.5]
std: [0.25, 0.25, 0.25]
splits: {default: s, rules: {s: {method: stratified, seed: 0, val: 0.2, test: 0.2}}}
"""


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A data folder with its card: the picture tells nothing, the slices' brightness tells the class."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "pairs"
    rows = []
    for case in range(N):
        place = folder / f"{case:03d}"
        (place / "oct").mkdir(parents=True)
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(place / "eye.png")
        for k in range(SLICES[case % 3]):
            level = 60 + 120 * (case % 2) + 5 * k
            noise = rng.integers(-20, 20, (40, 40, 3)) + level
            Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(place / "oct" / f"{k}_s.png")
        (place / "oct" / "notes.txt").write_text("no slice")
        rows.append((f"{case:03d}", case % 2))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("case", "grade"), *rows])
    (folder / "pairs.yaml").write_text(CARD)
    return folder


def run(pairs: Path, **changes: Any) -> Any:
    (record,) = medbench.run(
        model="toy-cnn", protocol="knn", dataset=str(pairs / "pairs.yaml"), device="cpu", set={"k": 3, **changes}
    )
    return record


def test_each_input_is_a_data_set_of_its_pictures(pairs: Path) -> None:
    data = load_dataset(str(pairs / "pairs.yaml"))
    oct_ = data.inputs["oct"]
    assert len(oct_.samples) == sum(SLICES) * N // 3
    assert oct_.samples["path"][:4].tolist() == [
        "000/oct/0_s.png",
        "000/oct/1_s.png",
        "000/oct/2_s.png",
        "001/oct/0_s.png",
    ]
    owner = oct_.samples["owner"].to_numpy()
    assert np.bincount(owner).tolist() == [SLICES[i % 3] for i in range(N)]
    for column in ("split", "target"):
        assert oct_.samples[column].tolist() == data.samples[column].to_numpy()[owner].tolist()
    before = data.digest
    (pairs / "004" / "oct" / "1_s.png").write_bytes((pairs / "005" / "oct" / "1_s.png").read_bytes())
    assert load_dataset(str(pairs / "pairs.yaml")).digest != before, "a slice's bytes are part of the data"


def test_slices_are_in_the_order_of_their_numbers(pairs: Path) -> None:
    for k in range(3, 12):
        (pairs / "000" / "oct" / f"{k}_s.png").write_bytes((pairs / "001" / "oct" / "0_s.png").read_bytes())
    paths = load_dataset(str(pairs / "pairs.yaml")).inputs["oct"].samples["path"]
    assert paths[:12].tolist() == [f"000/oct/{k}_s.png" for k in range(12)]


@pytest.mark.parametrize(("how", "stride", "kept"), [
    ("mean", 1, [[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4]]),
    ("centre", 1, [[1], [2], [2]]),
    ("max", 2, [[1], [0, 2], [0, 2, 4]]),
])  # fmt: skip
def test_chosen_slices(pairs: Path, how: str, stride: int, kept: list[list[int]]) -> None:
    chosen = chosen_slices(load_dataset(str(pairs / "pairs.yaml")).inputs["oct"], how, stride)
    found: dict[int, list[int]] = {}
    for owner, path in zip(chosen.samples["owner"], chosen.samples["path"], strict=True):
        found.setdefault(owner, []).append(int(path.split("/")[-1].split("_")[0]))
    assert [found[i] for i in range(3)] == kept
    assert len(chosen.content) == len(chosen.samples)


def test_pooling_over_owners() -> None:
    features = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    owner = np.array([3, 3, 5, 8, 8, 8])
    for how, of in (("mean", np.mean), ("max", np.max)):
        expected = [of(features[owner == i], axis=0) for i in (3, 5, 8)]
        np.testing.assert_allclose(pool(features, owner, how), expected, rtol=1e-6)


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
    volume = np.stack([features("oct")[owner == i].mean(axis=0) for i in range(N)])
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
    assert (plain.unit.weights, plain.warnings) == ("file", [])
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
    assert sum(record.n[s].images for s in ("train", "val", "test")) == N
    for path in (pairs / "007" / "oct").glob("*.png"):
        path.write_bytes(b"no picture")
    (record,) = medbench.run(
        model="toy-cnn", protocol="knn", dataset=str(pairs / "pairs.yaml"), set={"k": 3}, unreadable="leave-out"
    )
    assert sum(record.n[s].images for s in ("train", "val", "test")) == N - 1
    assert any("007" in warning for warning in record.warnings)


def test_a_volume_that_is_not_there_is_told(pairs: Path) -> None:
    for path in (pairs / "009" / "oct").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"no slices in .*009/oct"):
        load_dataset(str(pairs / "pairs.yaml"))
    (pairs / "009" / "oct").rmdir()
    with pytest.raises(DataError, match=r"009/oct does not exist"):
        load_dataset(str(pairs / "pairs.yaml"))


def test_a_linear_head_on_views_of_both(pairs: Path) -> None:
    changes = {"views": 2, "epochs": 3, "learning_rates": [0.1, 1.0]}
    records = medbench.run(
        model="toy-cnn", protocol="linear-frozen", dataset=str(pairs / "pairs.yaml"), seeds=2, set=changes
    )
    assert len(records) == 2
    assert records[0].counts["forwards"] > 0
