"""Class folders, and images that are missing."""

from __future__ import annotations

from medbench.data.checks.check import check
from medbench.data.layouts.reader import read_samples
from medbench.data.load import load_dataset

from ..conftest import write_image
from .made import folder, refused


def test_class_in_the_file_name(tmp_path, make_card):
    names = ("tr/1_D.png", "tr/2_N.png", "tr/sub/3_A.png", "te/1_N.png", "te/2_A.png", "te/3_D.png", "te/mask_N.gif")
    root = folder(tmp_path, *names)
    layout = {
        "kind": "folders",
        "splits": {"train": "tr", "test": "te"},
        "label": r"_(?P<label>[A-Z])\.png$",
        "folders": {"N": 0, "A": 1, "D": 2},
        "group": r"/(?P<group>\d+)_",
        "extensions": [".png"],
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
    refused(lambda: read_samples(make_card(layout=layout), root), "contains no label")
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


def test_some_images_missing(make_csv, make_card, tmp_path):
    rows = [(f"{i}.png", "abc"[i % 3]) for i in range(30)]
    root = make_csv("image,label", rows)
    for i in (3, 5, 7, 9):
        (root / f"{i}.png").unlink()
    words = ("4 of the 30 images", "3.png, 5.png, 7.png and 1 more", f"medbench data check {root}/labels.csv")
    refused(lambda: load_dataset(str(root / "labels.csv")), *words)


def test_classes_in_names_that_the_card_does_not_know_are_named_at_once(tmp_path, make_card):
    root = folder(tmp_path / "data", "x_a.png", "y_b.png", "z_q.png", "v_q.png", "w_r.png")
    layout = {"kind": "folders", "folders": {"a": 0, "b": 1}, "label": r"_(?P<label>[a-z])\."}
    card = make_card(task="binary", classes=["a", "b"], layout=layout)
    told = "the card does not know the class in the file name; the file names have 'q' (2), 'r' (1)"
    refused(lambda: read_samples(card, root), f"v_q.png: {told}", "known: a, b")
