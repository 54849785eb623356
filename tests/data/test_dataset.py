from __future__ import annotations

import hashlib

import numpy as np
import pytest

from medbench.data.load import load_dataset
from medbench.errors import CardError, DataError


def rows(n=30):
    return [(f"{i}.png", "abc"[i % 3], f"p{i // 2}") for i in range(n)]


@pytest.fixture
def root(make_csv):
    return make_csv("image,label,patient", rows())


@pytest.fixture
def card_file(root):
    file = root / "mine.yaml"
    file.write_text(
        "task: multiclass\nclasses: [a, b, c]\nmetric: recall_macro\n"
        "layout: {kind: csv, tables: [{file: labels.csv}], image: '{image}', label: label, group: '{patient}'}\n"
        "splits:\n  default: grouped\n"
        "  rules: {grouped: {method: grouped, val: 0.2, test: 0.2}, s: {method: stratified}}\n"
    )
    return file


def test_fields(card_file, root):
    dataset = load_dataset(str(card_file))
    assert list(dataset.samples.columns) == ["id", "path", "group", "split", "target"]
    assert dataset.samples.index.tolist() == list(range(30))
    assert dataset.root == root
    assert dataset.grouped
    assert not dataset.multilabel
    assert dataset.n_classes == 3
    assert dataset.split_name == "grouped"
    assert dataset.content[7] == hashlib.sha256((root / "7.png").read_bytes()).hexdigest()
    positions = np.concatenate([dataset.rows(split) for split in ("train", "val", "test")])
    assert sorted(positions) == list(range(30))
    assert dataset.targets("val").tolist() == dataset.samples["target"][dataset.rows("val")].tolist()


def test_digests_follow_what_can_change_a_number(card_file, root):
    first = load_dataset(str(card_file))
    assert load_dataset(str(card_file)).digest == first.digest
    other_split = load_dataset(str(card_file), split="s")
    assert (other_split.digest, other_split.split_name) == (first.digest, "s")
    assert other_split.split_digest != first.split_digest
    (root / "3.png").write_bytes((root / "4.png").read_bytes())
    changed = load_dataset(str(card_file))
    assert changed.digest != first.digest
    assert changed.split_digest == first.split_digest
    text = (root / "labels.csv").read_text()
    (root / "labels.csv").write_text(text.replace("5.png,c", "5.png,a"))
    assert load_dataset(str(card_file)).digest != changed.digest


def test_split_file_of_the_user(card_file, tmp_path):
    lines = [f"{i}.png,{'' if i == 0 else ('train', 'val', 'test')[i % 3]}" for i in range(30)]
    file = tmp_path / "mine.csv"
    file.write_text("id,split\n" + "\n".join(lines) + "\n")
    dataset = load_dataset(str(card_file), split=str(file))
    assert dataset.split_name == "mine.csv"
    assert dataset.samples["split"][0] == ""
    assert len(dataset.rows("train")) == 9
    file.write_text("id,split\n" + "\n".join(line.replace("test", "") for line in lines) + "\n")
    with pytest.raises(DataError, match="no samples in test"):
        load_dataset(str(card_file), split=str(file))


def test_unknown_names(card_file, tmp_path):
    with pytest.raises(CardError, match="no split 'grupped'") as caught:
        load_dataset(str(card_file), split="grupped")
    assert "grouped, s" in caught.value.hint
    with pytest.raises(DataError, match=r"no\.csv is not there"):
        load_dataset(str(card_file), split=str(tmp_path / "no.csv"))
    with pytest.raises(CardError, match="unknown dataset 'aptoss'") as caught:
        load_dataset("aptoss")
    assert "aptos" in caught.value.hint
    with pytest.raises(DataError, match="no label file"):
        load_dataset(str(tmp_path / "nothing.csv"))


def test_where_the_data_lie(card_file, root, tmp_path, monkeypatch):
    """A card file alone: its folder; MEDBENCH_DATA/<name> before it; a told root before both."""
    away = tmp_path / "cards" / "mine.yaml"
    away.parent.mkdir()
    away.write_text(card_file.read_text())
    assert load_dataset(str(away), root).root == root
    assert load_dataset(str(card_file)).root == root
    with pytest.raises(DataError, match=r"labels\.csv is not there"):
        load_dataset(str(away))
    (tmp_path / "all").mkdir()
    root.rename(tmp_path / "all" / "mine")
    assert load_dataset(str(away), tmp_path / "all").root == tmp_path / "all" / "mine"
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path / "all"))
    assert load_dataset(str(away)).root == tmp_path / "all" / "mine"


def test_multilabel(make_csv):
    root = make_csv("image,A,B", [(f"{i}.png", i % 2, i % 3 // 2) for i in range(30)])
    dataset = load_dataset(str(root / "labels.csv"))
    assert dataset.multilabel
    assert not dataset.grouped
    assert list(dataset.samples.columns[-2:]) == ["target_A", "target_B"]
    assert dataset.targets("train").dtype == np.uint8
    assert dataset.targets().tolist() == [[i % 2, i % 3 // 2] for i in range(30)]


@pytest.mark.parametrize(
    ("card", "folder", "sizes"),
    [
        ("docs/example/datasets/idrid-small", "idrid", {"train": 352, "val": 61, "test": 103}),
        ("tests/cards/kermany-small", "kermany_cxr", {"train": 2755, "val": 486, "test": 624}),
        ("docs/example/datasets/nih-small", "nih1000_64", None),
    ],
)
def test_real_data(shared, repo, card, folder, sizes):
    dataset = load_dataset(str(repo / f"{card}.yaml"), shared / "realdata" / folder)
    assert dataset.grouped
    held = dataset.samples["split"].value_counts().to_dict()
    if sizes:
        assert held == sizes
    else:
        assert (dataset.samples.groupby("group")["split"].nunique() == 1).all()
        assert dataset.targets().shape == (1000, 14)
        assert held["train"] == pytest.approx(700, abs=30)
