from __future__ import annotations

import pytest

from medbench.data.layouts.reader import read_samples
from medbench.data.layouts.xlsx import workbook_rows
from medbench.data.twins.twin import synthesise
from medbench.errors import DataError

OFFICIAL = {"default": "o", "rules": {"o": {"method": "official"}}}


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


def test_twin_of_a_workbook_has_its_lines_and_numbers(tmp_path, make_card):
    tables = [{"file": ["new/l.xlsx", "old.csv"], "header": 3, "unnamed": "ID"}]
    examples = [{"image": "RET002.jpg", "cells": {"ID": "#002"}}]
    layout = {
        "tables": tables,
        "image": "RET{ID}.jpg",
        "replace": {"RET#": "RET"},
        "group": "{p}",
        "examples": examples,
    }
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
    card = make_card(layout={"image": "i/{name}.tif", "match": "stem"})
    root = synthesise(card, tmp_path / "t", 60)
    frame = read_samples(card, root)
    assert {path.rpartition(".")[2] for path in frame["path"]} == {"png", "JPG"}
    assert all((root / path).is_file() for path in frame["path"])
    assert frame["id"].str.endswith(".tif").all()


def test_rows_are_like_the_examples(tmp_path, make_card, rows_of):
    examples = [
        {"image": f"train/patient00001/{file}", "cells": {"Path": f"Set-v1.0{kind}/train\\patient00001\\{file}"}}
        for kind, file in (("", "view1.jpg"), ("-small", "2_lateral.jpg"))
    ]
    layout = {"image": "{Path}", "replace": {r"^Set-v1\.0(-small)?/": "", r"\\": "/"}, "examples": examples}
    card = make_card(layout={**layout, "group_pattern": r"/(?P<group>patient\d{5})/"})
    root = synthesise(card, tmp_path / "t", 60)
    raws = [row[0] for row in rows_of(root / "labels.csv")[1:]]
    assert raws[:2] == [r"Set-v1.0/train\patient00000\view0.jpg", r"Set-v1.0/train\patient00000\view1.jpg"]
    assert raws[2] == r"Set-v1.0-small/train\patient00001\2_lateral.jpg"
    frame = read_samples(card, root)
    assert frame["path"].str.fullmatch(r"train/patient\d{5}/(view\d+|\d+_lateral)\.jpg").all()
    assert all((root / path).is_file() for path in frame["path"])
    assert frame["group"].nunique() == 24
    assert frame["group"].value_counts().max() <= 3


def test_each_table_follows_its_own_examples(tmp_path, make_card):
    tables = [{"file": f"{split}.csv", "split": split, "image": f"{split}/{{n}}"} for split in ("train", "val", "test")]
    examples = [{"image": f"{split}/{split}_01.jpg", "cells": {"n": f"{split}_01.jpg"}} for split in ("train", "test")]
    card = make_card(layout={"tables": tables, "examples": examples}, splits=OFFICIAL)
    frame = read_samples(card, synthesise(card, tmp_path / "t", 60))
    for split, name in (("train", "train"), ("val", "(train|test)"), ("test", "test")):
        assert frame["path"][frame["official"] == split].str.fullmatch(rf"{split}/{name}_\d\d\.jpg").all()


def test_twin_of_joined_tables_and_inputs(tmp_path, make_card, rows_of):
    table = {"file": "l.csv", "join": {"file": "meta.csv", "by": "image"}}
    card = make_card(layout={"tables": [table], "image": "{image}.jpg", "group": "{lesion}", "where": {"view": ["F"]}})
    root = synthesise(card, tmp_path / "join", 60)
    assert rows_of(root / "l.csv")[0] == ["image", "label"]
    assert set(rows_of(root / "meta.csv")[0]) == {"image", "lesion", "view"}
    assert read_samples(card, root)["group"].nunique() == 24
    layout = {"image": "{id}/{id}.jpg", "pad": {"id": 4}, "inputs": {"oct": {"image": "{id}/{id}"}}}
    layout["inputs"]["oct"] |= {"slices": r"(?P<index>\d+)_image\.png", "example": "7_image.png"}
    card = make_card(layout=layout)
    frame = read_samples(card, synthesise(card, tmp_path / "inputs", 30))
    assert frame["path"][7] == "0007/0007.jpg"
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


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        (
            {"image": "{Path}", "group_pattern": "(?P<group>never)"},
            ("finds no group in '00000.png'", "layout.examples"),
        ),
        ({"image": "one.png"}, ("all rows would have the image one.png", "layout.image")),
        ({"image": "{label}/one.png"}, ("all rows would have the image", "layout.image")),
        ({"image": "../{image}.png"}, ("'../00000.png' leaves the data folder", "")),
        (
            {"image": "{n}.png", "inputs": {"oct": {"image": "{n}", "slices": r"(?P<index>\d+)\.png"}}},
            ("the input 'oct' has no example of a slice", "layout.examples"),
        ),
    ],
)
def test_what_no_name_can_tell_is_refused(tmp_path, make_card, layout, words):
    with pytest.raises(DataError) as caught:
        synthesise(make_card(layout=layout), tmp_path / "t")
    for word in words:
        assert word in str(caught.value)
    assert not (tmp_path / "t").exists()


def test_rows_by_value_every_other_text_and_the_usual_column(tmp_path, make_card):
    layout = {
        "image": None,
        "values": {"?": "a", "R0": "a", "R1": "b", "*": "c"},
        "leave_out": {"label": ["?"], "quality": ["", "poor"], "reader": ["x"]},
    }
    card = make_card(layout=layout, exclude="nowhere.txt")
    (tmp_path / "nowhere.txt").write_text("1.png\n")
    card._folder = tmp_path
    frame = read_samples(card, synthesise(card, tmp_path / "twin", 60))
    assert len(frame) == 60, "a twin has other ids than the exclusion list"
    assert set(frame["target"]) == {0, 1, 2}
