"""Splits that are drawn and written to a file."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from medbench.data.load import load_dataset
from medbench.data.splits.draw_split import written_split
from medbench.errors import CardError


def test_the_file_holds_what_the_counts_say(card_file: Path, tmp_path: Path) -> None:
    card, counts, file = written_split(str(card_file), "grouped", {"seed": 3}, tmp_path / "s.csv", None, False)
    with file.open(newline="") as handle:
        split_of = {row["id"]: row["split"] for row in csv.DictReader(line for line in handle if line[0] != "#")}
    assert len(split_of) == 30
    for row in counts:
        ids = [int(name.partition(".")[0]) for name, split in split_of.items() if split == row["split"]]
        assert (row["images"], row["groups"]) == (len(ids), len({i // 2 for i in ids}))  # two images a patient
        assert {name: row[name] for name in "abc"} == {"abc"[k]: sum(i % 3 == k for i in ids) for k in range(3)}
    assert sum(Counter(split_of.values()).values()) == sum(row["images"] for row in counts)
    found = load_dataset(str(card_file), split=str(file)).samples
    assert dict(zip(found["id"], found["split"], strict=True)) == split_of
    assert card.name == "mine"


def test_the_file_is_named_after_the_rule_and_its_numbers(
    card_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, given, file in (
        ("", {}, "mine-grouped.csv"),
        ("s", {"seed": 3}, "mine-s-3.csv"),
        ("kfold", {"folds": 4, "fold": 2}, "mine-kfold-folds4-fold2.csv"),
    ):
        assert written_split(str(card_file), name, given, None, None, False)[2] == Path(file)
        assert (tmp_path / file).is_file()


def test_what_a_rule_does_not_take_is_refused(card_file: Path, tmp_path: Path) -> None:
    for name, given, near, words in (
        ("s", {"fold": 1}, False, r"the split rule 's' \(stratified\) takes no --fold"),
        ("s@2", {"seed": 1}, False, "'s@2' and --seed both set the seed"),
        ("s", {}, True, r"'s' \(stratified\) does not keep groups together, so --near has no effect"),
    ):
        with pytest.raises(CardError, match=words):
            written_split(str(card_file), name, given, tmp_path / "x.csv", None, False, near=near)
    assert not (tmp_path / "x.csv").exists()
