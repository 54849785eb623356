"""What is found wrong with image files."""

from __future__ import annotations

import pandas as pd

from medbench.data.checks.findings import duplicates, unreadable

from .made import CARD, checked


def test_findings(alike):
    report, found = checked(alike)
    assert found["near-duplicate-labels"].ids == ["0.png", "1.png"]
    assert found["near-across"].ids == ["2.png", "25.png"]
    assert found["near-duplicates"].ids == ["0.png", "1.png", "4.png", "5.png"]
    assert [f.severity for f in report.findings] == ["warning", "warning", "note"]
    text = "1 set of near-duplicate images in different splits: 2.png [healthy, train] ~ 25.png [healthy, test]"
    assert found["near-across"].text == text
    assert not report.clean


def test_labels_that_disagree_within_a_patient_are_a_note(alike):
    (alike / "mine.yaml").write_text(CARD % ', group: "{patient}"')
    (alike / "25.png").unlink()
    found = checked(alike)[1]
    assert found["near-duplicate-labels"].severity == "note"
    assert "with different labels, each in one group: 0.png" in found["near-duplicate-labels"].text


def test_unreadable_images_are_found_on_the_way(alike):
    (alike / "7.png").write_bytes((alike / "7.png").read_bytes()[:200])
    (alike / "8.png").write_bytes(b"")
    found = checked(alike)[1]
    assert found["unreadable"].ids == ["7.png", "8.png"]
    assert found["near-across"].ids == ["2.png", "25.png"]


def rows(groups: list[str]) -> pd.DataFrame:
    names = [f"{i}.png" for i in range(4)]
    splits = ["train", "train", "test", "train"]
    return pd.DataFrame({"id": names, "path": names, "group": groups, "split": splits, "target": [0, 1, 0, 0]})


def test_byte_identical_images_by_labels_splits_and_groups(make_card):
    frame = rows(["p", "q", "p", "p"])
    found = {f.kind: f for f in duplicates(make_card(), frame, ["x", "x", "y", "y"])}
    assert found["duplicates"].ids == ["0.png", "1.png", "2.png", "3.png"]
    assert found["duplicate-labels"].ids == ["0.png", "1.png"]
    assert found["duplicates-across"].ids == ["2.png", "3.png"]
    assert found["duplicates-apart"].ids == ["0.png", "1.png"]
    assert found["duplicate-labels"].text.endswith(": 0.png [a, train] = 1.png [b, train]")
    alone = duplicates(make_card(), rows(frame["id"].tolist()), ["x", "x", "y", "y"])
    assert "duplicates-apart" not in {f.kind for f in alone}, "no groups are known"
    assert duplicates(make_card(), frame, ["x", "y", "z", "w"]) == []


def test_reasons_that_are_known_are_not_looked_up_again(make_card, tmp_path):
    (finding,) = unreadable(make_card(), tmp_path, rows(["p"] * 4), True, {"2.png": "cut off", "other": "gone"})
    assert (finding.severity, finding.ids) == ("error", ["2.png"])
    assert finding.text == "1 images cannot be read: 2.png (cut off)"
