from __future__ import annotations

import numpy as np
import pytest

from medbench import cards
from medbench.cards import find_dataset
from medbench.data.checks.check import check
from medbench.data.load import load_dataset
from medbench.data.twins.twin import synthesise, usual_number
from medbench.errors import DataError

REAL = [name for name in cards.names("datasets") if not find_dataset(name).toy]


@pytest.fixture
def aptos(tmp_path):
    return synthesise(find_dataset("aptos"), tmp_path / "aptos", n=60)


def test_twin_of_aptos_lies_as_the_release_unzips(aptos):
    assert sorted(p.name for p in aptos.iterdir()) == ["SYNTHETIC.txt", "train.csv", "train_images"]
    assert (aptos / "train.csv").read_text(encoding="utf-8-sig").splitlines()[0] == "id_code,diagnosis"
    assert len(list((aptos / "train_images").glob("*.png"))) == 60


@pytest.mark.parametrize("split", ["paper", "stratified"])
def test_real_reader_reads_the_twin(aptos, split):
    dataset = load_dataset("aptos", aptos, split=split)
    assert len(dataset.samples) == 60
    assert set(dataset.targets()) == {0, 1, 2, 3, 4}
    assert set(dataset.samples["split"]) == {"train", "val", "test"}
    assert load_dataset("aptos", aptos.parent, split=split).digest == dataset.digest


def test_check_of_the_twin_passes_apart_from_counts(aptos):
    report = check("aptos", aptos)
    assert report.clean
    assert {f.kind for f in report.findings if not f.kind.startswith("absent")} == {"counts"}
    assert "synthetic twin" in report.findings[0].text
    (aptos / "SYNTHETIC.txt").unlink()
    assert not check("aptos", aptos).clean


def broken_aptos(aptos, how):
    csv = aptos / "train.csv"
    text = csv.read_text(encoding="utf-8-sig")
    images = sorted((aptos / "train_images").iterdir())
    {
        "csv": lambda: csv.unlink(),
        "column": lambda: csv.write_text(text.replace("diagnosis", "grade")),
        "label": lambda: csv.write_text(text.replace("00003,", "00003,7", 1)),
        "climb": lambda: csv.write_text(text.replace("00003,", "../../00003,", 1)),
        "image": lambda: images[3].unlink(),
        "images": lambda: [image.unlink() for image in images],
    }[how]()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("csv", ("train.csv does not exist", "kaggle")),
        ("column", ("no column 'diagnosis'", "id_code, grade")),
        ("label", ("train.csv:5: column 'diagnosis'", "out of range")),
        ("climb", ("train.csv:5", "leaves the data folder")),
        ("image", ("1 of the 60 images", "medbench data check aptos")),
        ("images", ("none of the 60 images", "kaggle")),
    ],
)
def test_broken_twins_fail_with_the_right_words(aptos, how, words):
    broken_aptos(aptos, how)
    with pytest.raises(DataError) as caught:
        load_dataset("aptos", aptos)
    for word in words:
        assert word in str(caught.value)
    kind = "missing" if how.startswith("image") else "labels"
    assert [f.severity for f in check("aptos", aptos).findings if f.kind == kind] == ["error"]


def test_same_seed_same_twin(tmp_path):
    card = find_dataset("aptos")
    digests = [
        load_dataset("aptos", synthesise(card, tmp_path / str(i), 60, seed)).digest for i, seed in enumerate((0, 0, 1))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_refusals(tmp_path, make_card):
    with pytest.raises(DataError, match="medbench itself generates the images of 'toy'"):
        synthesise(find_dataset("toy"), tmp_path / "t")
    with pytest.raises(DataError, match="too few for 5 classes"):
        synthesise(find_dataset("aptos"), tmp_path / "t", n=9)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(DataError, match="not empty"):
        synthesise(find_dataset("aptos"), tmp_path / "full")
    impossible = make_card(layout={"kind": "folders", "group": "(?P<group>never)"})
    with pytest.raises(DataError, match="cannot make up names"):
        synthesise(impossible, tmp_path / "t")
    assert not (tmp_path / "t").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize(
    "name", [*REAL, "medmnist/pathmnist", "medmnist/chestmnist_64", "medmnist/retinamnist", "medmnist/nodulemnist3d"]
)
def test_every_card_reads_its_own_twin(tmp_path, name):
    card = find_dataset(name)
    root = synthesise(card, tmp_path / "twin")
    for rule in card.splits.rules:
        data = load_dataset(name, root, rule)
        assert set(card.splits.rules[rule].parts) == set(data.samples["split"]) - {""}
    assert data.toy
    assert len(data.samples) == usual_number(card) or getattr(card.layout, "first", None)
    targets = data.targets()
    assert (targets.any(axis=0) if targets.ndim == 2 else np.bincount(targets, minlength=data.n_classes) > 0).all()
    kinds = {finding.kind for finding in check(name, root, images=False).findings if finding.severity == "error"}
    assert not kinds


def broken(root, how):
    table = root / "l.csv"
    lines = table.read_text(encoding="utf-8-sig").splitlines()
    images = sorted(root.rglob("*.jpg"))
    cells = lines[3].split(",")
    label = lines[0].split(",").index("grade")
    changed = {"unknown": "9", "empty": ""}.get(how, cells[label])
    lines[3] = ",".join([*cells[:label], changed, *cells[label + 1 :]])
    if how == "file":
        table.unlink()
    elif how == "image":
        images[4].unlink()
    else:
        table.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("file", ("none of the label files l.csv, m.csv", "fetch it")),
        ("unknown", ("l.csv:4: column 'grade'", "'9' is out of range")),
        ("empty", ("l.csv:4: column 'grade'", "the label is missing")),
        ("image", ("1 of the 30 images", "00004.jpg", "medbench data check")),
    ],
)
def test_broken_twins_are_told(tmp_path, how, words):
    (tmp_path / "mine.yaml").write_text(
        "layout: {kind: csv, tables: [{file: [l.csv, m.csv]}], image: 'i/{n}.jpg', label: grade, where: {ok: ['1']}}\n"
        "task: multiclass\nclasses: [a, b, c]\nmetric: recall_macro\naccess: {steps: fetch it}\n"
        "splits: {default: s, rules: {s: {method: stratified}}}\n"
    )
    card = find_dataset(str(tmp_path / "mine.yaml"))
    root = synthesise(card, tmp_path / "twin", 30)
    assert len(load_dataset(str(tmp_path / "mine.yaml"), root).samples) == 30
    broken(root, how)
    with pytest.raises(DataError) as caught:
        load_dataset(str(tmp_path / "mine.yaml"), root)
    for word in words:
        assert word in str(caught.value)
