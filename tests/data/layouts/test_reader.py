from __future__ import annotations

import numpy as np
import pytest

from medbench.data.layouts.reader import read_samples
from medbench.data.load import load_dataset
from medbench.errors import CardError, DataError

ABC = [("x.png", "a"), ("y.png", "b"), ("z.png", "c")]


def refused(call, *words, error=DataError):
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    for word in words:
        assert word in text, f"'{word}' is not in: {text}"
    assert caught.value.hint
    return text


@pytest.mark.parametrize(
    ("cells", "classes", "values"),
    [
        (("0", "1", "2"), ["a", "b", "c"], {}),
        (("0.0", "1.0", "2.0"), ["a", "b", "c"], {}),
        (("a", "b", "c"), ["a", "b", "c"], {}),
        (("5", "7", "9"), ["5", "7", "9"], {}),
        (("R0", "R1", "R2"), ["a", "b", "c"], {"R0": 0, "R1": 1, "R2": 2}),
        ((" b ", "c", "a "), ["b", "c", "a"], {}),
    ],
)
def test_label_forms(make_csv, make_card, cells, classes, values):
    root = make_csv("image,label", list(zip(("x.png", "y.png", "z.png"), cells, strict=True)))
    frame = read_samples(make_card(classes=classes, layout={"values": values}), root)
    assert frame["target"].tolist() == [0, 1, 2]
    assert frame["target"].dtype == np.int64


def test_columns_templates_and_padding(make_csv, make_card):
    """Headers and cells with spaces, ids like 0012, several columns in a template, empty trailing columns."""
    root = make_csv(
        "Image name , grade ,eye,,", [("0012 ", " 1", "L", "", ""), ("0013", "2 ", "R", "", "")], images=False
    )
    layout = {"image": "img/{Image name}_{eye}.png", "id": "{Image name}", "label": "grade", "group": "{Image name}"}
    frame = read_samples(make_card(layout=layout), root)
    assert frame["id"].tolist() == ["0012", "0013"]
    assert frame["path"].tolist() == ["img/0012_L.png", "img/0013_R.png"]
    assert frame["group"].tolist() == ["0012", "0013"]


def test_tables_with_a_split_each(make_csv, make_card):
    make_csv("image,label", [("x.png", "a"), ("y.png", "b")], name="train.csv")
    root = make_csv("image,label", [("z.png", "c")], name="test.csv", folder="data")
    tables = [{"file": "train.csv", "split": "train"}, {"file": "test.csv", "split": "test", "image": "t/{image}"}]
    frame = read_samples(make_card(layout={"tables": tables}), root)
    assert frame["official"].tolist() == ["train", "train", "test"]
    assert frame["path"].tolist() == ["x.png", "y.png", "t/z.png"]


def test_empty_group_is_the_sample_itself(make_csv, make_card):
    root = make_csv("image,label,patient", [("x.png", "a", "p"), ("y.png", "b", ""), ("z.png", "c", "p")])
    frame = read_samples(make_card(layout={"group": "pat-{patient}"}), root)
    assert frame["group"].tolist() == ["pat-p", "y.png", "pat-p"]


def test_one_hot_and_multi_hot(make_csv, make_card):
    root = make_csv("image,A,B,C", [("x.png", "1.0", "0", "0"), ("y.png", "0", "0", "1")])
    layout = {"label": None, "labels": ["A", "B", "C"]}
    assert read_samples(make_card(layout=layout), root)["target"].tolist() == [0, 2]
    root = make_csv("image,A,B,C", [("x.png", "1", "", "-1"), ("y.png", "0", "0", "0")])
    card = make_card(task="multilabel", layout={**layout, "values": {"": 0, "-1": 0}})
    frame = read_samples(card, root)
    hot = frame[["target_a", "target_b", "target_c"]]
    assert hot.to_numpy().tolist() == [[1, 0, 0], [0, 0, 0]]
    assert (hot.dtypes == np.uint8).all()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("1", "1", "0"), (":3", "2 of the columns", "A, B")),
        (("0", "0", "0"), (":3", "0 of the columns", "none")),
        (("0", "2", "0"), (":3", "'B'", "'2' is neither 0 nor 1")),
        (("", "0", "1"), (":3", "'A'", "missing")),
    ],
)
def test_bad_one_hot_rows(make_csv, make_card, row, words):
    root = make_csv("image,A,B,C", [("x.png", "1", "0", "0"), ("y.png", *row)])
    refused(lambda: read_samples(make_card(layout={"label": None, "labels": ["A", "B", "C"]}), root), *words)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("3", ("labels.csv:3: column 'label'", "'3' is out of range")),
        ("-1", ("'-1' is out of range",)),
        ("1.5", ("'1.5' is not a class",)),
        ("", ("labels.csv:3", "missing")),
        ("nan", ("'nan' is not a class",)),
        ("bb", ("'bb' is not a class", "did you mean 'b'")),
    ],
)
def test_bad_labels(make_csv, make_card, cell, words):
    root = make_csv("image,label", [("x.png", "a"), ("y.png", cell)])
    refused(lambda: read_samples(make_card(), root), *words)


def test_values_alone_count_when_given(make_csv, make_card):
    root = make_csv("image,label", [("x.png", "R0"), ("y.png", "1")])
    refused(
        lambda: read_samples(make_card(layout={"values": {"R0": 0, "R1": 1}}), root), "'1' is out of range", "R0, R1"
    )
    refused(lambda: read_samples(make_card(layout={"values": {"R0": 5}}), root), "R0 -> 5", error=CardError)


def test_numbered_names_are_names_not_indices(make_csv, make_card):
    root = make_csv("image,label", [("x.png", "1"), ("y.png", "0")])
    refused(lambda: read_samples(make_card(classes=["1", "2", "3"]), root), ":3", "'0' is out of range", "1, 2, 3")


def test_line_numbers_pass_over_blank_lines_and_quoted_breaks(make_csv, make_card):
    root = make_csv("image,label,note", [("x.png", "a", '"two\nlines"'), ("y.png", "9", "")])
    text = (root / "labels.csv").read_text()
    (root / "labels.csv").write_text(text.replace("y.png", "\n,,\ny.png"))
    refused(lambda: read_samples(make_card(), root), "labels.csv:6: column 'label'")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("is empty",)),
        (b"image,label\n", ("no rows",)),
        (b"image,grade\nx.png,a\n", ("no column 'label'", "it has: image, grade")),
        (b"image,label,label\nx.png,a,a\n", ("column 'label' 2 times",)),
        (b"image,label\nx.png,a,b\n", (":2: the row has 3 cells, the header 2",)),
        (b"image,label\nx.png\n", (":2: the row has 1 cells, the header 2",)),
        (b"image,label\n,a\n", (":2: column 'image'", "empty")),
        (b"image,label\nx.png,a\nx.png,b\n", (":3: duplicate id 'x.png', first at", ":2")),
        (b"image,label\n./x.png,a\nx.png,b\n", (":3: duplicate id 'x.png', first at", ":2")),
        (b"image,label\n\xff\xfe,a\n", ("not utf-8-sig text", "encoding")),
        (b'image,label\n"x.png,a\n' + b"y" * 140_000, ("not CSV after line 1",)),
        (b"image,label\nx.png,a\0\n", ("labels.csv",)),
    ],
)
def test_bad_files(tmp_path, make_card, content, words):
    (tmp_path / "labels.csv").write_bytes(content)
    refused(lambda: read_samples(make_card(), tmp_path), *words)


def test_csv_that_is_a_folder(tmp_path, make_card):
    (tmp_path / "labels.csv").mkdir()
    refused(lambda: read_samples(make_card(), tmp_path), "cannot read", "labels.csv")


@pytest.mark.parametrize("bad", ["../x.png", "/etc/passwd", "a/../../x.png", "..\\x.png"])
def test_paths_that_leave_the_root(make_csv, make_card, bad):
    root = make_csv("image,label", [("in.png", "a"), (bad, "b")], images=False)
    refused(lambda: read_samples(make_card(), root), "labels.csv:3", "leaves the data folder", "--allow-outside")
    assert len(read_samples(make_card(), root, allow_outside=True)) == 2


def test_absolute_path_below_the_root_is_taken(make_csv, make_card, tmp_path):
    root = make_csv("image,label", [(tmp_path / "data" / "x.png", "a"), ("..y.png", "b")], images=False)
    assert read_samples(make_card(), root)["path"].tolist() == ["x.png", "..y.png"]


def test_split_column(make_csv, make_card):
    rows = [("x.png", "a", "Training"), ("y.png", "b", "test"), ("z.png", "c", "valid")]
    root = make_csv("image,label,fold", rows)
    frame = read_samples(make_card(layout={"split": "fold"}), root)
    assert frame["official"].tolist() == ["train", "test", "val"]
    card = make_card(layout={"split": "fold", "split_values": {"Training": "train", "test": "test"}})
    refused(lambda: read_samples(card, root), "labels.csv:4: column 'fold'", "'valid' is not a split", "Training, test")


def test_lists(tmp_path, make_card):
    (tmp_path / "tr.txt").write_text("normal_A_1.jpg\nbenign_without_callback_B_2.jpg\n\n")
    (tmp_path / "te.txt").write_text("cancer_C_3.jpg\r\n")
    layout = {
        "kind": "lists",
        "lists": {"train": "tr.txt", "test": "te.txt"},
        "image": "raw/{name}",
        "label": "^(?P<label>[a-z]+)_",
        "values": {"normal": 0, "benign": 1, "cancer": 1},
        "group": r"(?P<group>[A-Z]_\d+)",
    }
    card = make_card(task="binary", classes=["normal", "abnormal"], layout=layout)
    frame = read_samples(card, tmp_path)
    assert frame["target"].tolist() == [0, 1, 1]
    assert frame["path"].tolist()[2] == "raw/cancer_C_3.jpg"
    assert frame["group"].tolist() == ["A_1", "B_2", "C_3"]
    assert frame["official"].tolist() == ["train", "train", "test"]
    (tmp_path / "te.txt").write_text("cancer_C_3.jpg\n7.jpg\n")
    refused(lambda: read_samples(card, tmp_path), "te.txt:2", "'7.jpg' does not tell its label")
    (tmp_path / "te.txt").write_text("weird_C_3.jpg\n")
    refused(lambda: read_samples(card, tmp_path), "te.txt:1", "'weird' is not a class")
    (tmp_path / "te.txt").unlink()
    refused(lambda: read_samples(card, tmp_path), "te.txt does not exist")


def test_class_folders(tmp_path, make_card):
    for path in (
        "train/a/p1/1.png",
        "train/b/2.PNG",
        "test/a/3.jpg",
        "test/b/4.png",
        "test/b/notes.txt",
        "test/.x/5.png",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    layout = {"kind": "folders", "splits": {"train": "train", "test": "test"}}
    card = make_card(task="binary", classes=["a", "b"], layout=layout)
    frame = read_samples(card, tmp_path)
    assert frame["path"].tolist() == ["train/a/p1/1.png", "train/b/2.PNG", "test/a/3.jpg", "test/b/4.png"]
    assert frame["target"].tolist() == [0, 1, 0, 1]
    assert frame["official"].tolist() == ["train", "train", "test", "test"]
    (tmp_path / "test/odd").mkdir()
    refused(lambda: read_samples(card, tmp_path), "not classes of the card: odd")
    (tmp_path / "test/odd").rmdir()
    swapped = make_card(task="binary", classes=["B", "A"], layout={**layout, "folders": {"a": 1, "b": 0}})
    assert read_samples(swapped, tmp_path)["target"].tolist() == [1, 0, 1, 0]
    grouped = make_card(task="binary", classes=["a", "b"], layout={**layout, "group": r"/(?P<group>\w+)\.\w+$"})
    assert read_samples(grouped, tmp_path)["group"].tolist() == ["1", "2", "3", "4"]
    missing = make_card(task="binary", classes=["a", "b"], layout={**layout, "splits": {"train": "nowhere"}})
    refused(lambda: read_samples(missing, tmp_path), "nowhere does not exist")


def test_folders_without_images(tmp_path, make_card):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    card = make_card(task="binary", classes=["a", "b"], layout={"kind": "folders"})
    refused(lambda: read_samples(card, tmp_path), "no images in the class folders a, b")
    (tmp_path / "a/1.png").write_bytes(b"x")
    refused(lambda: read_samples(card, tmp_path), "no images of class b")


def test_missing_data_say_place_file_and_next_command(tmp_path, monkeypatch):
    refused(lambda: load_dataset("aptos"), "aptos", "MEDBENCH_DATA", "--data-root", "kaggle competitions download")
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path))
    refused(lambda: load_dataset("aptos"), str(tmp_path / "aptos"), "does not exist", "kaggle")
    (tmp_path / "aptos").mkdir()
    refused(lambda: load_dataset("aptos"), str(tmp_path / "aptos" / "train.csv"), "does not exist", "kaggle")
    rows = "".join(f"{i:04x},{i % 5}\n" for i in range(40))
    (tmp_path / "aptos" / "train.csv").write_text("id_code,diagnosis\n" + rows)
    refused(lambda: load_dataset("aptos"), "none of the 40 images", "train_images/0000.png", "kaggle")


def test_some_images_missing(make_csv, make_card, tmp_path):
    rows = [(f"{i}.png", "abc"[i % 3]) for i in range(30)]
    root = make_csv("image,label", rows)
    for i in (3, 5, 7, 9):
        (root / f"{i}.png").unlink()
    words = ("4 of the 30 images", "3.png, 5.png, 7.png and 1 more", f"medbench data check {root}/labels.csv")
    refused(lambda: load_dataset(str(root / "labels.csv")), *words)
