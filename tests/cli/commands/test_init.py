"""`medbench init`."""

from __future__ import annotations

import pytest
from PIL import Image

from medbench import cards
from medbench.data.load import load_dataset


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The present folder, with the labels and images of a clinic in it, and a folder of class folders beside it."""
    place = tmp_path / "work"
    for i in range(12):
        for path in (place / "clinic" / f"{i}.png", tmp_path / "scans" / "ab"[i % 2] / f"{i}.png"):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), i).save(path)
    rows = [f"{i}.png,{'ab'[i % 2]},p{i // 2},{i % 3}\n" for i in range(12)]
    (place / "clinic" / "labels.csv").write_text("image,label,patient,grade\n" + "".join(rows))
    monkeypatch.chdir(place)
    return place


def test_the_card_means_what_the_file_means(medbench, here):
    done = medbench("init", "clinic/labels.csv")
    assert done.status == 0
    for said in (
        "2 classes in this order: a, b",
        "column 'patient'",
        "not used  grade",
        "card: datasets/clinic-labels.yaml",
    ):
        assert said in done.out
    assert "medbench data check clinic-labels;" in done.err
    assert medbench("validate", "datasets/clinic-labels.yaml").status == 0
    by_card, by_file = load_dataset("clinic-labels"), load_dataset("clinic/labels.csv")
    assert (by_card.card.name, by_card.digest) == (by_file.card.name, by_file.digest)
    assert by_card.samples.equals(by_file.samples)


def test_name_and_columns_are_as_said(medbench, here):
    assert medbench("init", "clinic/labels.csv", "--name", "eyes", "--label", "grade", "--task", "ordinal").status == 0
    card = cards.find_dataset("eyes")
    assert (card.name, card.root, card.layout.label, card.task) == ("eyes", "../clinic", "grade", "ordinal")


def test_data_elsewhere_need_their_folder(medbench, here):
    scans = here.parent / "scans"
    done = medbench("init", scans)
    assert done.status == 0
    assert f"medbench run --dataset scans --data-root {scans} …" in done.err
    assert cards.find_dataset("scans").root is None
    assert len(load_dataset("scans", scans).samples) == 12


def test_nothing_is_replaced_unless_forced(medbench, here):
    assert medbench("init", "clinic/labels.csv", "--name", "eyes").status == 0
    before = (here / "datasets" / "eyes.yaml").read_text()
    done = medbench("init", "clinic/labels.csv", "--name", "eyes", "--label", "grade")
    assert done.status == 2
    assert done.err.splitlines()[-2:] == [
        "error: a data set card 'eyes' already exists",
        "hint: choose another --name, or replace it with --force",
    ]
    assert (here / "datasets" / "eyes.yaml").read_text() == before
    assert medbench("init", "clinic/labels.csv", "--name", "eyes", "--label", "grade", "--force").status == 0
    assert cards.find_dataset("eyes").layout.label == "grade"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["toy"], "'toy' is already a card"),
        (["clinic/labels.csv", "--name", "aptos"], "a data set card 'aptos' already exists"),
        (["clinic/labels.csv", "--name", "../eyes"], "'../eyes' is not a valid data set name"),
        (["clinic/none.csv"], "no label file clinic/none.csv"),
        (["none"], "unknown dataset 'none'"),
        (["clinic/labels.csv", "--label", "stage"], "'stage'"),
    ],
)
def test_what_is_refused(medbench, here, words, said):
    done = medbench("init", *words)
    assert done.status == 2
    assert said in done.err
    assert not (here / "datasets").exists()


def targets(data):
    return dict(zip(data.samples["id"], data.samples["target"], strict=True))


def plain(text):
    return " ".join(text.split())


@pytest.mark.parametrize("given", ["column", "columns", "folder"])
def test_the_finding_is_the_positive_class(medbench, here, given):
    if given == "folder":
        for old, new in (("a", "cyst"), ("b", "none")):
            (here.parent / "scans" / old).rename(here.parent / "scans" / new)
        data, root = str(here.parent / "scans"), here.parent / "scans"
    else:
        data, root = "clinic/two.csv", None
        head = "image,label\n" if given == "column" else "image,cyst,none\n"
        cells = ("cyst", "none") if given == "column" else ("1,0", "0,1")
        (here / data).write_text(head + "".join(f"{i}.png,{cells[i % 2]}\n" for i in range(12)))
    checked = medbench("data", "check", data)
    assert "cyst, none (none is positive)" in plain(checked.out), "without a card, the order is that of the names"
    assert "warning: doubt: 'none' is the positive class" in plain(checked.out)
    said = "none, cyst (cyst is positive)"
    shown = medbench("data", "card", data)
    assert said in plain(shown.err)
    made = medbench("init", data, "--name", "mine")
    assert made.status == 0
    assert said in plain(made.out)
    assert "warning" not in made.out
    card = cards.find_dataset("mine")
    assert (card.class_names, card.task) == (["none", "cyst"], "binary")
    assert load_dataset(data).card.class_names == ["cyst", "none"]
    by_card, by_file = targets(load_dataset("mine", root)), targets(load_dataset(data))
    assert by_card == {name: 1 - target for name, target in by_file.items()}
    assert set(by_card.values()) == {0, 1}


def test_labels_and_images_in_two_folders(medbench, here):
    (here / "tables").mkdir()
    (here / "clinic" / "labels.csv").rename(here / "tables" / "labels.csv")
    apart = ("tables/labels.csv", "--data-root", "clinic")
    assert medbench("init", *apart, "--name", "apart").status == 0
    assert medbench("data", "check", "apart", "--no-near").status == 0
    by_file = load_dataset("tables/labels.csv", "clinic")
    assert load_dataset("apart").samples.equals(by_file.samples)
    printed = medbench("data", "card", *apart).out.replace("name: tables-labels", "name: printed")
    (here / "printed.yaml").write_text(printed)
    assert load_dataset("printed.yaml", "clinic").digest == by_file.digest


@pytest.mark.parametrize("name", ["eyes.csv", "eyes.yaml", "medmnist--eyes", ".eyes", "a/b", "e" * 81])
def test_a_name_that_would_not_find_the_card(medbench, here, name):
    done = medbench("init", "clinic/labels.csv", "--name", name)
    assert done.status == 2
    assert f"'{name}' is not a valid data set name" in done.err
    assert not (here / "datasets").exists()


def test_the_metric_goes_with_the_task(medbench, here):
    done = medbench("init", "clinic/labels.csv", "--metric", "kappa_quadratic")
    assert done.status == 2
    assert "the metric 'kappa_quadratic' is not for binary tasks" in done.err


def test_the_order_of_named_columns_is_the_users(medbench, here):
    rows = [f"{i}.png,{i % 2},{1 - i % 2}\n" for i in range(12)]
    (here / "clinic" / "two.csv").write_text("image,cyst,none\n" + "".join(rows))
    done = medbench("init", "clinic/two.csv", "--label", "cyst,none")
    assert "'none' is the positive class, by the order of --label" in done.out
    assert "reverse it: --label none,cyst" in done.out
    assert "warning" not in medbench("init", "clinic/two.csv", "--label", "none,cyst", "--force").out


def test_several_labels_have_no_positive_class(medbench, here):
    rows = [f"{i}.png,{i % 2},{int(i % 3 == 0)}\n" for i in range(12)]
    (here / "clinic" / "two.csv").write_text("image,cyst,none\n" + "".join(rows))
    done = medbench("data", "check", "clinic/two.csv")
    assert "task      multilabel" in done.out
    assert "positive" not in done.out


def test_a_card_is_not_written_among_the_classes(medbench, here, monkeypatch):
    scans = here.parent / "scans"
    monkeypatch.chdir(scans)
    done = medbench("init", ".")
    assert done.status == 2
    assert "its folder, datasets, would be taken for a class of the data" in done.err
    assert sorted(path.name for path in scans.iterdir()) == ["a", "b"]
    monkeypatch.chdir(here / "clinic")
    assert medbench("init", "labels.csv", "--name", "eyes").status == 0
    assert cards.find_dataset("eyes").root == ".."
    assert len(load_dataset("eyes").samples) == 12
