from __future__ import annotations

import datetime

import numpy as np
import openpyxl
import pytest

from medbench.data.checks.check import check
from medbench.data.layouts.reader import read_samples
from medbench.data.load import load_dataset
from medbench.errors import CardError, DataError

from ..conftest import write_image


def refused(call, *words, error=DataError):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value), f"'{word}' is not in: {caught.value}"
    assert caught.value.hint


def book(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    made = openpyxl.Workbook()
    for row in rows:
        made.active.append(row)
    made.create_sheet("other").append(["not", "read"])
    made.save(path)
    return path.parent


XLSX = {"tables": [{"file": "l.xlsx"}], "image": "{id}.png", "label": "grade"}


def test_workbook_cells_are_text(tmp_path, make_card):
    rows = [["id", "grade", "when"], [12, 0.0, datetime.date(2020, 1, 2)], [], ["0013", 2, None], [" a ", "1", 1.5]]
    root = book(tmp_path / "l.xlsx", rows)
    frame = read_samples(make_card(layout={**XLSX, "group": "{when}"}), root)
    assert frame["path"].tolist() == ["12.png", "0013.png", "a.png"]
    assert frame["target"].tolist() == [0, 2, 1]
    assert frame["group"].tolist() == ["2020-01-02", "0013.png", "1.5"]


def test_header_line_and_column_without_a_name(tmp_path, make_card):
    rows = [["a title"], [None, "Age", "grade"], ["ID", "years", "0/1/2"], [None, "Age", "grade"]]
    root = book(tmp_path / "l.xlsx", [*rows, ["#2", 40, 1], ["#4", 50, 2]])
    table = {"file": "l.xlsx", "header": 4, "unnamed": "ID"}
    layout = {**XLSX, "tables": [table], "image": "RET{ID}.png", "replace": {"#": "00"}, "group": "{ID}"}
    frame = read_samples(make_card(layout=layout), root)
    assert frame["path"].tolist() == ["RET002.png", "RET004.png"]
    assert frame["group"].tolist() == ["#2", "#4"]
    (tmp_path / "l.csv").write_text('made in 2020,"odd\n,x,grade\n7,8,1\n,9,2\n')
    layout["tables"] = [{"file": "l.csv", "header": 2, "unnamed": "ID"}]
    refused(lambda: read_samples(make_card(layout=layout), root), "l.csv:4: column 'ID': the cell is empty")


def test_workbook_errors_name_the_row(tmp_path, make_card):
    root = book(tmp_path / "l.xlsx", [["above"], ["id", "grade"], ["a", 0], [], ["b", 7]])
    table = {"file": "l.xlsx", "header": 2}
    refused(
        lambda: read_samples(make_card(layout={**XLSX, "tables": [table]}), root), "l.xlsx:5: column 'grade'", "'7'"
    )
    refused(lambda: read_samples(make_card(layout=XLSX), root), "no column 'id'", "above")
    book(tmp_path / "l.xlsx", [["id", "grade"], ["a", None]])
    refused(lambda: read_samples(make_card(layout=XLSX), root), "l.xlsx:2", "label is missing")
    (tmp_path / "l.xlsx").write_text("id,grade\n")
    refused(lambda: read_samples(make_card(layout=XLSX), root), "not a valid .xlsx workbook")
    (tmp_path / "l.xlsx").unlink()
    refused(lambda: read_samples(make_card(layout=XLSX), root), "l.xlsx does not exist")


def test_of_several_file_names_the_first_that_is_there(make_csv, make_card):
    root = make_csv("image,label", [("x.png", "a")], name="new.csv")
    make_csv("image,label", [("y.png", "b")], name="old.csv")
    card = make_card(layout={"tables": [{"file": ["newest.csv", "new.csv", "old.csv"]}]})
    assert read_samples(card, root)["id"].tolist() == ["x.png"]
    card = make_card(layout={"tables": [{"file": ["p.csv", "q.csv"]}]}, access={"steps": "fetch it"})
    refused(lambda: read_samples(card, root), "none of the label files p.csv, q.csv", "fetch it")


def test_endings_on_disk_may_differ(make_csv, make_card):
    root = make_csv("image,label", [("a/x.jpg", "a"), ("a/y.jpg", "b"), ("a/z.2", "c"), ("w.tif", "a")], images=False)
    for name in ("a/x.JPG", "a/y.png", "a/z.2.Tiff", "a/zz.png", "w.tif"):
        write_image(root / name.replace("Tiff", "tif"), 3)
    (root / "a/x.txt").write_text("beside")
    (root / "a/z.2.tif").rename(root / "a/z.2.TIF")
    card = make_card(layout={"match": "stem"})
    frame = read_samples(card, root)
    assert frame["path"].tolist() == ["a/x.JPG", "a/y.png", "a/z.2.TIF", "w.tif"]
    assert frame["id"].tolist() == ["a/x.jpg", "a/y.jpg", "a/z.2", "w.tif"], "ids do not depend on the copy"
    write_image(root / "w.png", 1)
    assert read_samples(card, root)["path"].tolist()[-1] == "w.tif", "what the table names is meant"
    write_image(root / "a/x.png", 1)
    refused(lambda: read_samples(card, root), "labels.csv:2: 'a/x.jpg' may be x.JPG or x.png")
    for name in ("a/x.png", "a/x.JPG"):
        (root / name).unlink()
    assert read_samples(card, root)["path"].tolist()[0] == "a/x.jpg"


def test_image_paths_are_mended(make_csv, make_card):
    rows = [("CheXpert-v1.0-small/train/patient1/a.jpg", "a"), (r"CheXpert-v1.0/train\patient2\a.jpg", "b")]
    root = make_csv("image,label", rows, images=False)
    layout = {
        "replace": {r"^CheXpert-v1\.0(-small)?/": "", r"(\d)(.)a": r"\1\2view"},
        "group_pattern": r"(?P<group>patient\d+)/",
    }
    frame = read_samples(make_card(layout=layout), root)
    assert frame["path"].tolist() == ["train/patient1/view.jpg", "train/patient2/view.jpg"]
    assert frame["group"].tolist() == ["patient1", "patient2"]
    refused(lambda: read_samples(make_card(layout={"replace": {"^C": "../C"}}), root), ":2", "leaves the data folder")
    refused(
        lambda: read_samples(make_card(layout={"group_pattern": "(?P<group>study)"}), root), "labels.csv:2", "its group"
    )


def test_label_from_the_first_column_that_is_not_empty(make_csv, make_card):
    root = make_csv("image,left,right", [("x.png", "2", ""), ("y.png", "", "1.0"), ("z.png", "0", "1")])
    card = make_card(layout={"label": ["left", "right"]})
    assert read_samples(card, root)["target"].tolist() == [2, 1, 0]
    root = make_csv("image,left,right", [("x.png", "2", ""), ("y.png", "", "")])
    refused(lambda: read_samples(card, root), "labels.csv:3: column 'left or right': the label is missing")


def test_listed_labels_are_read_and_never_run(tmp_path, make_csv, make_card):
    root = make_csv("image,label", [("x.png", "\"['b', 'no DME']\""), ("y.png", "['a']")])
    card = make_card(layout={"listed": True})
    assert read_samples(card, root)["target"].tolist() == [1, 0]
    ran = tmp_path / "ran"
    for cell in ("a", "[]", "[1]", "('a',)", f"[open('{ran}';'w')]".replace(";", ","), "[" * 400, "['d']", ""):
        root = make_csv("image,label", [("x.png", '"' + cell + '"')])
        refused(lambda r=root: read_samples(card, r), "labels.csv:2: column 'label'")
    assert not ran.exists()


HOT = {"label": None, "labels": ["A", "B", "N"], "values": {"": 0, "-1.0": 0}, "none": "c"}


def test_rows_without_any_class_are_of_the_class_none(make_csv, make_card):
    root = make_csv("image,A,B,N", [("x.png", "1.0", "", ""), ("y.png", "", "-1.0", "0"), ("z.png", "", "", "1.0")])
    frame = read_samples(make_card(task="multilabel", layout=HOT), root)
    assert frame.filter(like="target_").to_numpy().tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 1]]
    other = make_card(task="multilabel", layout={**HOT, "none": "No Finding"})
    refused(lambda: read_samples(other, root), "'No Finding' is not a class", error=CardError)
    refused(lambda: read_samples(make_card(layout=HOT), root), "task: multilabel", error=CardError)


def test_lists_of_findings_in_one_cell(make_csv, make_card):
    root = make_csv("image,label", [("x.png", "b|a"), ("y.png", "No Finding"), ("z.png", "c")])
    layout = {"separator": "|", "nothing": ["No Finding"]}
    frame = read_samples(make_card(task="multilabel", layout=layout), root)
    assert frame.filter(like="target_").to_numpy().tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert frame["target_a"].dtype == np.uint8
    card = make_card(task="multilabel", layout={"separator": "|"})
    refused(lambda: read_samples(card, root), "labels.csv:3", "'No Finding' is not a class")
    refused(lambda: read_samples(card, make_csv("image,label", [("x.png", "a|")])), "labels.csv:2", "missing")


def test_rows_are_left_out_before_their_labels_are_read(make_csv, make_card):
    root = make_csv(
        "image,label,gradable,view", [("x.png", "", "0", "F"), ("y.png", "b", "1", "F"), ("z.png", "c", "1", "L")]
    )
    layout = {"where": {"gradable": ["1"], "view": ["F", "f"]}}
    assert read_samples(make_card(layout=layout), root)["id"].tolist() == ["y.png"]
    refused(
        lambda: read_samples(make_card(layout={"where": {"view": ["Frontal"]}}), root),
        "no row is left",
        "'F', 'L'",
        "'Frontal'",
    )
    root = make_csv("image,label,gradable,view", [("x.png", "", "0", "F"), ("y.png", "q", "1", "F")])
    refused(lambda: read_samples(make_card(layout=layout), root), "labels.csv:3", "'q'")


def test_columns_of_a_second_table(make_csv, make_card):
    make_csv("image,age,lesion", [("y", "1", "L2"), ("x", "2", "L1"), ("w", "3", "L9")], images=False, name="meta.csv")
    root = make_csv("image,label,age", [("x", "a", "5"), ("y", "b", "6")], images=False)
    table = {"file": "labels.csv", "join": {"file": "meta.csv", "by": "image"}}
    card = make_card(layout={"tables": [table], "image": "{image}.jpg", "group": "{lesion}", "id": "{age}"})
    frame = read_samples(card, root)
    assert frame["group"].tolist() == ["L1", "L2"]
    assert frame["id"].tolist() == ["5", "6"], "the first table's own column counts"
    make_csv("image,label,age", [("x", "a", "5"), ("v", "b", "6")], images=False)
    refused(lambda: read_samples(card, root), "labels.csv:3: column 'image': no row of", "meta.csv has 'v'")
    make_csv("image,lesion", [("x", "L1"), ("x", "L2")], images=False, name="meta.csv")
    refused(lambda: read_samples(card, root), "meta.csv:3", "duplicate key 'x', first at", "meta.csv:2")
    make_csv("image,site", [("x", "L1"), ("v", "L2")], images=False, name="meta.csv")
    refused(lambda: read_samples(card, root), "meta.csv has no column 'lesion'")


def test_padded_numbers_and_further_inputs(tmp_path, make_card):
    root = book(tmp_path / "l.xlsx", [["id", "grade"], [1, 0], [42, 2]])
    layout = {**XLSX, "pad": {"id": 4}, "inputs": {"oct": {"image": "{id}/{id}", "slices": r"(?P<index>\d+)_.*"}}}
    frame = read_samples(make_card(layout=layout), root)
    assert frame["path"].tolist() == ["0001.png", "0042.png"]
    assert frame["input_oct"].tolist() == ["0001/0001", "0042/0042"]
    layout["inputs"] = {"oct": {"image": "../{id}"}}
    refused(lambda: read_samples(make_card(layout=layout), root), "l.xlsx:2", "leaves the data folder")


def folder(root, *names):
    for shade, name in enumerate(names):
        write_image(root / name, shade)
    return root


def test_class_in_the_file_name(tmp_path, make_card):
    names = ("tr/1_D.png", "tr/2_N.png", "tr/sub/3_A.png", "te/1_N.png", "te/2_A.png", "te/3_D.png", "te/mask_N.gif")
    root = folder(tmp_path, *names)
    layout = {
        "kind": "folders",
        "splits": {"train": "tr", "test": "te"},
        "label": r"_(?P<label>[A-Z])\.png$",
        "folders": {"N": 0, "A": 1, "D": 2},
        "group": r"/(?P<group>\d+)_",
    }
    frame = read_samples(make_card(layout=layout), root)
    assert frame["path"].tolist() == [
        "tr/2_N.png",
        "tr/sub/3_A.png",
        "tr/1_D.png",
        "te/1_N.png",
        "te/2_A.png",
        "te/3_D.png",
    ]
    assert frame["target"].tolist() == [0, 1, 2, 0, 1, 2]
    assert frame["official"].tolist() == ["train"] * 3 + ["test"] * 3
    assert frame["group"].tolist() == ["2", "3", "1", "1", "2", "3"]
    folder(root, "tr/9_X.png")
    refused(lambda: read_samples(make_card(layout=layout), root), "tr/9_X.png", "'X'", "N, A, D")
    write_image(root / "tr/odd.png", 1)
    refused(lambda: read_samples(make_card(layout=layout), root), "does not tell its label")
    only = {**layout, "only": r"_[NAD]\.png$"}
    assert len(read_samples(make_card(layout=only), root)) == 6
    refused(lambda: read_samples(make_card(layout={**layout, "only": "nothing"}), root), "no images", "nothing")
    refused(lambda: read_samples(make_card(layout={**only, "splits": {"train": "gone"}}), root), "gone does not exist")


def test_some_folders_and_the_first_images_alone(tmp_path, make_card):
    names = [f"{name}/{i}.png" for name in ("0.0.Normal", "8.MH", "5.other") for i in (3, 1, 2)]
    root = folder(tmp_path, *names, "8.MH/0_mask.png")
    layout = {
        "kind": "folders",
        "folders": {"0.0.Normal": 0, "8.MH": 1},
        "only": r"^(0\.0\.Normal|8\.MH)/\d\.png$",
        "first": 2,
    }
    card = make_card(classes=["normal", "hole"], layout=layout)
    wanted = ["0.0.Normal/1.png", "0.0.Normal/2.png", "8.MH/1.png", "8.MH/2.png"]
    assert read_samples(card, root)["path"].tolist() == wanted
    strict = make_card(classes=["normal", "hole"], layout={**layout, "only": None})
    refused(lambda: read_samples(strict, root), "not classes of the card: 5.other")
    by_name = {**layout, "label": r"^(?P<label>[^/]+)/"}
    assert read_samples(make_card(classes=["normal", "hole"], layout=by_name), root)["path"].tolist() == wanted
    (root / "8.MH").rename(root / "8.Macular")
    refused(lambda: read_samples(card, root), "no images of class 8.MH")


def test_missing_images_of_a_table_are_told(make_csv, make_card, tmp_path):
    root = make_csv("image,label", [("x.png", "a"), ("y.png", "b"), ("z.png", "c")] * 1)
    (root / "y.png").unlink()
    (root / "labels.csv").write_text((root / "labels.csv").read_text().replace("y.png", "y.jpg"))
    card = tmp_path / "mine.yaml"
    card.write_text(
        "layout: {kind: csv, tables: [{file: labels.csv}], image: '{image}', label: label, match: stem}\n"
        "task: multiclass\nclasses: [a, b, c]\nmetric: recall_macro\n"
        "splits: {default: s, rules: {s: {method: stratified}}}\n"
    )
    refused(lambda: load_dataset(str(card), root), "1 of the 3 images", "y.jpg", "medbench data check")
    findings = check(str(card), root, images=False).findings
    assert [f.text for f in findings if f.kind == "missing"] == ["1 of 3 images are missing: y.jpg"]
