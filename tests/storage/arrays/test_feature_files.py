"""Files of features against the libraries that other programs write them with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from medbench.errors import CardError, DataError
from medbench.storage.arrays.feature_files import FORMS, FeatureTable, read_about, read_table, write_table

IDS = ["a.png", "b/é.png", "c"]
VALUES = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
ABOUT = {"model": "toy-vit", "data": "0af"}


@pytest.mark.parametrize("ending", FORMS)
def test_what_is_written_is_read(tmp_path, ending):
    path = tmp_path / f"f{ending}"
    write_table(path, FeatureTable(IDS, VALUES, ABOUT))
    found = read_table(path)
    assert (list(found.ids), found.about, read_about(path)) == (IDS, ABOUT, ABOUT)
    np.testing.assert_array_equal(found.values, VALUES)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_others_read_what_is_written(tmp_path):
    for ending in FORMS:
        write_table(tmp_path / f"f{ending}", FeatureTable(IDS, VALUES, ABOUT))
    frame = pd.read_parquet(tmp_path / "f.parquet")
    assert frame["id"].tolist() == IDS
    np.testing.assert_array_equal(np.stack(frame["features"]), VALUES)
    with np.load(tmp_path / "f.npz") as arrays:
        assert arrays["id"].tolist() == IDS
        np.testing.assert_array_equal(arrays["features"], VALUES)
    np.testing.assert_array_equal(load_file(tmp_path / "f.safetensors")["features"], VALUES)


def test_what_others_write_is_read(tmp_path):
    pd.DataFrame({"id": IDS, "features": list(VALUES.astype(float)), "x": 1}).to_parquet(tmp_path / "f.parquet")
    np.savez(tmp_path / "f.npz", id=np.array(IDS), features=VALUES.astype(np.float16))
    save_file({"features": VALUES}, tmp_path / "f.safetensors", {"id": json.dumps(IDS)})
    for ending in FORMS:
        found = read_table(tmp_path / f"f{ending}")
        assert (list(found.ids), found.about, found.values.dtype) == (IDS, {}, np.float32)
        np.testing.assert_allclose(found.values, VALUES, rtol=1e-3)


def test_rows_come_in_the_order_that_is_asked_for():
    table = FeatureTable(IDS, VALUES)
    np.testing.assert_array_equal(table.of(["c", "a.png"], Path("f.npz")), VALUES[[2, 0]])
    with pytest.raises(DataError, match=r"f\.npz has no features for 2 of 3 images: d, e"):
        table.of(["c", "d", "e"], Path("f.npz"))


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"id": np.array(IDS)}, "features"),
        ({"features": VALUES}, "id"),
        ({"id": np.array(IDS), "features": VALUES[:2]}, "3 ids, features of shape \\(2, 5\\)"),
        ({"id": np.array(IDS), "features": VALUES[:, 0]}, "shape \\(3,\\)"),
        ({"id": np.array(IDS), "features": VALUES.astype(str)}, "type <U"),
        ({"id": np.array(["a", "a", "b"]), "features": VALUES}, "duplicate id a"),
        ({"id": np.array(IDS), "features": VALUES * [1, np.nan, 1, 1, 1]}, "the features of a.png are not all finite"),
        ({"id": np.array([{"a": 1}] * 3), "features": VALUES}, "not a features file"),
        ({"id": np.array(IDS), "features": VALUES, "medbench": np.array("[1]")}, "'medbench' is not a JSON object"),
    ],
)
def test_what_is_refused(tmp_path, arrays, said):
    np.savez(tmp_path / "f.npz", **arrays)
    with pytest.raises(DataError, match=said):
        read_table(tmp_path / "f.npz")


@pytest.mark.parametrize("ending", FORMS)
def test_files_of_something_else_are_refused(tmp_path, ending):
    path = tmp_path / f"f{ending}"
    path.write_bytes(b"not features" * 9)
    with pytest.raises(DataError, match="is not a features file"):
        read_about(path)
    with pytest.raises(DataError, match="is not a features file"):
        read_table(path)


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(CardError, match=r"unknown ending of a features file '\.csv'"):
        write_table(tmp_path / "f.csv", FeatureTable(IDS, VALUES))
    assert not list(tmp_path.iterdir())
