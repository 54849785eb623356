"""`medbench features`, and such files as models."""

from __future__ import annotations

import numpy as np
import pytest

import medbench as mb
from medbench.records import store
from medbench.storage.arrays.feature_files import FORMS, FeatureTable, read_table, write_table


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


@pytest.fixture
def file(medbench, written, request):
    """The features of toy-vit on the toy set, in a file of one of the forms."""
    path = written / f"toy-features{request.param}"
    if not path.exists():
        assert medbench("features", "toy-vit", "toy-binary", "--to", path).status == 0
    return path


def predictions(record):
    import pandas as pd

    return pd.read_parquet(record.path / store.PREDICTIONS)


@pytest.mark.parametrize("file", FORMS, indirect=True)
def test_a_file_gives_the_numbers_of_its_model(file, monkeypatch):
    rows = [("knn", {}), ("linear-frozen", {"views": 0, "epochs": 2})][: 1 + (file.suffix == ".npz")]
    for protocol, changes in rows:
        [by_model] = mb.run("toy-vit", protocol, "toy-binary", seeds=1, set=changes)
        [by_file] = mb.run(str(file), protocol, "toy-binary", seeds=1, set=changes)
        assert by_file.metrics == by_model.metrics
        assert predictions(by_file).equals(predictions(by_model))
        assert by_file.key != by_model.key
        assert (by_file.unit.model, by_file.counts["forwards"]) == ("toy-features", 0)
        assert by_file.unit.weights == "random", "the encoder was drawn at random, so its features are no result"
        assert by_file.provenance["input"]["features"]["model"] == "toy-vit"


@pytest.mark.parametrize("file", [".npz"], indirect=True)
def test_features_of_other_programs_count_as_a_file(file, tmp_path):
    found = read_table(file)
    path = tmp_path / "mine.parquet"
    write_table(path, FeatureTable(list(found.ids)[::-1], found.values[::-1]))
    [record] = mb.run(str(path), "knn", "toy-binary")
    [same] = mb.run(str(file), "knn", "toy-binary")
    assert record.metrics == same.metrics
    assert (record.unit.model, record.unit.weights) == ("mine", "file")


@pytest.mark.parametrize("file", [".npz"], indirect=True)
def test_two_files_of_one_name_keep_apart(file, tmp_path):
    found = read_table(file)
    other = tmp_path / file.name
    write_table(other, FeatureTable(found.ids, np.flip(found.values, axis=0).copy(), found.about))
    records = mb.run([str(file), str(other)], "knn", "toy-binary")
    assert len({record.key for record in records}) == 2


@pytest.mark.parametrize("file", [".npz"], indirect=True)
def test_features_of_other_images_are_refused(medbench, file):
    done = medbench("run", "--model", file, "--protocol", "knn", "--dataset", "toy")
    assert done.status == 2
    assert "has features of toy-binary, not of toy" in done.err


@pytest.mark.parametrize(
    ("about", "status", "said"),
    [
        ({"weights": "imagenet", "pretraining": [1]}, 0, "Features of the file odd.npz"),
        ({"pretraining": {"datasets": 7}}, 2, "its description of weights and pretraining cannot be read: "),
    ],
)
def test_what_other_programs_say_of_a_model_is_no_fault_of_medbench(medbench, tmp_path, about, status, said):
    write_table(tmp_path / "odd.npz", FeatureTable(["a"], np.ones((1, 2), np.float32), about))
    done = medbench("show", tmp_path / "odd.npz")
    assert done.status == status
    assert said in done.out + done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--protocol", "linear-frozen"], "--set views=0"),
        (["--protocol", "knn", "--corrupt", "jpeg"], "has no features of corrupted images"),
        (["--protocol", "lora"], "needs more than one vector for each image, and toy-features is a features file"),
        (["--protocol", "zero-shot"], "zero-shot on toy-binary needs more than one vector"),
        (["--protocol", "knn", "--set", "pooled=cls"], "needs more than one vector"),
        (["--protocol", "knn", "--weights", "random"], "--weights random: toy-features is a features file"),
        (["--protocol", "knn", "--image-size", "64"], "--image-size 64: toy-features is a features file"),
    ],
)
@pytest.mark.parametrize("file", [".npz"], indirect=True)
def test_protocols_that_need_more_are_refused(medbench, file, words, said):
    done = medbench("run", "--model", file, "--dataset", "toy-binary", *words, "--dry-run")
    assert done.status == 2
    assert said in done.err


def test_what_cannot_be_written_is_refused(medbench, tmp_path, monkeypatch):
    monkeypatch.setattr("medbench.runs.export_features.features_of", None)  # before anything is computed
    for words, said in (
        (["toy-vit", "toy", "--to", tmp_path / "f.csv"], "unknown ending of a features file '.csv'"),
        (["toy-vit,toy-cnn", "toy", "--to", tmp_path / "f.npz"], "is for one model"),
        (["none.npz", "toy", "--to", tmp_path / "f.npz"], "there is no features file none.npz"),
    ):
        done = medbench("features", *words)
        assert done.status == 2
        assert said in done.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file", [".parquet"], indirect=True)
def test_show_names_what_made_the_features(medbench, file):
    assert "Made by medbench with toy-vit from the images of toy-binary." in " ".join(
        medbench("show", file).out.split()
    )
