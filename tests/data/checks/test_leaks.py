"""Groups and identical images in different splits; classes that a split lacks."""

from __future__ import annotations

from medbench.data.checks.leaks import leaks_of
from medbench.data.load import load_dataset

HEAD = """
layout: {kind: csv, tables: [{file: labels.csv}], image: "{image}", %s, group: "{patient}", split: split}
splits: {default: official, rules: {official: {method: official}}}
metric: %s
task: %s
classes: [healthy, ill, other]
"""
SPLITS = ["train"] * 12 + ["val"] * 6 + ["test"] * 6


def found(root, single: bool = True) -> dict[str, tuple[str, str]]:
    form = ("label: label", "recall_macro", "multiclass")
    form = form if single else ("labels: [healthy, ill, other]", "auroc_macro", "multilabel")
    (root / "mine.yaml").write_text(HEAD % form)
    return {leak.kind: (leak.severity, leak.text) for leak in leaks_of(load_dataset(str(root / "mine.yaml")))}


def test_a_sound_split_has_none(make_csv):
    rows = [(f"{i}.png", i % 3, f"p{i}", split) for i, split in enumerate(SPLITS)]
    assert found(make_csv("image,label,patient,split", rows)) == {}


def test_groups_images_and_classes_are_named(make_csv):
    rows = [(f"{i}.png", 0 if split == "val" else 2 * (i % 2), f"p{i % 13}", split) for i, split in enumerate(SPLITS)]
    root = make_csv("image,label,patient,split", rows)
    (root / "20.png").write_bytes((root / "2.png").read_bytes())
    assert found(root) == {
        "groups-across": (
            "warning",
            "11 groups are in more than one split: p0, p1, p2 and 8 more; --set split=grouped keeps them together",
        ),
        "duplicates-across": (
            "warning",
            "1 set of byte-identical images in different splits: 2.png [healthy, train] = 20.png [healthy, test]",
        ),
        "absent-train": ("warning", "train has no image of class ill"),
        "absent-val": ("note", "val has no image of classes ill, other: hyper-parameters are chosen without these"),
        "absent-test": ("note", "test has no image of class ill: metrics are computed without these"),
    }


def test_what_is_in_no_split_does_not_leak(make_csv):
    rows = [(f"{i}.png", i % 3, f"p{i}", split) for i, split in enumerate(SPLITS)]
    root = make_csv("image,label,patient,split", rows)
    found(root)
    data = load_dataset(str(root / "mine.yaml"))
    data.samples.loc[20, "group"] = "p2"
    assert [leak.kind for leak in leaks_of(data)] == ["groups-across"]
    data.samples.loc[20, "split"] = ""
    assert leaks_of(data) == []


def test_a_part_that_a_split_does_not_have_lacks_no_class(make_csv):
    rows = [(f"{i}.png", i % 3, f"p{i}", split) for i, split in enumerate(SPLITS)]
    root = make_csv("image,label,patient,split", rows)
    found(root)
    data = load_dataset(str(root / "mine.yaml"))
    for part in ("val", "train"):
        data.samples.loc[data.samples["split"] == part, "split"] = ""
        assert leaks_of(data) == []


def test_labels_that_all_or_no_training_images_have(make_csv):
    rows = [(f"{i}.png", 1, int(i > 13), i % 2, f"p{i}", split) for i, split in enumerate(SPLITS)]
    root = make_csv("image,healthy,ill,other,patient,split", rows)
    leaks = leaks_of(load_dataset(str(card_of(root))))
    assert [leak.text for leak in leaks] == [
        "train has no image of class ill",
        "all images of train have class healthy",
    ]


def card_of(root):
    found(root, single=False)
    return root / "mine.yaml"
