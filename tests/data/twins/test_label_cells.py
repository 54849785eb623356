from __future__ import annotations

from medbench.data.layouts.reader import read_samples
from medbench.data.twins.twin import synthesise


def test_multilabel_and_one_hot(tmp_path, make_card):
    layout = {"label": None, "labels": ["A", "B", "C"], "split": "fold", "group": "{p}", "image": "{image}"}
    for task in ("multilabel", "multiclass"):
        card = make_card(task=task, layout=layout, splits={"default": "o", "rules": {"o": {"method": "official"}}})
        frame = read_samples(card, synthesise(card, tmp_path / task, 60))
        assert len(frame) == 60
        assert set(frame["official"]) == {"train", "test"}


def test_twin_of_label_forms(tmp_path, make_card, rows_of):
    card = make_card(layout={"label": ["left", "right"], "where": {"gradable": ["1"]}})
    rows = rows_of(synthesise(card, tmp_path / "several", 30) / "labels.csv")
    head, body = rows[0], rows[1:]
    left, right = head.index("left"), head.index("right")
    assert all((row[left] == "") != (row[right] == "") for row in body[:-1])
    assert body[-1][left] == body[-1][right] == "", "the row that is left out"
    assert [row[head.index("gradable")] for row in body] == ["1"] * 30 + ["0"]
    assert len(read_samples(card, tmp_path / "several")) == 30
    listed = make_card(layout={"listed": True, "values": {"no DR": 0, "mild DR": 1, "other": 2}})
    assert "['no DR', 'made up']" in (synthesise(listed, tmp_path / "listed", 30) / "labels.csv").read_text()
    assert set(read_samples(listed, tmp_path / "listed")["target"]) == {0, 1, 2}


def test_twin_of_findings(tmp_path, make_card, rows_of):
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
