from __future__ import annotations

import numpy as np

from medbench.cards.find import find_dataset
from medbench.data.layouts import medmnist_npz
from medbench.data.layouts.reader import read_samples
from medbench.data.load import load_dataset
from medbench.data.twins.twin import synthesise, usual_number

OFFICIAL = {"default": "o", "rules": {"o": {"method": "official"}}}


def test_folders_and_lists(tmp_path, make_card):
    layouts = (
        {"kind": "folders", "splits": {"train": "tr", "test": "te"}, "folders": {"x": 0, "y": 1, "z": 2}},
        {"kind": "folders", "group": r"(?P<group>p\d+)-", "examples": [{"image": "a/p01-scan.png", "group": "p01"}]},
        {
            "kind": "lists",
            "lists": {"train": "l/train.txt", "val": "l/val.txt", "test": "l/test.txt"},
            "image": "raw/{name}",
            "label": "^(?P<label>[^_]+)_",
            "values": {"normal": 0, "benign": 1, "cancer": 2},
            "group": r"(?P<group>case\d+)_",
            "examples": [{"image": "raw/benign_case1_left.jpg", "cells": {"name": "benign_case1_left.jpg"}}],
        },
    )
    for number, layout in enumerate(layouts):
        card = make_card(layout=layout)
        root = synthesise(card, tmp_path / str(number), 60)
        frame = read_samples(card, root)
        assert len(frame) == 60
        assert set(frame["target"]) == {0, 1, 2}
        assert all((root / path).is_file() for path in frame["path"])
        if "group" in layout:
            assert frame["group"].nunique() < 30


def test_twin_of_names_that_hold_the_class(tmp_path, make_card):
    layout = {
        "kind": "folders",
        "splits": {"train": "train/Original", "test": "test/Original"},
        "label": r"_(?P<label>[ADN])\.png$",
        "folders": {"N": 0, "A": 1, "D": 2},
        "only": r"^(train|test)/Original/[^/]+\.png$",
        "group": r"(?P<group>[A-D]_\d+)_",
        "examples": [{"image": "train/Original/A_0001_left_A.png", "group": "A_0001"}],
    }
    card = make_card(layout=layout, splits=OFFICIAL)
    root = synthesise(card, tmp_path / "t", 60)
    frame = read_samples(card, root)
    assert len(frame) == 60
    assert frame["path"].str.fullmatch(r"(train|test)/Original/\d+_A_\d{4}_left_[NAD]\.png").all()
    assert frame["group"].nunique() == 24
    extra = {str(p.relative_to(root)) for p in root.rglob("*.png")} - set(frame["path"])
    assert len(extra) == 1, "a picture that `only` leaves out"


def test_twin_has_more_than_the_first_images(tmp_path, make_card):
    layout = {"kind": "folders", "first": 20, "only": "^(0.0.N|8.M|9.R)/", "folders": {"0.0.N": 0, "8.M": 1, "9.R": 2}}
    card = make_card(layout={**layout, "examples": [{"image": "8.M/01.png"}]})
    assert usual_number(card) == 63
    root = synthesise(card, tmp_path / "t")
    counts = read_samples(card, root)["target"].value_counts()
    assert counts.tolist() == [20, 20, 20]
    assert len(list(root.rglob("*.png"))) > 63


def test_lists_whose_names_hold_label_and_group(tmp_path, make_card):
    layout = {
        "kind": "lists",
        "lists": {"train": "l/train.txt", "test": "l/test.txt"},
        "image": "raw/{name}",
        "label": "^(?P<label>[a-z]+)_",
        "values": {"normal": 0, "benign": 1, "cancer": 2},
        "group": r"(?P<group>[A-D]_\d+)_1\.",
        "examples": [{"image": "raw/benign_01-A_0001_1.MLO.jpg", "cells": {"name": "benign_01-A_0001_1.MLO.jpg"}}],
    }
    card = make_card(layout=layout)
    frame = read_samples(card, synthesise(card, tmp_path / "t", 60))
    assert frame["group"].str.fullmatch(r"A_\d{4}").all()
    assert frame["group"].nunique() == 24


def test_npz_twin_is_read_as_the_file_would_be(tmp_path):
    card = find_dataset("medmnist/bloodmnist_64")
    root = synthesise(card, tmp_path / "t", 60)
    assert sorted(p.name for p in root.iterdir()) == ["SYNTHETIC.txt", "bloodmnist_64.npz"]
    with np.load(root / "bloodmnist_64.npz") as arrays:
        assert arrays["train_images"].shape[1:] == (64, 64, 3)
        assert arrays["train_labels"].dtype == np.uint8
    data = load_dataset("medmnist/bloodmnist_64", root)
    assert len(data.samples) == 60
    assert data.toy
    assert medmnist_npz.csv_layout(card).split == "split"
