"""Samples with further inputs: their pictures, their slices, and pooling over them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from medbench.cards import DatasetCard, find_dataset
from medbench.data.load import load_dataset
from medbench.data.multi_input import choose_inputs, chosen_slices, pool
from medbench.errors import CardError, DataError

from .made import CASES, PAIRS, SLICES, pairs_of


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return pairs_of(tmp_path / "pairs")


def test_each_input_is_a_data_set_of_its_pictures(pairs: Path) -> None:
    data = load_dataset(str(pairs / "pairs.yaml"))
    oct_ = data.inputs["oct"]
    assert len(oct_.samples) == sum(SLICES) * CASES // 3
    assert oct_.samples["path"][:4].tolist() == [
        "000/oct/0_s.png",
        "000/oct/1_s.png",
        "000/oct/2_s.png",
        "001/oct/0_s.png",
    ]
    owner = oct_.samples["owner"].to_numpy()
    assert np.bincount(owner).tolist() == [SLICES[i % 3] for i in range(CASES)]
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


def test_a_volume_that_is_not_there_is_told(pairs: Path) -> None:
    for path in (pairs / "009" / "oct").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"no slices in .*009/oct"):
        load_dataset(str(pairs / "pairs.yaml"))
    (pairs / "009" / "oct").rmdir()
    with pytest.raises(DataError, match=r"009/oct does not exist"):
        load_dataset(str(pairs / "pairs.yaml"))


def test_the_inputs_that_are_used() -> None:
    card = DatasetCard.model_validate({"name": "pairs", **yaml.safe_load(PAIRS)})
    assert choose_inputs(card, None, {}) == ["fundus", "oct"]
    assert choose_inputs(card, ["oct"], {"oct": "toy-vit"}) == ["oct"]
    for wanted, encoders in ((["octt"], {}), (None, {"octt": "toy-vit"})):
        with pytest.raises(CardError, match="unknown input of pairs 'octt'"):
            choose_inputs(card, wanted, encoders)
    assert choose_inputs(find_dataset("toy"), None, {}) == []
