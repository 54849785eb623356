from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np

from medbench.data.load import load_dataset


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


def test_multilabel(make_csv):
    root = make_csv("image,A,B", [(f"{i}.png", i % 2, i % 3 // 2) for i in range(30)])
    dataset = load_dataset(str(root / "labels.csv"))
    assert dataset.multilabel
    assert not dataset.grouped
    assert list(dataset.samples.columns[-2:]) == ["target_A", "target_B"]
    assert dataset.targets("train").dtype == np.uint8
    assert dataset.targets().tolist() == [[i % 2, i % 3 // 2] for i in range(30)]


def test_importing_data_is_light():
    heavy = "('torch', 'pandas', 'sklearn', 'PIL')"
    modules = "sys, medbench.data.dataset, medbench.data.checks.check"
    code = f"import {modules}; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
