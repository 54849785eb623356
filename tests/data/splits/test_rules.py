"""The split rules, held against the papers' own numbers and against second readings of each rule."""

from __future__ import annotations

import hashlib
import json
import random

import numpy as np
import pandas as pd
import pytest

from medbench.data.checks.near_duplicates import merge_groups
from medbench.data.layouts.reader import read_samples
from medbench.data.splits import split_file
from medbench.errors import CardError, DataError

from .conftest import frame_of, made, patients, reordered, sizes

# the four data sets of the WACV 2024 paper


@pytest.mark.parametrize(
    ("n", "held_out", "expected", "first"),
    [
        (
            3662,
            0.3,
            (2564, 549, 549, 0),
            {
                "val": [2791, 2171, 1708, 2071, 1406],
                "test": [1490, 1713, 2516, 2279, 252],
                "train": [2284, 183, 121, 1594, 1544],
            },
        ),
        (
            25331,
            0.2,
            (20265, 2533, 2533, 0),
            {
                "val": [19993, 22352, 7, 6495, 15314],
                "test": [10529, 9719, 8588, 10447, 16931],
                "train": [24759, 20750, 18920, 19761, 17432],
            },
        ),
    ],
    ids=["aptos", "isic"],
)
def test_shuffled_sets_of_wacv(card_of, n, held_out, expected, first):
    card = card_of("shuffle", seed=42, held_out=held_out, check=first, counts={"images": n})
    assigned = made(card, frame_of(np.arange(n) % 3))
    assert sizes(assigned) == expected
    for name, rows in first.items():
        assert (assigned[rows] == name).all()


CHEXPERT = 223_414
LABELLED = 44_697
"""int(0.2 * 223414) + 15"""


def chexpert(shuffled_studies=False):
    """The names of the paper's CSV: about 3.46 images a patient; studies out of order within a patient, as there."""
    rng = np.random.default_rng(5)
    sizes_ = rng.integers(1, 7, CHEXPERT)
    patient = np.repeat(np.arange(CHEXPERT), sizes_)[:CHEXPERT]
    within = np.arange(CHEXPERT) - np.searchsorted(patient, patient)
    study = within + 8 if shuffled_studies else within  # as text, study10 stands before study8
    names = [f"patient{p:06d}" for p in patient]
    paths = [f"train/{name}/study{s}/view1_frontal.jpg" for name, s in zip(names, study, strict=True)]
    return frame_of(np.arange(CHEXPERT) % 3, names, paths=paths)


def code_slices(paths):
    """The slices as the paper's code takes them, by pandas: sorted by path, row labels kept, both ends included."""
    table = pd.DataFrame({"path": paths}).sort_values("path")
    cut = int(len(table) * 0.2) + 15
    pool = table.loc[:cut]
    middle = len(pool) // 2
    parts = {"train": table.loc[cut:], "val": pool.loc[:middle], "test": pool.loc[middle:]}
    return {name: part.index.tolist() for name, part in parts.items()}


@pytest.mark.parametrize("shuffled_studies", [False, True])
def test_chexpert_to_the_row(card_of, shuffled_studies):
    frame = chexpert(shuffled_studies)
    theirs = code_slices(frame["path"])
    if not shuffled_studies:
        assert tuple(len(theirs[name]) for name in ("train", "val", "test")) == (178_717, 22_350, 22_349)
        assert set(theirs["train"]) & set(theirs["test"]) == {LABELLED}
        assert set(theirs["val"]) & set(theirs["test"]) == {22_349}
    assigned = made(card_of("contiguous", held_out=0.2, extra=15, disjoint=False), frame)
    ours = {name: set(np.flatnonzero(assigned == name)) for name in split_file.SPLITS}
    assert ours["train"] == set(theirs["train"])
    assert ours["val"] == set(theirs["val"])
    assert ours["test"] == set(theirs["test"]) - ours["train"] - ours["val"]
    assert len(ours["test"]) == len(theirs["test"]) - 2
    assert (assigned != "").all()


def test_chexpert_by_whole_patients(card_of):
    frame = chexpert(True)
    assigned = made(card_of("contiguous", held_out=0.2, extra=15), frame)
    order = np.argsort(frame["path"].to_numpy(object), kind="stable")
    rank = {"val": 0, "test": 1, "train": 2}
    placed = np.array([rank[name] for name in assigned[order]])
    assert (np.diff(placed) >= 0).all()
    assert (frame.assign(split=assigned).groupby("group")["split"].nunique() == 1).all()
    group = frame["group"].to_numpy()[order]
    for boundary, part in ((22_349, 1), (LABELLED, 2)):
        start = int(np.searchsorted(placed, part))
        assert boundary <= start < boundary + 6  # on from the code's boundary, to the end of the patient it cuts
        assert start == boundary or group[boundary - 1] == group[start - 1]


def test_contiguous_on_a_handful(card_of):
    groups = list("aabbbccddd") + [f"t{k}" for k in range(10)]
    paths = [f"{k:02d}" for k in range(20)]
    frame = frame_of(np.arange(20) % 3, groups, paths=paths)
    assigned = made(card_of("contiguous", held_out=0.4), frame)  # 8 rows held out: cut at 4 (in b) and at 8 (in d)
    assert "".join(name[0] + name[1] for name in assigned) == "va" * 5 + "te" * 5 + "tr" * 10
    order, moved = reordered(frame)
    assert (made(card_of("contiguous", held_out=0.4), moved) == assigned[order]).all()


def test_contiguous_scattered_groups_stay_whole(card_of):
    groups = ["a", *"bcdefgh", "a", *"ijklmnopqrs"]
    assigned = made(card_of("contiguous", held_out=0.4), frame_of(np.arange(20) % 3, groups))
    assert assigned[0] == assigned[8] == "val"
    assert sizes(assigned) == (11, 5, 4, 0)


def test_contiguous_faults(card_of):
    with pytest.raises(DataError, match="30 rows leave none for train"):
        made(card_of("contiguous", extra=25), frame_of([0, 1, 2] * 10))
    paths = ["0" if k == 3 else f"1{k:02d}" for k in range(30)]  # row 3, which ends val and test, stands first
    with pytest.raises(DataError, match="row 0 is not among val and test"):
        made(card_of("contiguous", held_out=0.1, disjoint=False), frame_of([0, 1, 2] * 10, paths=paths))


def test_ddsm_lists_are_the_papers(shared, make_card):
    root = shared / "splits" / "ddsm"
    if not root.is_dir():
        pytest.skip(f"needs {root}")
    begin = {"train": "f5afca9b4dce2f50", "val": "76499f007307d658", "test": "01d9b485f146375f"}
    for name, sha in begin.items():
        assert hashlib.sha256((root / f"{name}.txt").read_bytes()).hexdigest().startswith(sha)
    layout = {
        "kind": "lists",
        "lists": {name: f"{name}.txt" for name in begin},
        "image": "ddsm_raw/{name}",
        "label": "^(?P<label>[a-z]+)_",
        "values": {"normal": 0, "benign": 1, "cancer": 2},
        "group": r"^(?P<group>[a-z_]+_\d+-[A-D]_\d{4}_\d)\.",
    }
    rules = {"default": "it", "rules": {"it": {"method": "official"}}}
    card = make_card(layout=layout, classes=["normal", "benign", "cancer"], splits=rules)
    frame = read_samples(card, root)
    frame["split"] = made(card, frame)
    counts = frame.groupby(["split", "target"]).size().unstack()
    assert counts.to_dict("index") == {
        "train": {0: 2216, 1: 3200, 2: 2920},
        "val": {0: 288, 1: 384, 2: 368},
        "test": {0: 276, 1: 400, 2: 368},
    }
    uncalled = frame[frame["path"].str.contains("benign_without_callback")].groupby("split").size()
    assert uncalled.to_dict() == {"train": 456, "val": 52, "test": 56}
    assert frame.groupby("split")["group"].nunique().to_dict() == {"train": 2084, "val": 260, "test": 261}
    assert (frame.groupby("group")["split"].nunique() == 1).all()
    across = frame.assign(person=frame["group"].str.extract(r"([A-D]_\d{4})")[0]).groupby("person")
    cases, splits = across["group"].nunique(), across["split"].nunique()
    assert set(splits[splits > 1].index) == {"A_1632", "B_3470", "C_0412", "C_0478", "B_3159"}
    assert (cases[splits > 1] == 2).all()


# k-fold


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("folds", [3, 5])
def test_kfold_tests_each_group_once_and_keeps_shares(card_of, seed, folds):
    frame = patients(seed)
    rounds = [made(card_of("kfold", folds=folds, fold=fold, seed=seed), frame) for fold in range(folds)]
    assert (sum((assigned == "test").astype(int) for assigned in rounds) == 1).all()
    for fold, assigned in enumerate(rounds):
        assert set(assigned) == set(split_file.SPLITS)
        assert ((assigned == "val") == (rounds[(fold + 1) % folds] == "test")).all()
        assert (frame.assign(split=assigned).groupby("group")["split"].nunique() == 1).all()
        for name, share in (("train", 1 - 2 / folds), ("val", 1 / folds), ("test", 1 / folds)):
            for total in (frame["target"] == c for c in range(3)):
                there = int(total[assigned == name].sum())
                assert there == pytest.approx(share * total.sum(), abs=max(4, 0.05 * total.sum()))
    again = made(card_of("kfold", folds=folds, seed=seed), frame)
    assert (again == rounds[0]).all()
    order, moved = reordered(frame)
    assert (made(card_of("kfold", folds=folds, seed=seed), moved) == again[order]).all()
    assert (made(card_of("kfold", folds=folds, seed=seed + 50), frame) != again).mean() > 0.1


def test_kfold_of_findings(card_of):
    rng = np.random.default_rng(0)
    frame = frame_of(rng.random((300, 3)) < (0.5, 0.2, 0.05), [f"p{k // 3}" for k in range(300)])
    card = [card_of("kfold", task="multilabel", fold=fold) for fold in range(5)]
    tested = [made(one, frame) == "test" for one in card]
    assert (np.sum(tested, axis=0) == 1).all()
    assert all(rows.sum() == pytest.approx(60, abs=6) for rows in tested)


def test_kfold_faults(card_of):
    frame = frame_of([0] * 20 + [1] * 20 + [2] * 4)
    with pytest.raises(DataError, match=r"fewer samples or groups than the 5 splits in class c \(4\)") as caught:
        made(card_of("kfold"), frame)
    assert caught.value.hint.startswith("use fewer folds than 5")
    with pytest.raises(DataError, match="there is no fold 5 of 5"):
        made(card_of("kfold", fold=5), frame)
    with pytest.raises(DataError, match="fewer groups than the 5 folds"):
        made(card_of("kfold"), frame_of([0, 1, 2] * 8, ["p", "q", "r", "s"] * 6))


# FLAIR


def flair(labels, fold, train, test):
    """FLAIR's rule read a second time: shuffle what is to be split, then deal it out class by class."""
    left = list(enumerate(labels))
    random.seed(fold)
    random.shuffle(left)
    found = {}
    for label in sorted(set(labels)):
        mine = [row for row, its in left if its == label]
        n_test, n_train = (int(share / 100 * len(mine)) for share in (test, train))
        found.update(dict.fromkeys(mine[:n_test], "test"))
        found.update(dict.fromkeys(mine[n_test:][:n_train], "train"))
    return found


def test_holdout_of_ten_rows_by_hand(card_of):
    # random.seed(3) puts ten rows into the order 1 5 6 0 9 4 7 2 8 3; class a: 1 5 0 4 2 3, class b: 6 9 7 8
    frame = frame_of([0] * 6 + [1] * 4)
    assigned = made(card_of("holdout", "ab", seed=3, test=0.34, train=0.5, val=0.5), frame)
    assert np.flatnonzero(assigned == "test").tolist() == [1, 5, 6]  # int(2.04), int(1.36)
    assert np.flatnonzero(assigned == "").tolist() == [3, 8]
    assert np.flatnonzero(np.isin(assigned, ("train", "val"))).tolist() == [0, 2, 4, 7, 9]


@pytest.mark.parametrize("fold", range(5))
def test_holdout_by_a_second_reading(card_of, fold):
    labels = np.random.default_rng(1).choice(3, 200, p=(0.7, 0.2, 0.1)).tolist()
    theirs = flair(labels, fold, 80, 20)
    frame = frame_of(labels)
    assigned = made(card_of("holdout", seed=fold, test=0.2, train=0.8), frame)
    ours = np.where(assigned == "val", "train", assigned)
    assert ours.tolist() == [theirs.get(row, "") for row in range(200)]
    train = theirs and (ours == "train").sum()
    assert (assigned == "val").sum() == pytest.approx(0.15 * train, abs=2)
    rest = made(card_of("holdout", seed=fold, test=0.2), frame)
    assert ((rest == "test") == (assigned == "test")).all()
    assert (rest != "").all()


@pytest.mark.parametrize(
    ("counts", "train", "test"),
    [
        ((1017, 270, 347, 75, 35), 1394, 348),
        ((200, 200, 200, 200), 640, 160),
        ((360, 40), 320, 80),
        ((20, 20, 20), 48, 12),
        ((366, 379, 187, 37, 21), 789, 196),
        ((379, 367), 596, 148),
        ((714, 186, 326, 282, 92), 1277, 318),
        ((356, 356), 568, 142),
        ((420, 292), 569, 142),
    ],
    ids=["MESSIDOR", "FIVES", "REFUGE", "20x3", "MMAC", "ACRIMA", "DeepDRiD", "HRDC1", "HRDC2"],
)
def test_holdout_has_the_sizes_of_flairs_sets(card_of, counts, train, test):
    card = card_of("holdout", "abcde"[: len(counts)], test=0.2, train=0.8)
    found = sizes(made(card, frame_of(np.repeat(np.arange(len(counts)), counts))))
    assert (found[0] + found[1], found[2], found[3]) == (train, test, sum(counts) - train - test)


def test_holdout_cuts_val_by_groups(card_of):
    frame = patients(4)
    assigned = made(card_of("holdout", test=0.2, val=0.25), frame)
    kept = frame.assign(split=assigned)[assigned != "test"]
    assert (kept.groupby("group")["split"].nunique() == 1).all()


def test_holdout_faults(card_of):
    with pytest.raises(DataError, match=r"train 0.9 and test 0.2 are more than 1"):
        made(card_of("holdout", train=0.9, test=0.2), frame_of([0, 1, 2] * 20))
    with pytest.raises(DataError, match="no samples in val"):
        made(card_of("holdout", val=0.0), frame_of([0, 1, 2] * 20))
    with pytest.raises(
        DataError, match=r"9 rows of each class for train and val need 18, but without test there are 17 of a"
    ):
        made(card_of("holdout", per_class=9), frame_of([0, 1, 2] * 20))
    with pytest.raises(DataError, match="holdout needs one class per sample"):
        made(card_of("holdout", task="multilabel"), frame_of(np.tile(np.eye(3), (30, 1))))


def test_whole_tests_every_sample_and_takes_no_seed(card_of):
    assert sizes(made(card_of("whole"), frame_of([0, 1, 2, 0]))) == (0, 0, 4, 0)
    card = card_of("whole", task="multilabel")
    assert split_file.frozen_split(card, frame_of(np.eye(3)), "it").tolist() == ["test"] * 3
    with pytest.raises(CardError, match=r"the rule 'it' \(whole\) does not draw at random"):
        split_file.make_split(card_of("whole"), frame_of([0, 1]), "it@1")


def flair_shots(shared):
    """FLAIR's splits of 24 rows: the rows' labels, and setting -> part -> rows."""
    found = json.loads((shared / "parity_vl" / "flair_few_shot_splits" / "manifest.json").read_text())
    return found["rows"], found["splits"]


FLAIR_RULES = {
    "train=80% val=0% test=20% balance=False": {"train": 0.8, "test": 0.2, "validation": False},
    "train=1 val=1 test=20% balance=False": {"per_class": 1, "test": 0.2},
    "train=60% val=20% test=20% balance=True": {"train": 0.6, "test": 0.2, "validation": False},
}
"""FLAIR's settings -> ours. Of the last one val is left out, and a row that was repeated is there once."""


@pytest.mark.parametrize("seed", [0, 1, 4])
@pytest.mark.parametrize("setting", FLAIR_RULES)
def test_holdout_draws_what_flairs_code_draws(card_of, shared, setting, seed):
    rows, golden = flair_shots(shared)
    labels = sorted(set(rows))
    theirs, frame = golden[f"{setting} seed={seed}"], frame_of([labels.index(row) for row in rows])
    assigned = made(card_of("holdout", seed=seed, **FLAIR_RULES[setting]), frame)
    for part in ("train", "test") if "60%" in setting else ("train", "val", "test"):
        assert sorted(np.flatnonzero(assigned == part)) == sorted(set(theirs[part]))


@pytest.mark.parametrize("seed", [0, 1, 4])
def test_holdout_refuses_where_flairs_code_takes_fewer(card_of, shared, seed):
    rows, golden = flair_shots(shared)
    labels = sorted(set(rows))
    frame = frame_of([labels.index(row) for row in rows])
    theirs = golden[f"train=5 val=0% test=20% balance=False seed={seed}"]
    with pytest.raises(DataError, match=r"5 rows of each class for train need 5, but without test there are 4 of c\n"):
        made(card_of("holdout", seed=seed, per_class=5, test=0.2, validation=False), frame)
    assigned = made(card_of("holdout", seed=seed, per_class=4, test=0.2, validation=False), frame)
    first = [row for label in labels for row in [r for r in theirs["train"] if rows[r] == label][:4]]
    assert sorted(np.flatnonzero(assigned == "train")) == sorted(first)
    assert sorted(np.flatnonzero(assigned == "test")) == sorted(theirs["test"])
    assert not (assigned == "val").any()


# files


def test_first_rules_keep_the_names_of_their_files(card_of):
    """Files that were frozen before there were more rules must be found again."""
    names = {"official": "90c72b805423", "stratified": "732fe6a5c2c9", "grouped": "b04825788047"}
    frame = frame_of([0, 1, 2] * 30)
    frame["id"] = frame["path"] = frame["group"] = [f"i{k:05d}" for k in range(90)]
    for method, sha in {**names, "shuffle": "01d30b7e3e4c"}.items():
        assert split_file.split_file(card_of(method, seed=3), frame, "it").name == f"it-{sha}.csv"


def test_later_rules_have_a_file_for_each_choice(card_of):
    frame = patients(0)
    cards = [
        card_of("kfold"),
        card_of("kfold", fold=1),
        card_of("kfold", folds=4),
        card_of("fewshot", base="base"),
        card_of("fewshot", base="base", shots=5),
        card_of("fewshot", base="base", more={"base": {"method": "grouped", "seed": 8}}),
        card_of("contiguous"),
        card_of("contiguous", disjoint=False),
    ]
    found = [split_file.split_file(card, frame, "it") for card in cards]
    found.append(split_file.split_file(cards[-1], frame.assign(path=frame["path"][::-1].to_numpy()), "it"))
    assert len(set(found)) == len(found)
    for card in cards:
        first = split_file.frozen_split(card, frame, "it")
        assert (split_file.frozen_split(card, frame, "it") == first).all()


def test_split_file_says_for_which_data_it_was_made(card_of, tmp_path):
    frame, file = patients(0), tmp_path / "s.csv"
    ids, data = frame["id"].tolist(), split_file.data_digest(frame)
    assigned = made(card_of("grouped"), frame)
    split_file.write_split(file, ids, assigned, data)
    assert file.read_text().splitlines()[1] == f"# medbench data sha256={data}"
    assert (split_file.read_split(file, ids, data) == assigned).all()
    order, moved = reordered(frame)
    assert (split_file.read_split(file, moved["id"].tolist(), split_file.data_digest(moved)) == assigned[order]).all()
    for column, value in (("target", 2 - frame["target"]), ("group", "p0")):
        with pytest.raises(DataError, match="was made for other data: the ids are the same, but labels or groups"):
            split_file.read_split(file, ids, split_file.data_digest(frame.assign(**{column: value})))
    with pytest.raises(DataError, match="does not contain all samples"):
        split_file.read_split(file, [*ids, "new"], "another")
    head, _, rows = file.read_text().partition(f"{split_file.DATA_MARK}{data}\n")
    file.write_text(head + rows)  # as it was written before there was that line
    assert (split_file.read_split(file, ids, "another", frozen=True) == assigned).all()
    file.write_text(rows)
    assert (split_file.read_split(file, ids, "another") == assigned).all()


def test_data_digest_of_findings(card_of):
    frame = frame_of(np.tile(np.eye(3), (30, 1)))
    other = frame.assign(target_c=1)
    assert split_file.data_digest(frame) != split_file.data_digest(other)


# groups


def test_merged_groups_hold_all_clusters():
    groups = ["d", "c", "b", "a", "b", "e"]
    assert merge_groups(groups, []) == groups
    assert merge_groups(groups, [[5], []]) == groups
    assert merge_groups(groups, [[0, 1]]) == ["c", "c", "b", "a", "b", "e"]
    assert merge_groups(groups, [[0, 1], [1, 2]]) == ["b", "b", "b", "a", "b", "e"]  # linked by c
    assert merge_groups(groups, [[1, 2], [0, 1]]) == ["b", "b", "b", "a", "b", "e"]
    assert merge_groups(groups, [[2, 3, 5], [4, 0]]) == ["a", "c", "a", "a", "a", "a"]
    for rows in ([0, 6], [-1, 0]):
        with pytest.raises(IndexError, match="not all among the 6 samples"):
            merge_groups(groups, [rows])


def test_merged_groups_are_the_connected_components():
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    rng = np.random.default_rng(0)
    groups = [f"g{k:03d}" for k in rng.integers(0, 300, 500)]
    clusters = [rng.choice(500, rng.integers(2, 4), replace=False).tolist() for _ in range(80)]
    number = {name: 500 + at for at, name in enumerate(sorted(set(groups)))}
    edges = [(row, number[name]) for row, name in enumerate(groups)]
    edges += [(cluster[0], row) for cluster in clusters for row in cluster[1:]]
    start, end = zip(*edges, strict=True)
    n = 500 + len(number)
    _, label = connected_components(coo_matrix((np.ones(len(edges)), (start, end)), (n, n)), directed=False)
    merged = merge_groups(groups, clusters)
    assert len(set(merged)) == len(set(zip(merged, label[:500], strict=True))) == len(set(label))
    assert merged == merge_groups(groups, clusters[::-1])


def test_long_chains_of_clusters_are_quick():
    n = 100_000
    assert set(merge_groups([f"g{k:06d}" for k in range(n)], [[k, k + 1] for k in reversed(range(n - 1))])) == {
        "g000000"
    }
