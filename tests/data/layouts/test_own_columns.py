"""What the user says of files of their own goes before what medbench would infer."""

from __future__ import annotations

import pytest

from medbench.data.layouts.own.folder import card_from_folder
from medbench.data.layouts.own.table import card_from_csv
from medbench.data.layouts.own_columns import OwnColumns, own_columns
from medbench.data.load import load_dataset
from medbench.errors import CardError, MedbenchError

from .made import folder, refused

HEAD = "image,scan,label,stage,centre,patient,part"
SPLITS = ["train"] * 6 + ["val"] * 3 + ["test"] * 3


@pytest.fixture
def table(make_csv):
    rows = [
        (f"{i}.png", f"{11 - i}.png", "ab"[i % 2], i % 3, "xyz"[i % 3], f"p{i}", split)
        for i, split in enumerate(SPLITS)
    ]
    return make_csv(HEAD, rows) / "labels.csv"


def test_columns_task_and_metric_are_as_said(table):
    plain = card_from_csv(table).card
    assert (plain.layout.label, plain.task, plain.layout.group, plain.layout.split) == (
        "label",
        "binary",
        "{patient}",
        "part",
    )
    said = OwnColumns(image="scan", label="stage", group="centre", split="part", task="ordinal")
    card = card_from_csv(table, columns=said).card
    layout = card.layout
    assert (layout.image, layout.label, layout.group, layout.split) == ("{scan}", "stage", "{centre}", "part")
    assert (card.task, card.metric, card.class_names) == ("ordinal", "kappa_quadratic", ["0", "1", "2"])
    assert card.splits.default == "official"
    assert card_from_csv(table, columns=OwnColumns(metric="f1_macro")).card.metric == "f1_macro"
    data = load_dataset(str(table), columns=said)
    assert data.samples["path"][0] == "11.png"
    assert data.samples["split"].tolist() == SPLITS
    assert load_dataset(str(table)).digest != data.digest


def test_one_column_per_class(make_csv):
    rows = [(f"{i}.png", i % 2, 1 - i % 2, i % 2, 40 + i) for i in range(12)]
    file = make_csv("image,edema,mass,sex_male,age", rows) / "labels.csv"
    card = card_from_csv(file, columns=OwnColumns(labels=("mass", "edema"))).card
    assert (card.class_names, card.task) == (["mass", "edema"], "binary")
    assert (
        card_from_csv(file, columns=OwnColumns(labels=("mass", "edema"), task="multilabel")).card.metric
        == "auroc_macro"
    )
    refused(
        lambda: card_from_csv(file, columns=OwnColumns(labels=("mass", "sex_male"), task="ordinal", group="Sex")),
        "no column 'Sex'",
    )


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"label": "dx", "group": "pid"}, ("no column 'dx', 'pid'", "it has: image, scan, label")),
        ({"label": "stage", "task": "binary"}, ("--task binary, but there are 3 classes: 0, 1, 2",)),
        ({"task": "multilabel"}, ("do not have one column each", "--label A,B,C")),
        ({"task": "ordinal"}, ("the order of the classes a, b is unknown", "a card")),
    ],
)
def test_what_the_labels_are_not(table, said, words):
    refused(lambda: card_from_csv(table, columns=OwnColumns(**said)), *words)


def test_a_folder_has_a_task_and_a_metric_and_no_columns(tmp_path):
    root = folder(tmp_path / "own", *(f"grade{i % 3}/{i}.png" for i in range(12)))
    card = card_from_folder(root, OwnColumns(task="ordinal", metric="mae")).card
    assert (card.task, card.metric) == ("ordinal", "mae")
    refused(
        lambda: load_dataset(str(root), columns=OwnColumns(label="x", task="ordinal")),
        "--label: ",
        "is a folder of class folders and has no columns",
        error=MedbenchError,
    )
    refused(
        lambda: load_dataset("toy", columns=OwnColumns(label="x", task="ordinal")),
        "--label, --task: these options are for your own CSV or folder, and 'toy' has a card",
        "medbench data card toy",
        error=MedbenchError,
    )


def test_choices_of_a_command_line():
    assert own_columns() is None
    found = own_columns(label="a, b", task="multilabel", metric="auroc_macro")
    assert found == OwnColumns(labels=("a", "b"), task="multilabel", metric="auroc_macro")
    assert found.as_options() == {"--label": "a,b", "--task": "multilabel", "--metric": "auroc_macro"}
    refused(lambda: own_columns(label="a,"), "--label 'a,': a column name is empty", error=MedbenchError)
    refused(lambda: own_columns(group=" "), "--group ' ': a column name is empty", error=MedbenchError)
    refused(lambda: own_columns(task="ordinl"), "unknown task 'ordinl'", "ordinal", error=CardError)
