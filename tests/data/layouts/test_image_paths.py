"""Image paths: replacements, endings on disk, and paths that leave the data folder."""

from __future__ import annotations

import pytest

from medbench.data.layouts.reader import read_samples

from ..conftest import write_image
from .made import refused


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
    refused(lambda: read_samples(card, root), "labels.csv:2: 'a/x.jpg' is ambiguous: x.JPG or x.png")
    for name in ("a/x.png", "a/x.JPG"):
        (root / name).unlink()
    assert read_samples(card, root)["path"].tolist()[0] == "a/x.jpg"


def test_image_paths_are_replaced(make_csv, make_card):
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
        lambda: read_samples(make_card(layout={"group_pattern": "(?P<group>study)"}), root),
        "labels.csv:2",
        "contains no group",
    )


@pytest.mark.parametrize("bad", ["../x.png", "/etc/passwd", "a/../../x.png", "..\\x.png"])
def test_paths_that_leave_the_root(make_csv, make_card, bad):
    root = make_csv("image,label", [("in.png", "a"), (bad, "b")], images=False)
    refused(lambda: read_samples(make_card(), root), "labels.csv:3", "leaves the data folder", "--allow-outside")
    assert len(read_samples(make_card(), root, allow_outside=True)) == 2


def test_absolute_path_below_the_root_is_taken(make_csv, make_card, tmp_path):
    root = make_csv("image,label", [(tmp_path / "data" / "x.png", "a"), ("..y.png", "b")], images=False)
    assert read_samples(make_card(), root)["path"].tolist() == ["x.png", "..y.png"]
