"""The seeded draw: shares and complete groups, whatever the order of the rows."""

from __future__ import annotations

import numpy as np
import pytest

from medbench.data.splits import split_file
from medbench.errors import DataError

from .made import card_with, frame_of, made, random_groups


def targets_matrix(frame):
    columns = [c for c in frame if c.startswith("target")]
    values = frame[columns].to_numpy()
    return values if len(columns) > 1 else np.eye(3)[values[:, 0]]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("method", ["grouped", "stratified"])
def test_shares_are_kept_and_groups_whole(make_card, seed, multilabel, method):
    frame = random_groups(seed, multilabel=multilabel)
    card = card_with(make_card, method, seed=seed, val=0.2, test=0.1, task="multilabel" if multilabel else "multiclass")
    assigned = made(card, frame)
    if method == "grouped":
        assert (frame.assign(split=assigned).groupby("group")["split"].nunique() == 1).all()
    hot = targets_matrix(frame)
    for name, share in (("train", 0.7), ("val", 0.2), ("test", 0.1)):
        rows = assigned == name
        assert rows.mean() == pytest.approx(share, abs=0.03)
        for column in hot.T:
            assert column[rows].sum() == pytest.approx(share * column.sum(), abs=max(4, 0.05 * column.sum()))


@pytest.mark.parametrize("method", ["grouped", "stratified"])
def test_draw_depends_on_the_seed_and_not_on_the_order_of_rows(make_card, method):
    frame = random_groups(1)
    card = card_with(make_card, method, seed=3)
    first = made(card, frame)
    assert (made(card, frame) == first).all()
    order = np.random.default_rng(0).permutation(len(frame))
    shuffled = frame.iloc[order].reset_index(drop=True)
    assert (made(card, shuffled) == first[order]).all()
    assert (made(card_with(make_card, method, seed=4), frame) != first).mean() > 0.1


def test_draw_is_the_same_in_every_version(make_card):
    """A change here changes users' splits: frozen files keep the old ones, but say so in the change log."""
    frame = frame_of([k * k % 7 % 3 for k in range(300)], [f"p{k * k % 97}" for k in range(300)])
    for method, sha in (("grouped", "74f3be53f49875fe"), ("stratified", "829ba424fbe458d6")):
        assert split_file.split_digest(frame["id"], made(card_with(make_card, method), frame))[:16] == sha


def test_group_sizes_are_spread_over_the_splits(make_card):
    """Big patients must not all go to one split: that would make test differ from train in kind."""
    groups = [f"big{k // 6}" for k in range(600)] + [f"one{k}" for k in range(600)]
    frame = frame_of(np.arange(1200) % 3, groups)
    assigned = made(card_with(make_card, "grouped"), frame)
    big = np.char.startswith(np.array(groups), "big")
    for name in split_file.SPLITS:
        assert big[assigned == name].mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_rarest_possible_class_is_in_every_split(make_card, seed):
    targets = [0] * 60 + [1] * 30 + [2] * 3
    assigned = made(card_with(make_card, "stratified", seed=seed), frame_of(targets))
    assert sorted(assigned[-3:]) == ["test", "train", "val"]


def test_class_with_fewer_samples_or_groups_than_splits(make_card):
    with pytest.raises(DataError, match=r"fewer samples or groups than the 3 splits in class c \(2\)"):
        made(card_with(make_card, "stratified"), frame_of([0] * 60 + [1] * 30 + [2] * 2))
    groups = [f"p{k}" for k in range(90)] + ["q", "q", "q", "r", "r"]
    with pytest.raises(DataError, match=r"class c \(2\)"):
        made(card_with(make_card, "grouped"), frame_of([0] * 60 + [1] * 30 + [2] * 5, groups))


def test_rare_finding_is_let_pass_with_a_warning(make_card, caplog):
    hot = np.zeros((60, 3), int)
    hot[:30, 0], hot[:20, 1], hot[0, 2] = 1, 1, 1
    assigned = made(card_with(make_card, "stratified", task="multilabel"), frame_of(hot))
    assert set(assigned) == set(split_file.SPLITS)
    assert "c (1)" in caplog.text
