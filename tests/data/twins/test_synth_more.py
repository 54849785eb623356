from __future__ import annotations

import csv
import re

import numpy as np
import pytest
from PIL import Image

from medbench import cards
from medbench.cards.find import find_dataset
from medbench.data.checks.check import check
from medbench.data.images.decode import open_image
from medbench.data.layouts import medmnist_npz
from medbench.data.layouts.reader import read_samples
from medbench.data.layouts.xlsx import workbook_rows
from medbench.data.load import load_dataset
from medbench.data.twins.spell_regex import Speller
from medbench.data.twins.twin import synthesise, usual_number
from medbench.errors import DataError

REAL = [name for name in cards.names("datasets") if not find_dataset(name).toy]
OFFICIAL = {"default": "o", "rules": {"o": {"method": "official"}}}


def rows_of(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("name", [*REAL, "medmnist/pathmnist", "medmnist/chestmnist_64", "medmnist/retinamnist"])
def test_every_card_reads_its_own_twin(tmp_path, name):
    card = find_dataset(name)
    root = synthesise(card, tmp_path / "twin")
    for rule in card.splits.rules:
        data = load_dataset(name, root, rule)
        assert {"train", "val", "test"} <= set(data.samples["split"]) | {""}
    assert data.toy
    assert len(data.samples) == usual_number(card) or getattr(card.layout, "first", None)
    targets = data.targets()
    assert (targets.any(axis=0) if targets.ndim == 2 else np.bincount(targets, minlength=data.n_classes) > 0).all()
    kinds = {finding.kind for finding in check(name, root, images=False).findings if finding.severity == "error"}
    assert not kinds


def card_with(make_card, **layout):
    return make_card(layout={"tables": [{"file": "l.csv"}], **layout})


def test_twin_of_a_workbook_has_its_lines_and_numbers(tmp_path, make_card):
    tables = [{"file": ["new/l.xlsx", "old.csv"], "header": 3, "unnamed": "ID"}]
    layout = {"tables": tables, "image": "RET{ID}.jpg", "replace": {"RET#": "RET"}, "group": "{p}"}
    card = make_card(layout=layout)
    root = synthesise(card, tmp_path / "a", 60)
    rows = [row for _, row in workbook_rows(root / "new/l.xlsx")]
    assert rows[0][0] == rows[1][0] == "made up by medbench"
    assert rows[2][0] == ""
    assert set(rows[2][1:]) == {"p", "label"}
    assert all(row[0].startswith("#") for row in rows[3:])
    import openpyxl

    cells = [
        row[1:] for row in openpyxl.load_workbook(root / "new/l.xlsx").active.iter_rows(min_row=4, values_only=True)
    ]
    assert all(isinstance(label, int) for row in cells for label in row[-1:])
    frame = read_samples(card, root)
    assert len(frame) == 60
    assert frame["path"].str.fullmatch(r"RET\d+\.jpg").all()
    other = synthesise(card, tmp_path / "b", 60, seed=1)
    assert not (other / "new").exists()
    assert (other / "old.csv").is_file()
    assert read_samples(card, other)["target"].tolist() == frame["target"].tolist()


def test_twin_of_stems_has_other_endings(tmp_path, make_card):
    card = card_with(make_card, image="i/{name}.tif", match="stem")
    root = synthesise(card, tmp_path / "t", 60)
    frame = read_samples(card, root)
    assert {path.rpartition(".")[2] for path in frame["path"]} == {"png", "JPG"}
    assert all((root / path).is_file() for path in frame["path"])
    assert frame["id"].str.endswith(".tif").all()


def test_twin_has_what_is_to_be_replaced(tmp_path, make_card):
    card = card_with(
        make_card,
        image="{Path}",
        replace={r"^Set-v1\.0(-small)?/": "", r"\\": "/"},
        group_pattern=r"/(?P<group>patient\d{5})/",
    )
    root = synthesise(card, tmp_path / "t", 60)
    raws = [row[0] for row in rows_of(root / "l.csv")[1:]]
    assert all(raw.startswith("Set-v1.0/") and "\\" in raw for raw in raws)
    frame = read_samples(card, root)
    assert not frame["path"].str.contains("Set-v1").any()
    assert all((root / path).is_file() for path in frame["path"])
    assert frame["group"].str.fullmatch(r"patient\d{5}").all()
    assert frame["group"].nunique() == 24
    assert frame["group"].value_counts().max() <= 3


def test_twin_of_label_forms(tmp_path, make_card):
    card = card_with(make_card, label=["left", "right"], where={"gradable": ["1"]})
    rows = rows_of(synthesise(card, tmp_path / "several", 30) / "l.csv")
    head, body = rows[0], rows[1:]
    left, right = head.index("left"), head.index("right")
    assert all((row[left] == "") != (row[right] == "") for row in body[:-1])
    assert body[-1][left] == body[-1][right] == "", "the row that is left out"
    assert [row[head.index("gradable")] for row in body] == ["1"] * 30 + ["0"]
    assert len(read_samples(card, tmp_path / "several")) == 30
    listed = card_with(make_card, listed=True, values={"no DR": 0, "mild DR": 1, "other": 2})
    assert "['no DR', 'made up']" in (synthesise(listed, tmp_path / "listed", 30) / "l.csv").read_text()
    assert set(read_samples(listed, tmp_path / "listed")["target"]) == {0, 1, 2}


def test_twin_of_findings(tmp_path, make_card):
    layout = {"tables": [{"file": "l.csv"}], "label": None, "labels": ["A", "B", "N"], "none": "c", "group": "{p}"}
    card = make_card(task="multilabel", layout={**layout, "values": {"": 0, "-1.0": 0, "1.0": 1}})
    root = synthesise(card, tmp_path / "hot", 60)
    cells = {cell for row in rows_of(root / "l.csv")[1:] for cell in row[-3:]}
    assert cells == {"", "-1.0", "0", "1", "1.0"}
    hot = read_samples(card, root).filter(like="target_").to_numpy()
    assert (hot.sum(axis=1) > 0).all()
    assert ((hot[:, 2] == 1) == (hot[:, :2].sum(axis=1) == 0)).all()
    layout = {"tables": [{"file": "l.csv"}], "separator": "|", "nothing": ["No Finding"], "group": "{p}"}
    card = make_card(task="multilabel", layout=layout)
    text = (synthesise(card, tmp_path / "list", 60) / "l.csv").read_text()
    assert "No Finding" in text
    assert "a|b" in text
    hot = read_samples(card, tmp_path / "list").filter(like="target_").to_numpy()
    assert (hot.sum(axis=1) == 0).any()


def test_twin_of_joined_tables_and_inputs(tmp_path, make_card):
    table = {"file": "l.csv", "join": {"file": "meta.csv", "by": "image"}}
    card = make_card(layout={"tables": [table], "image": "{image}.jpg", "group": "{lesion}", "where": {"view": ["F"]}})
    root = synthesise(card, tmp_path / "join", 60)
    assert rows_of(root / "l.csv")[0] == ["image", "label"]
    assert set(rows_of(root / "meta.csv")[0]) == {"image", "lesion", "view"}
    assert read_samples(card, root)["group"].nunique() == 24
    layout = {"image": "{id}/{id}.jpg", "pad": {"id": 4}, "inputs": {"oct": {"image": "{id}/{id}"}}}
    layout["inputs"]["oct"]["slices"] = r"(?P<index>\d+)_image\.png"
    card = card_with(make_card, **layout)
    frame = read_samples(card, synthesise(card, tmp_path / "inputs", 30))
    assert frame["path"][0] == "0001/0001.jpg"
    names = sorted(p.name for p in (tmp_path / "inputs" / frame["input_oct"][0]).iterdir())
    assert names == ["0_image.png", "1_image.png", "2_image.png"]


def test_patients_named_by_the_group_lie_in_both_tables(tmp_path, make_card):
    tables = [{"file": f"{eye}.csv", "image": f"RET{{ID}}{eye}.jpg"} for eye in ("OD", "OS")]
    card = make_card(layout={"tables": tables, "group": "{ID}"})
    frame = read_samples(card, synthesise(card, tmp_path / "t", 60))
    assert len(frame) == 60
    assert (frame["group"].value_counts() == 2).sum() == 24
    few = make_card(classes=["a", "b"], layout={"tables": [{"file": f"{i}.csv"} for i in range(9)]})
    with pytest.raises(DataError, match="too few for 9 tables"):
        synthesise(few, tmp_path / "few", 8)


def test_tables_of_each_split(tmp_path, make_card):
    tables = [
        {"file": f"{s}{i}.csv", "split": s, "image": f"{s}{i}/{{n}}.jpg"} for s in ("train", "test") for i in "ab"
    ]
    card = make_card(layout={"tables": tables}, splits=OFFICIAL)
    frame = read_samples(card, synthesise(card, tmp_path / "t", 60))
    assert len(frame) == 60
    assert set(frame["path"].str.partition("/")[0]) == {"traina", "trainb", "testa", "testb"}
    for split in ("train", "test"):
        assert set(frame.loc[frame["official"] == split, "target"]) == {0, 1, 2}


def test_twin_of_names_that_hold_the_class(tmp_path, make_card):
    layout = {
        "kind": "folders",
        "splits": {"train": "train/Original", "test": "test/Original"},
        "label": r"_(?P<label>[ADN])\.png$",
        "folders": {"N": 0, "A": 1, "D": 2},
        "only": r"^(train|test)/Original/[^/]+\.png$",
        "group": r"(?P<group>[A-D]_\d+)_",
    }
    card = make_card(layout=layout, splits=OFFICIAL)
    root = synthesise(card, tmp_path / "t", 60)
    frame = read_samples(card, root)
    assert len(frame) == 60
    assert frame["path"].str.fullmatch(r"(train|test)/Original/.*A_\d{4}_.*_[NAD]\.png").all()
    assert frame["group"].nunique() == 24
    extra = {str(p.relative_to(root)) for p in root.rglob("*.png")} - set(frame["path"])
    assert len(extra) == 1, "a picture that `only` leaves out"


def test_twin_has_more_than_the_first_images(tmp_path, make_card):
    layout = {"kind": "folders", "first": 20, "only": "^(0.0.N|8.M|9.R)/", "folders": {"0.0.N": 0, "8.M": 1, "9.R": 2}}
    card = make_card(layout=layout)
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


def test_dicom_twin(tmp_path, make_card):
    for channels in (1, 3):
        card = make_card(layout={"tables": [{"file": "l.csv"}], "image": "{id}.dcm"}, channels=channels)
        root = synthesise(card, tmp_path / str(channels), 30)
        image = open_image(root / read_samples(card, root)["path"][0], channels)
        assert image.mode == ("L" if channels == 1 else "RGB")
        assert np.asarray(image).std() > 10


def test_pictures_of_a_twin_are_no_near_duplicates(tmp_path, make_card):
    card = card_with(make_card, image="{n}.png")
    root = synthesise(card, tmp_path / "t", 60)
    small = [np.asarray(Image.open(p).convert("L").resize((16, 16)), float).ravel() for p in root.glob("*.png")]
    alike = np.corrcoef([s - np.mean(small, axis=0) for s in small]) - np.eye(60)
    assert alike.max() < 0.9


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?P<group>[A-D]_\d+)_1\.",
        r"^CheXpert-v1\.0(-small)?/train/patient(?P<group>\d{5})/study\d+/view\d_[a-z]+\.jpg$",
        r"(?i)_(left|right)\.(jpe?g|png)",
        r"[^/_\s]{3,}_\w\d\.(?:tif|png)(?!x)",
        r"^(.)\1-(?P<x>\d{2}|y)(?=z)?[^a-y]",
        r"(?P<group>(?:a|b)+)\W",
    ],
)
def test_spelled_texts_are_found(pattern):
    for branch in range(3):
        text = Speller(pattern, {}, {"": "70001", "group": "0012"}, branch).text()
        match = re.search(pattern, text)
        assert match, text
        if r"(?P<group>\d" in pattern:
            assert int(match["group"]) == 12


def test_what_no_name_can_tell_is_refused(tmp_path, make_card):
    for layout in ({"image": "{Path}", "group_pattern": "(?P<group>never)"}, {"image": "one.png"}):
        with pytest.raises(DataError) as caught:
            synthesise(card_with(make_card, **layout), tmp_path / "t")
        assert "no twin of this card" in caught.value.hint
    assert not (tmp_path / "t").exists()


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
