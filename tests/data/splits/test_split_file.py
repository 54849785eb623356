from __future__ import annotations

import random
import time

import numpy as np
import pytest

from medbench.cards import find_dataset
from medbench.data.layouts.reader import read_samples
from medbench.data.splits import split_file
from medbench.errors import DataError, OutputError
from medbench.storage import paths

from .made import card_with, frame_of, made, random_groups


def test_empty_splits_are_refused(make_card):
    with pytest.raises(DataError, match="no samples in val"):
        made(card_with(make_card, "stratified", val=0.0), frame_of([0, 1, 2] * 20))
    with pytest.raises(DataError, match="no samples in val, test"):
        made(card_with(make_card, "shuffle"), frame_of([0, 1, 2]))
    with pytest.raises(DataError, match="nothing for train"):
        made(card_with(make_card, "stratified", val=0.5, test=0.5), frame_of([0, 1, 2] * 20))
    official = ["train"] * 50 + ["val"] * 10
    with pytest.raises(DataError, match="no samples in test"):
        made(card_with(make_card, "official"), frame_of([0, 1, 2] * 20, official=official))


def test_official_split_is_taken_as_it_is(make_card):
    official = ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    assigned = made(card_with(make_card, "official"), frame_of([0, 1, 2] * 20, official=official))
    assert assigned.tolist() == official


def test_official_without_validation_cuts_it_from_train_by_groups(make_card):
    frame = random_groups(2)
    frame["official"] = np.where(np.arange(len(frame)) < 700, "train", "test")
    assigned = made(card_with(make_card, "official", val=0.2), frame)
    assert ((assigned == "test") == (frame["official"] == "test")).all()
    assert (assigned == "val").sum() == pytest.approx(140, abs=12)
    cut = frame.assign(split=assigned)[frame["official"] == "train"].groupby("group")["split"].nunique()
    assert (cut == 1).all()


def test_official_that_the_copy_does_not_have(make_card):
    with pytest.raises(DataError, match="no official split"):
        made(card_with(make_card, "official"), frame_of([0, 1, 2] * 20))


def aptos_frame(n=3662):
    rng = np.random.default_rng(0)
    return frame_of(rng.integers(0, 5, n), names=[f"{k:012x}" for k in range(n)])


def test_aptos_paper_split_is_the_published_one():
    card = find_dataset("aptos")
    assigned = split_file.make_split(card, aptos_frame(), "paper")
    assert {name: int((assigned == name).sum()) for name in split_file.SPLITS} == {
        "train": 2564,
        "val": 549,
        "test": 549,
    }
    assert (assigned[[2791, 2171, 1708, 2071, 1406]] == "val").all()
    assert (assigned[[1490, 1713, 2516, 2279, 252]] == "test").all()
    assert (assigned[[2284, 183, 121, 1594, 1544]] == "train").all()
    assert card.splits.rules["paper"].check == {
        "val": [2791, 2171, 1708, 2071, 1406],
        "test": [1490, 1713, 2516, 2279, 252],
        "train": [2284, 183, 121, 1594, 1544],
    }
    assert sum(card.counts.classes or []) == card.counts.images == 3662


def test_check_values_are_held(make_card):
    counts = {"images": 60}
    rule = {"method": "shuffle", "seed": 42, "held_out": 0.3, "check": {"val": [1, 2, 3]}}
    card = make_card(splits={"default": "it", "rules": {"it": rule}}, counts=counts)
    with pytest.raises(DataError, match="are not the published"):
        made(card, frame_of([0, 1, 2] * 20))
    assert len(made(card, frame_of([0, 1, 2] * 19))) == 57  # another copy: the published rows are not its own


def test_shuffle_by_an_independent_reading_of_the_rule(make_card):
    assigned = made(card_with(make_card, "shuffle", seed=7, held_out=0.2), frame_of([0, 1, 2] * 30))
    order = list(range(90))
    random.Random(7).shuffle(order)
    assert sorted(np.flatnonzero(assigned == "val")) == sorted(order[:9])
    assert sorted(np.flatnonzero(assigned == "test")) == sorted(order[9:18])


def test_frozen_split_is_reread_and_never_drawn_again(make_card, monkeypatch):
    card, frame = card_with(make_card, "stratified"), frame_of([0, 1, 2] * 30)
    first = split_file.frozen_split(card, frame, "it")
    file = split_file.split_file(card, frame, "it")
    assert file.is_relative_to(paths.home() / "splits" / "mine")
    assert file.read_text().startswith("# medbench split sha256=")
    monkeypatch.setattr(split_file, "make_split", lambda *_: pytest.fail("drawn again"))
    assert (split_file.frozen_split(card, frame, "it") == first).all()
    good = file.read_text()
    swapped = good.replace(",val\n", ",TMP\n", 1).replace(",train\n", ",val\n", 1).replace(",TMP\n", ",train\n", 1)
    for bad in (swapped, good.split("\n", 1)[1], good[: len(good) // 2], good.replace("i00003", "i99999"), ""):
        file.write_text(bad)
        with pytest.raises(DataError, match="it-"):
            split_file.frozen_split(card, frame, "it")
        assert file.read_text() == bad


def test_other_rule_or_samples_are_another_file(make_card):
    frame = frame_of([0, 1, 2] * 30)
    files = {
        split_file.split_file(card_with(make_card, "stratified"), frame, "it"),
        split_file.split_file(card_with(make_card, "stratified", seed=1), frame, "it"),
        split_file.split_file(card_with(make_card, "stratified"), frame_of([1, 0, 2] * 30), "it"),
        split_file.split_file(card_with(make_card, "stratified"), frame_of([0, 1, 2] * 30, ["g"] * 90), "it"),
    }
    assert len(files) == 4


def test_own_split_file(tmp_path):
    file = tmp_path / "my.csv"
    file.write_text("split,id\ntest,b\ntrain,a\n,c\nval,d\n")
    assert split_file.read_split(file, ["a", "b", "c", "d"]).tolist() == ["train", "test", "", "val"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,split\na,train\n", "does not contain all samples: b"),
        ("id,split\na,train\nb,test\nz,val\n", "does not have: z"),
        ("id,split\na,train\nb,holdout\n", "my.csv:3: column 'split': 'holdout' is not a split"),
        ("id,split\na,train\na,test\n", "my.csv:3: column 'id': duplicate id 'a'"),
        ("name,split\na,train\n", "no column 'id'"),
        (f"{split_file.MARK}abc\nid,split\na,train\nb,test\n", "was changed"),
    ],
)
def test_bad_split_files(tmp_path, text, words):
    file = tmp_path / "my.csv"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        split_file.read_split(file, ["a", "b"])
    assert words in str(caught.value)


def test_split_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        split_file.read_split(tmp_path / "no.csv", ["a"])


def test_written_split_reads_back(tmp_path):
    ids = ["a,b", 'c"d', "é", "0012"]
    sha = split_file.write_split(tmp_path / "s.csv", ids, ["train", "val", "test", ""])
    assert split_file.read_split(tmp_path / "s.csv", ids, frozen=True).tolist() == ["train", "val", "test", ""]
    assert sha == split_file.split_digest(ids, ["train", "val", "test", ""])


def test_unwritable_place_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        split_file.write_split(tmp_path / "file" / "s.csv", ["a"], ["train"])


def test_two_hundred_thousand_rows_are_quick(tmp_path, make_card):
    n = 200_000
    rows = "\n".join(f"a/{k:06d}.png,{'abc'[k % 3]},p{k // 3}" for k in range(n))
    (tmp_path / "labels.csv").write_text("image,label,patient\n" + rows + "\n")
    rules = {"g": {"method": "grouped"}, "s": {"method": "stratified"}}
    card = make_card(layout={"group": "{patient}"}, splits={"default": "g", "rules": rules})
    start = time.process_time()
    frame = read_samples(card, tmp_path)
    for rule in rules:
        assigned = split_file.frozen_split(card, frame, rule)
        assert (assigned == "train").mean() == pytest.approx(0.7, abs=0.01)
    assert time.process_time() - start < 20


def test_subgroups_do_not_change_a_frozen_split(make_card):
    card, frame = card_with(make_card, "grouped", val=0.2, test=0.2), random_groups(3)
    with_sex = frame.assign(subgroup_sex="F")[["subgroup_sex", *frame.columns]]
    rule = card.splits.default
    assert split_file.split_file(card, with_sex, rule) == split_file.split_file(card, frame, rule)
