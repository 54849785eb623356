from __future__ import annotations

import io
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from medbench.data.checks.check import check
from medbench.data.layouts import medmnist_npz
from medbench.data.load import find_source, load_dataset
from medbench.errors import DataError
from medbench.storage import paths


def arrays(n=(6, 4, 5), classes=2, shape=(28, 28), multilabel=False, seed=0):
    rng = np.random.default_rng(seed)
    made = {}
    for split, k in zip(("train", "val", "test"), n, strict=True):
        made[f"{split}_images"] = rng.integers(0, 256, (k, *shape), np.uint8)
        labels = rng.integers(0, 2, (k, classes)) if multilabel else np.arange(k)[:, None] % classes
        made[f"{split}_labels"] = labels.astype(np.uint8)
    return made


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "medmnist"
    folder.mkdir()
    return folder


def save(place, name, **content):
    np.savez_compressed(place / f"{name}.npz", **content)
    return place


def test_arrays_become_images_bit_by_bit(place, monkeypatch):
    colour = arrays(classes=9, shape=(28, 28, 3))
    save(place, "pathmnist", **colour)
    monkeypatch.setenv("MEDBENCH_DATA", str(place.parent))
    data = load_dataset("medmnist/pathmnist")
    assert data.card.name == "medmnist--pathmnist"
    assert data.root.is_relative_to(paths.home())
    for split in ("train", "val", "test"):
        rows = data.rows(split)
        shown = [np.asarray(Image.open(data.root / path)) for path in data.samples["path"].iloc[rows]]
        np.testing.assert_array_equal(np.stack(shown), colour[f"{split}_images"])
        np.testing.assert_array_equal(data.targets(split), colour[f"{split}_labels"][:, 0])
    assert not data.grouped
    assert not data.toy
    again = load_dataset("medmnist--pathmnist", place)
    assert (again.digest, again.root) == (data.digest, data.root)
    assert load_dataset("medmnist/pathmnist", place.parent).digest == data.digest


def test_grey_images_many_findings_and_sizes(place):
    chest = arrays(classes=14, shape=(64, 64), multilabel=True)
    save(place, "chestmnist_64", **chest)
    data = load_dataset("medmnist/chestmnist_64", place)
    np.testing.assert_array_equal(data.targets("test"), chest["test_labels"])
    with Image.open(data.root / data.samples["path"][0]) as image:
        assert (image.mode, image.size, image.format) == ("L", (64, 64), "PNG")
    save(place, "breastmnist", **arrays(shape=(28, 28, 1)))
    assert len(load_dataset("medmnist/breastmnist", place).samples) == 15


def test_unpacked_once_per_file(place, monkeypatch):
    save(place, "breastmnist", **arrays())
    first = find_source("medmnist/breastmnist", place).root
    stamp = (first / "labels.csv").stat().st_mtime_ns
    with monkeypatch.context() as patched:
        patched.setattr(medmnist_npz, "_unpack", None)
        assert find_source("medmnist/breastmnist", place).root == first
    assert (first / "labels.csv").stat().st_mtime_ns == stamp
    (first / "train" / "000002.png").unlink()  # not whole: made anew
    assert find_source("medmnist/breastmnist", place).root == first
    assert (first / "train" / "000002.png").is_file()
    save(place, "breastmnist", **arrays(seed=1))
    assert find_source("medmnist/breastmnist", place).root != first


def test_a_stopped_unpacking_leaves_nothing_that_is_used(place, monkeypatch):
    save(place, "breastmnist", **arrays())

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Image.Image, "save", stopped)
        with pytest.raises(KeyboardInterrupt):
            find_source("medmnist/breastmnist", place)
    assert not [p for p in (paths.home() / "unpacked").iterdir() if p.is_dir()]
    assert len(load_dataset("medmnist/breastmnist", place).samples) == 15


def wrong(place, **changes):
    save(place, "breastmnist", **{**arrays(), **changes})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: None, ("breastmnist.npz of 'medmnist--breastmnist' does not exist", "zenodo")),
        (lambda p: (p / "breastmnist.npz").write_bytes(b"PK\x03\x04 rubbish"), ("not a valid MedMNIST file",)),
        (lambda p: np.savez(p / "breastmnist.npz", train_images=np.zeros(3)), ("not a valid", "train_labels")),
        (lambda p: wrong(p, val_labels=np.full((4, 1), 2)), ("val_labels[0]: the label 2 is out of range", "0 to 1")),
        (lambda p: wrong(p, val_labels=np.zeros((4, 14), int)), ("val_labels has the shape (4, 14)", "right file")),
        (lambda p: wrong(p, val_labels=np.zeros((4, 1))), ("val_labels", "float64")),
        (lambda p: wrong(p, val_images=np.zeros((4, 28, 28))), ("val_images", "float64", "uint8")),
        (lambda p: wrong(p, val_images=np.zeros((4, 9, 9, 9), np.uint8)), ("(4, 9, 9, 9)", "right file")),
        (lambda p: wrong(p, val_images=np.zeros((3, 28, 28), np.uint8)), ("3 images in val_images, but 4 labels",)),
    ],
)
def test_what_does_not_fit_is_refused(place, make, words):
    make(place)
    with pytest.raises(DataError) as caught:
        load_dataset("medmnist/breastmnist", place)
    for word in words:
        assert word in str(caught.value)
    unpacked = paths.home() / "unpacked"
    assert not unpacked.exists() or not [p for p in unpacked.iterdir() if p.is_dir()]


def test_objects_are_never_unpickled(place, tmp_path):
    ran = tmp_path / "ran"

    class Bad:
        def __reduce__(self):
            return os.mkdir, (str(ran),)

    for key, bad in (("val_labels", np.array([Bad()] * 4)), ("val_images", np.array([Bad()] * 4))):
        np.savez(place / "breastmnist.npz", **{**arrays(), key: bad})
        with pytest.raises(DataError, match=r"breastmnist\.npz"):
            load_dataset("medmnist/breastmnist", place)
        assert not ran.exists()


def test_a_torn_array_is_told(place):
    save(place, "breastmnist", **arrays())
    whole = zipfile.ZipFile(place / "breastmnist.npz")
    content = {name: whole.read(name) for name in whole.namelist()}
    content["test_images.npy"] = content["test_images.npy"][:-100]
    whole.close()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as torn:
        for name, data in content.items():
            torn.writestr(name, data)
    (place / "breastmnist.npz").write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match="test_images ends early"):
        load_dataset("medmnist/breastmnist", place)


def test_where_the_files_are_looked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("MEDBENCH_DATA", raising=False)
    with pytest.raises(DataError, match=r"the folder that holds medmnist/\)"):
        load_dataset("medmnist/octmnist")
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"the data folder .*/medmnist of 'medmnist--octmnist' does not exist"):
        load_dataset("medmnist/octmnist")


def test_cards_are_shown():
    from medbench.cli.commands.show import described

    for name in ("medmnist/octmnist", "medmnist--octmnist"):
        (entry,) = described(name)
        assert (entry["kind"], entry["name"], entry["task"]) == ("dataset", "medmnist--octmnist", "multiclass")


def test_counts_are_held_against_the_list(place):
    save(place, "breastmnist", **arrays())
    texts = [f.text for f in check("medmnist/breastmnist", place).findings if f.kind == "counts"]
    assert "images: 15, the card says 780" in texts[0]
    assert "official train: 6, the card says 546" in texts[0]


def test_volumes_become_slices_that_are_an_input_of_their_own(place):
    made = arrays(classes=2, shape=(28, 28, 28))
    data = load_dataset("medmnist/nodulemnist3d", save(place, "nodulemnist3d", **made))
    volume = data.inputs["volume"]
    assert len(volume.samples) == 28 * len(data.samples) == 28 * 15
    for split in ("train", "val", "test"):
        rows = data.rows(split)
        middle = [np.asarray(Image.open(data.root / path)) for path in data.samples["path"].iloc[rows]]
        np.testing.assert_array_equal(np.stack(middle), made[f"{split}_images"][:, 14])
        slices = volume.samples[volume.samples["owner"].isin(rows)]["path"]
        shown = np.stack([np.asarray(Image.open(data.root / path)) for path in slices])
        np.testing.assert_array_equal(shown.reshape(-1, 28, 28, 28), made[f"{split}_images"])
    with pytest.raises(DataError, match=r"train_images has the shape \(6, 28, 28\)"):
        load_dataset("medmnist/vesselmnist3d", save(place, "vesselmnist3d", **arrays()))
