"""Folders of one's own: what is a split, what is a class, and what is left out."""

from __future__ import annotations

import pytest
from PIL import Image

from medbench.data.layouts.own.folder import card_from_folder
from medbench.data.load import load_dataset

from ..made import refused


def fill(root, *places: str, n: int = 5, form: str = "{}.png"):
    for place in places:
        (root / place).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            Image.new("L", (4, 4), i).save(root / place / form.format(i))
    return root


def said(own, what: str) -> str:
    return dict(own.taken.lines).get(what, "")


def test_what_is_beside_a_split_is_left_out(tmp_path):
    splits = [f"{split}/{kind}" for split in ("Train", "test", "dev") for kind in ("a", "b")]
    root = fill(tmp_path / "d", *splits, "external/a", "d/Train/a", "__MACOSX/a")
    (root / "Train" / "a" / "notes.txt").touch()
    own = card_from_folder(root)
    assert own.card.layout.splits == {"train": "Train", "val": "dev", "test": "test"}
    assert said(own, "not used") == "d, external, __MACOSX, 1 files that are not images (1 .txt)"
    assert said(own, "split") == "by folder: train = Train, val = dev, test = test"
    assert load_dataset(str(root)).samples["split"].value_counts().to_dict() == {"train": 10, "val": 10, "test": 10}


def test_validation_alone_is_the_test(tmp_path):
    own = card_from_folder(fill(tmp_path, "train/a", "train/b", "val/a", "val/b"))
    assert own.card.layout.splits == {"train": "train", "test": "val"}
    assert "there is no test folder, so val is used as test; val is cut from train" in said(own, "split")


@pytest.mark.parametrize(
    ("places", "words"),
    [
        (["train/a", "valid/a", "validation/a"], "the folders valid and validation both mean one split"),
        (["train/a", "car", "plane"], "which needs train and test; unclear: car, plane"),
        (["test/a", "val/a"], "the folders test, val are of a split"),
        (["a/train", "a/test", "b/train", "b/test"], "the folders a, b hold folders of a split: test, train"),
        (["train/a", "train/b", "test"], "test contains no class folders"),
        (["only"], "it contains only"),
    ],
)
def test_folders_that_are_not_clear(tmp_path, places, words):
    fill(tmp_path, *places)
    refused(lambda: card_from_folder(tmp_path), words)


def test_a_folder_in_a_folder_and_classes_in_two_spellings(tmp_path):
    fill(tmp_path / "set", "data/train/Normal", "data/train/10", "data/train/9", "data/test/NORMAL", "data/test/9")
    own = card_from_folder(tmp_path / "set")
    assert (own.card.name, own.root) == ("set", tmp_path / "set" / "data")
    assert own.card.class_names == ["9", "10", "NORMAL"]
    assert "NORMAL = Normal (one class)" in said(own, "label")
    found = load_dataset(str(tmp_path / "set"))
    assert found.targets("test").tolist() == [0] * 5 + [2] * 5


def test_a_copy_of_the_set_in_itself_is_no_class(tmp_path):
    own = card_from_folder(fill(tmp_path / "pets", "cat", "dog", "pets/cat", "pets/dog"))
    assert own.card.class_names == ["cat", "dog"]
    assert said(own, "not used") == "pets"


def test_links_are_followed_once(tmp_path):
    root = fill(tmp_path / "d", "a", "b")
    fill(tmp_path, "more", n=3)
    (root / "a" / "again").symlink_to(root)
    (root / "a" / "self").symlink_to(root / "a")
    for name in ("one", "two"):
        (root / "b" / name).symlink_to(tmp_path / "more")
    assert said(card_from_folder(root), "image") == "13 files (13 .png)"


@pytest.mark.parametrize(
    ("form", "doubt"), [("{}_L.png", False), ("p{0}.png", False), ("img_{}.png", False), ("x{half}_{side}.png", True)]
)
def test_names_like_pairs_are_doubted(tmp_path, form, doubt):
    for kind in ("a", "b"):
        (tmp_path / kind).mkdir()
        for i in range(8):
            name = form.format(i, half=i // 2, side="LR"[i % 2])
            Image.new("L", (4, 4)).save(tmp_path / kind / f"{kind}{name}")
    doubts = card_from_folder(tmp_path).taken.doubts
    assert bool(doubts) == doubt
    assert all("begin like another one" in text for text in doubts)


def test_files_that_are_no_images(tmp_path):
    for kind in ("a", "b"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "x.nii").touch()
    refused(lambda: card_from_folder(tmp_path), "no file in the class folders a, b has an image extension: 2 .nii")
