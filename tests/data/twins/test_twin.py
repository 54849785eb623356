from __future__ import annotations

import pytest

from medbench.cards import find_dataset
from medbench.data.checks.check import check
from medbench.data.layouts.reader import read_samples
from medbench.data.load import load_dataset
from medbench.data.twins.twin import synthesise
from medbench.errors import DataError


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
    assert {f.kind for f in report.findings if f.kind != "absent"} == {"counts"}
    assert "synthetic twin" in report.findings[0].text
    (aptos / "SYNTHETIC.txt").unlink()
    assert not check("aptos", aptos).clean


def broken(aptos, how):
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
        ("csv", ("train.csv is not there", "kaggle")),
        ("column", ("no column 'diagnosis'", "id_code, grade")),
        ("label", ("train.csv:5: column 'diagnosis'", "out of range")),
        ("climb", ("train.csv:5", "leaves the data folder")),
        ("image", ("1 of the 60 images", "medbench data check aptos")),
        ("images", ("none of the 60 images", "kaggle")),
    ],
)
def test_broken_twins_fail_with_the_right_words(aptos, how, words):
    broken(aptos, how)
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


def test_every_part_of_a_csv_layout(tmp_path, make_card):
    layout = {
        "tables": [
            {"file": "lists/tr.csv", "split": "train"},
            {"file": "te.csv", "split": "test", "image": "test/{name} {eye}.jpg"},
        ],
        "delimiter": ";",
        "image": "train/{name} {eye}.jpg",
        "id": "{name}{eye}",
        "label": "grade",
        "values": {"R0": 0, "R1": 1, "R2": 2, "none": 0},
        "group": "{patient}",
    }
    card = make_card(layout=layout, splits={"default": "o", "rules": {"o": {"method": "official"}}}, channels=1)
    frame = read_samples(card, synthesise(card, tmp_path / "twin", 60))
    assert set(frame["official"]) == {"train", "test"}
    for split in ("train", "test"):
        assert set(frame.loc[frame["official"] == split, "target"]) == {0, 1, 2}
    sizes = frame["group"].value_counts()
    assert sizes.between(1, 3).all()
    assert sizes.median() >= 2
    (tmp_path / "mine.yaml").write_text("")
    assert (tmp_path / "twin" / frame["path"].iloc[-1]).is_file()


def test_multilabel_and_one_hot(tmp_path, make_card):
    layout = {"label": None, "labels": ["A", "B", "C"], "split": "fold", "group": "{p}", "image": "{image}"}
    for task in ("multilabel", "multiclass"):
        card = make_card(task=task, layout=layout, splits={"default": "o", "rules": {"o": {"method": "official"}}})
        frame = read_samples(card, synthesise(card, tmp_path / task, 60))
        assert len(frame) == 60
        assert set(frame["official"]) == {"train", "test"}


def test_folders_and_lists(tmp_path, make_card):
    layouts = (
        {"kind": "folders", "splits": {"train": "tr", "test": "te"}, "folders": {"x": 0, "y": 1, "z": 2}},
        {"kind": "folders", "group": r"(?P<group>p\d+)-"},
        {
            "kind": "lists",
            "lists": {"train": "l/train.txt", "val": "l/val.txt", "test": "l/test.txt"},
            "image": "raw/{name}",
            "label": "^(?P<label>[^_]+)_",
            "values": {"normal": 0, "benign": 1, "cancer": 2},
            "group": r"(?P<group>case\d+)_",
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


def test_refusals(tmp_path, make_card):
    with pytest.raises(DataError, match="drawn by medbench"):
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
