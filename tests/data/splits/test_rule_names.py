"""RULE@N: a card's split rule with another seed, of k-folds with another part."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from medbench import cards
from medbench.data.load import choose_split, load_dataset
from medbench.data.splits import split_file
from medbench.data.splits.rule_names import has_rule, rule_of, with_rule
from medbench.errors import CardError, DataError
from medbench.storage import paths

RULES = {
    "flair-holdout": {"method": "holdout", "test": 0.2, "train": 0.8},
    "k": {"method": "kfold", "seed": 3, "folds": 4},
    "few": {"method": "fewshot", "shots": 5, "base": "grouped"},
    "grouped": {"method": "grouped", "seed": 7},
    "stratified": {"method": "stratified"},
    "paper": {"method": "shuffle", "seed": 42},
    "official": {"method": "official"},
    "chexpert": {"method": "contiguous"},
}


@pytest.fixture
def card(make_card):
    return make_card(splits={"default": "grouped", "rules": RULES})


@pytest.fixture
def frame():
    ids = [f"i{k:04d}" for k in range(300)]
    groups = [f"p{k // 2}" for k in range(300)]
    columns = {"id": ids, "path": ids, "group": groups, "official": "", "target": np.arange(300) // 2 % 3}
    return pd.DataFrame(columns)


def told(make_card, name, **changes):
    """The card with the numbers written into its rule."""
    return make_card(splits={"default": "grouped", "rules": {**RULES, name: {**RULES[name], **changes}}})


@pytest.mark.parametrize("number", [0, 3])
@pytest.mark.parametrize("name", ["flair-holdout", "few", "grouped", "stratified", "paper"])
def test_it_is_the_rule_with_that_seed(make_card, card, frame, name, number):
    ours = split_file.make_split(card, frame, f"{name}@{number}")
    assert (ours == split_file.make_split(told(make_card, name, seed=number), frame, name)).all()
    other = split_file.make_split(card, frame, f"{name}@{number + 1}")
    assert (ours != other).any()


@pytest.mark.parametrize("number", [0, 3])
def test_of_a_k_fold_it_is_the_part(make_card, card, frame, number):
    ours = split_file.make_split(card, frame, f"k@{number}")
    assert (ours == split_file.make_split(told(make_card, "k", fold=number), frame, "k")).all()


def test_all_parts_of_a_k_fold_test_each_sample_once(card, frame):
    tested = Counter(
        row for k in range(4) for row in np.flatnonzero(split_file.make_split(card, frame, f"k@{k}") == "test")
    )
    assert tested == dict.fromkeys(range(300), 1)
    with pytest.raises(DataError, match="there is no fold 4 of 4"):
        split_file.make_split(card, frame, "k@4")


def test_the_first_fold_of_flair_is_the_rule_as_its_card_has_it(frame):
    card = cards.find_dataset("fives-flair")
    frame = pd.concat([frame.assign(target=k, id=frame["id"] + "abcd"[k]) for k in range(4)], ignore_index=True)
    frame["group"] = frame["id"]
    first, again = (split_file.make_split(card, frame, name) for name in ("flair-holdout", "flair-holdout@0"))
    assert (first == again).all()
    assert (first != split_file.make_split(card, frame, "flair-holdout@1")).any()


def test_each_number_has_a_frozen_file_of_its_own(card, frame, monkeypatch):
    names = ["flair-holdout", "flair-holdout@0", "flair-holdout@3"]
    found = [choose_split(card, frame, name) for name in names]
    assert [name for name, _ in found] == names
    files = sorted(file.name for file in (paths.home() / "splits" / "mine").iterdir())
    assert len(files) == 3
    assert sum(file.startswith("flair-holdout@3-") and file.endswith(".csv") for file in files) == 1
    monkeypatch.setattr(split_file, "make_split", lambda *_: pytest.fail("drawn again"))
    assert (choose_split(card, frame, "flair-holdout@3")[1] == found[2][1]).all()


def test_few_shots_of_every_number_keep_the_test_part_of_their_base(card, frame):
    base = split_file.frozen_split(card, frame, "grouped") == "test"
    for number in range(3):
        assert ((split_file.frozen_split(card, frame, f"few@{number}") == "test") == base).all()


def test_rows_published_for_one_seed_are_not_held_against_another():
    card = cards.find_dataset("aptos")
    assert rule_of(card, "paper@42") == card.splits.rules["paper"]
    assert rule_of(card, "paper@1").check == {}
    assert card.splits.rules["paper"].check


def test_the_name_stands_in_the_data_set(make_csv):
    root = make_csv("image,label", [(f"{i}.png", "abc"[i % 3]) for i in range(60)])
    (root / "mine.yaml").write_text(
        "task: multiclass\nclasses: [a, b, c]\nmetric: recall_macro\n"
        "layout: {kind: csv, tables: [{file: labels.csv}], image: '{image}', label: label}\n"
        "splits: {default: h, rules: {h: {method: holdout, test: 0.2}}}\n"
    )
    found = [load_dataset(str(root / "mine.yaml"), split=name) for name in ("h", "h@0", "h@3")]
    assert [data.split_name for data in found] == ["h", "h@0", "h@3"]
    assert found[0].split_digest == found[1].split_digest != found[2].split_digest
    assert len({data.digest for data in found}) == 1


@pytest.mark.parametrize("name", ["official@1", "chexpert@0"])
def test_what_is_not_drawn_has_no_number(card, frame, name):
    with pytest.raises(CardError, match=f"no split '{name}': the rule .* does not draw at random") as caught:
        choose_split(card, frame, name)
    assert "flair-holdout, k, few" in caught.value.hint
    assert "official," not in caught.value.hint


@pytest.mark.parametrize("number", ["", "x", "-1", "03", "1.0", "{seed}", "3@4", "٣", "1" * 10])
def test_what_is_no_number(card, frame, number):
    assert not has_rule(card, f"k@{number}")
    with pytest.raises(CardError, match="is not an integer from 0") as caught:
        choose_split(card, frame, f"k@{number}")
    assert caught.value.hint == "for example k@3"


def test_unknown_rules_have_near_ones_named(card, frame):
    with pytest.raises(CardError, match="'mine' has no split 'flair-holdot@3'") as caught:
        choose_split(card, frame, "flair-holdot@3")
    assert caught.value.hint.startswith("did you mean flair-holdout@3; it has: ")
    with pytest.raises(CardError, match="no split 'oficial@3'") as caught:
        choose_split(card, frame, "oficial@3")
    assert "official@3" not in caught.value.hint
    with pytest.raises(CardError, match="no split 'qqq'") as caught:
        choose_split(card, frame, "qqq")
    assert caught.value.hint.startswith("it has: flair-holdout, k, ")


def test_a_file_with_an_at_is_still_a_file(card, frame, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assigned = split_file.make_split(card, frame, "grouped")
    for name in ("k@home.csv", "plain@1"):
        split_file.write_split(tmp_path / name, frame["id"].tolist(), assigned)
        found, there = choose_split(card, frame, name)
        assert found == name
        assert (there == assigned).all()


def test_kfold_has_the_number_of_parts_that_its_name_says() -> None:
    card = with_rule(cards.find_dataset("toy"), "kfold-7@3")
    rule = rule_of(card, "kfold-7@3")
    assert (rule.method, rule.folds, rule.fold) == ("kfold", 7, 3)


# few shots by name


def few(frame, card, name):
    return choose_split(card, frame, name)[1]


def parts_of(assigned):
    return tuple(int((assigned == part).sum()) for part in ("train", "val"))


def test_a_name_tells_all_of_few_shots(make_card, card, frame):
    assert parts_of(few(frame, card, "fewshot-4")) == (12, 12)
    assert parts_of(few(frame, card, "fewshot-4-noval@2")) == (12, 0)
    assert parts_of(few(frame, card, "fewshot-4-group@2")) == (24, 24)
    assert parts_of(few(frame, card, "fewshot-4-group-noval")) == (24, 0)
    assert (
        few(frame, card, "fewshot-5@3") == split_file.make_split(told(make_card, "few", seed=3), frame, "few")
    ).all()
    assert (few(frame, card, "fewshot-5") == few(frame, card, "fewshot-5@0")).all()
    assert (few(frame, card, "fewshot-5") != few(frame, card, "fewshot-5@1")).any()


@pytest.mark.parametrize("base", ["stratified", "flair-holdout@3", "k@1", "kfold-3@2", "grouped"])
def test_few_shots_over_another_rule(card, frame, base):
    test = few(frame, card, base) == "test"
    assigned = few(frame, card, f"{base}+fewshot-3@1")
    assert ((assigned == "test") == test).all()
    assert parts_of(assigned) == (9, 9)


def test_a_rule_of_the_card_goes_before_a_name_that_tells_one(make_card, frame):
    rules = {**RULES, "fewshot-5": {"method": "fewshot", "shots": 2, "base": "stratified"}}
    card = make_card(splits={"default": "fewshot-5", "rules": rules})
    assert parts_of(few(frame, card, "fewshot-5")) == (6, 6)
    assert parts_of(few(frame, card, "fewshot-5@4")) == (6, 6)
    assert ((few(frame, card, "fewshot-3") == "test") == (few(frame, card, "stratified") == "test")).all()


@pytest.mark.parametrize(
    "name",
    ["fewshot-0", "fewshot-", "fewshot-05", "fewshot-1.5", "fewshot--3", "fewshot-9999999", "fewshot-5-groups",
     "fewshot-5-noval-group", "fewshot-5@", "fewshot-5@x", "fewshot-5@1@2", "+fewshot-5", "fewshot-5+",
     "fewshot-5+grouped", "grouped+fewshot-5\n", "fewshot-٣"],
)  # fmt: skip
def test_what_tells_no_few_shots(card, frame, name):
    with pytest.raises(CardError, match="has no split") as caught:
        few(frame, card, name)
    assert caught.value.hint.startswith("a few-shot split is fewshot-K@SEED")


@pytest.mark.parametrize(
    ("name", "match"),
    [("nowhere+fewshot-5", "nowhere"), ("official@1+fewshot-5", "does not draw at random"),
     ("few+fewshot-5", "'few.fewshot-5' has 'few' as base"), ("fewshot-2+fewshot-5", "has 'fewshot-2' as base")],
)  # fmt: skip
def test_few_shots_over_what_gives_no_training_part(card, frame, name, match):
    with pytest.raises(CardError, match=match) as caught:
        few(frame, card, name)
    assert caught.value.hint


def test_a_name_tells_all_of_a_fraction(make_card, card, frame):
    half = few(frame, card, "fraction-0.5@2")
    rules = {**RULES, "half": {"method": "fraction", "train": 0.5, "seed": 2, "base": "grouped"}}
    own = make_card(splits={"default": "grouped", "rules": rules})
    assert (half == split_file.make_split(own, frame, "half")).all()
    assert (half == split_file.make_split(own, frame, "half@2")).all()
    assert (few(frame, card, "fraction-0.5") == few(frame, card, "fraction-0.5@0")).all()
    over = few(frame, card, "stratified+fraction-0.1@1")
    assert ((over == "val") == (few(frame, card, "stratified") == "val")).all()


@pytest.mark.parametrize(
    "name", ["fraction-0", "fraction-1", "fraction-1.5", "fraction-0.50", "fraction-.5", "fraction-0.5@x"]
)
def test_what_tells_no_fraction(card, frame, name):
    with pytest.raises(CardError) as caught:
        few(frame, card, name)
    assert caught.value.hint.startswith("a share of train is fraction-0.25@SEED")
