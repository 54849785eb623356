from __future__ import annotations

import numpy as np
import pytest
import yaml
from PIL import Image

from medbench.cards import DatasetCard
from medbench.data.layouts.own.card import card_yaml
from medbench.data.layouts.own.folder import card_from_folder
from medbench.data.layouts.own.table import card_from_csv
from medbench.data.layouts.reader import read_samples
from medbench.data.load import load_dataset
from medbench.errors import DataError


def names(n=24, form="{}.png"):
    return [form.format(i) for i in range(n)]


@pytest.mark.parametrize(
    ("head", "cells", "expected"),
    [
        ("image,label", lambda i: (i % 2,), ("binary", ["0", "1"], "auroc", "stratified")),
        ("path,diagnosis", lambda i: ("abc"[i % 3],), ("multiclass", ["a", "b", "c"], "recall_macro", "stratified")),
        (
            "file,grade,patient_id",
            lambda i: (10 - i % 3, f"p{i}"),
            ("multiclass", ["8", "9", "10"], "recall_macro", "grouped"),
        ),
        (
            "filename,A,B,age",
            lambda i: (i % 2, i % 3 // 2, 40 + i),
            ("multilabel", ["A", "B"], "auroc_macro", "stratified"),
        ),
        (
            "image,A,B,C",
            lambda i: (int(i % 3 == 0), int(i % 3 == 1), int(i % 3 == 2)),
            ("multiclass", ["A", "B", "C"], "recall_macro", "stratified"),
        ),
        (
            "image_path,Class,fold",
            lambda i: ("xy"[i % 2], ("train", "test")[i % 4 == 0]),
            ("binary", ["x", "y"], "auroc", "official"),
        ),
        ("image,target,fold", lambda i: ("xy"[i % 2], i % 5), ("binary", ["x", "y"], "auroc", "official")),
        (
            "Image Path,label,patient_id,group",
            lambda i: ("xy"[i % 2], "", f"g{i}"),
            ("binary", ["x", "y"], "auroc", "grouped"),
        ),
        ("image,lesion,none", lambda i: (i % 2, 1 - i % 2), ("binary", ["lesion", "none"], "auroc", "stratified")),
        ("image,label,lesion", lambda i: ("xy"[i % 2], i % 3 // 2), ("binary", ["x", "y"], "auroc", "stratified")),
        ("image,label,eye", lambda i: ("xy"[i % 2], "LR"[i % 3 // 2]), ("binary", ["x", "y"], "auroc", "stratified")),
        ("image,label,lesion", lambda i: ("xy"[i % 2], i // 2), ("binary", ["x", "y"], "auroc", "grouped")),
    ],
)
def test_columns_are_understood(make_csv, head, cells, expected):
    root = make_csv(head, [(name, *cells(i)) for i, name in enumerate(names())])
    card = card_from_csv(root / "labels.csv").card
    assert (card.task, card.class_names, card.metric, card.splits.default) == expected
    assert card.name == "data-labels"
    dataset = load_dataset(str(root / "labels.csv"))
    assert {"train", "val", "test"} == set(dataset.samples["split"])
    assert dataset.grouped == (expected[3] == "grouped")


def test_two_patients_are_not_passed_over(make_csv):
    root = make_csv("image,label,patient", [(name, "xy"[i % 2], i // 2 % 2) for i, name in enumerate(names())])
    with pytest.raises(DataError, match="fewer samples or groups than the 3 splits"):
        load_dataset(str(root / "labels.csv"))


def test_label_values_survive_as_names(make_csv):
    root = make_csv("image,label", [(name, ("007", "7")[i % 2]) for i, name in enumerate(names())])
    frame = read_samples(card_from_csv(root / "labels.csv").card, root)
    assert frame["target"].tolist()[:4] == [0, 1, 0, 1]


def test_images_named_without_extension(make_csv):
    root = make_csv("id_code,label", [(f"{i:04d}", i % 2) for i in range(24)], images=False)
    for i in range(24):
        (root / "pics").mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(root / "pics" / f"{i:04d}.png")
    dataset = load_dataset(str(root / "labels.csv"))
    assert dataset.samples["path"][3] == "pics/0003.png"
    assert dataset.card.channels == 1
    (root / "pics" / "0000.png").rename(root / "pics" / "other.png")
    with pytest.raises(DataError, match="there is no image 0000"):
        card_from_csv(root / "labels.csv")


def test_one_colour_image_makes_three_channels(make_csv):
    root = make_csv("image,label", [(name, i % 2) for i, name in enumerate(names())], images=False)
    for name in names():
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(root / name)
    assert card_from_csv(root / "labels.csv").card.channels == 1
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(root / "5.png")
    assert card_from_csv(root / "labels.csv").card.channels == 3


@pytest.mark.parametrize(
    ("head", "row", "words"),
    [
        ("a,b", ("x", "1"), ("no image column", "columns: a, b")),
        ("image,remark", ("x.png", "fine"), ("no label column", "columns: image, remark")),
        ("image,label", ("x.png", "one"), ("1 different labels",)),
    ],
)
def test_unclear_columns_are_listed(make_csv, head, row, words):
    root = make_csv(head, [row, row], images=False)
    with pytest.raises(DataError) as caught:
        card_from_csv(root / "labels.csv")
    for word in words:
        assert word in caught.value.message
    assert "write a card" in caught.value.hint


def test_missing_label_names_its_line(make_csv):
    root = make_csv("image,label", [("x.png", "a"), ("y.png", "")])
    with pytest.raises(DataError, match=r"labels\.csv:3: column 'label': the label is missing"):
        card_from_csv(root / "labels.csv")


def test_other_delimiters(tmp_path, make_csv):
    root = make_csv("image;label;note", [], images=False, name="my labels!.csv")
    make_csv("image", [(name,) for name in names()], name="unused.csv")
    lines = [f"{name};{i % 2};a, b" for i, name in enumerate(names())]
    (root / "my labels!.csv").write_text("image;label;note\n" + "\n".join(lines) + "\n")
    dataset = load_dataset(str(root / "my labels!.csv"))
    assert dataset.card.name == "data-my-labels"
    assert len(dataset.samples) == 24


def test_images_elsewhere(make_csv, tmp_path):
    pictures = make_csv("image", [(name,) for name in names()], folder="pictures")
    root = make_csv("image,label", [(name, i % 2) for i, name in enumerate(names())], images=False)
    assert load_dataset(str(root / "labels.csv"), pictures).root == pictures


def folder_of(tmp_path, tops):
    for top in tops:
        for kind in ("cat", "dog", "owl"):
            for i in range(8):
                place = tmp_path / "pets" / top / kind
                place.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full((4, 4, 3), i * 20 + len(top), np.uint8)).save(place / f"{i}.jpg")
    return tmp_path / "pets"


def test_folder_of_class_folders(tmp_path):
    dataset = load_dataset(str(folder_of(tmp_path, [""])))
    assert dataset.card.name == "pets"
    assert dataset.card.class_names == ["cat", "dog", "owl"]
    assert dataset.card.splits.default == "stratified"
    assert dataset.targets().tolist() == [0] * 8 + [1] * 8 + [2] * 8


def test_folder_with_splits(tmp_path):
    dataset = load_dataset(str(folder_of(tmp_path, ["Train", "validation", "test"])))
    assert dataset.card.splits.default == "official"
    assert [len(dataset.rows(split)) for split in ("train", "val", "test")] == [24, 24, 24]
    assert dataset.samples["path"][0] == "Train/cat/0.jpg"


def test_folder_that_is_none(tmp_path):
    (tmp_path / "empty" / "only").mkdir(parents=True)
    with pytest.raises(DataError, match="not a folder of class folders: it contains only"):
        load_dataset(str(tmp_path / "empty"))


def test_inferred_card_as_yaml_reads_back(make_csv, tmp_path):
    root = make_csv("image,label,patient", [(n, "abc"[i % 3], f"p{i}") for i, n in enumerate(names())])
    card = card_from_csv(root / "labels.csv").card
    assert DatasetCard.model_validate(yaml.safe_load(card_yaml(card))) == card
    (root / "data-labels.yaml").write_text(card_yaml(card))
    assert load_dataset(str(root / "data-labels.yaml")).digest == load_dataset(str(root / "labels.csv")).digest
    card = card_from_folder(folder_of(tmp_path, [""])).card
    assert DatasetCard.model_validate(yaml.safe_load(card_yaml(card))) == card
