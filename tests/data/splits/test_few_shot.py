"""Few-shot splits: exact, nested, groups apart; held against plain readings of the rule."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest

from medbench.data.splits import split_file
from medbench.errors import CardError, DataError

from .conftest import frame_of, made, patients, reordered, sizes

FIRST = {
    (0, 1): "6169d3905e810715",
    (0, 5): "75681b9fa9b22bc2",
    (1, 1): "9a6c7532cceacf41",
    (1, 5): "2d8df4005d00e71f",
    (2, 1): "f31e3084086d3c29",
    (2, 5): "f5589eb378270f12",
}
"""(seed, shots) -> digest of the split as the rule drew it when it was new."""


@pytest.mark.parametrize("shots", [1, 2, 5, 10])
@pytest.mark.parametrize("seed", range(3))
def test_is_exact_and_leaves_the_test_part(card_of, shots, seed):
    frame = patients(seed)
    card = card_of("fewshot", shots=shots, seed=seed, base="base")
    base, assigned = split_file.make_split(card, frame, "base"), made(card, frame)
    assert ((assigned == "test") == (base == "test")).all()
    used = np.isin(assigned, ("train", "val"))
    assert (base[used] == "train").all()
    for part in ("train", "val"):
        assert Counter(frame["target"][assigned == part]) == dict.fromkeys(range(3), shots)
    groups = [set(frame["group"][assigned == name]) for name in split_file.SPLITS]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    order, moved = reordered(frame)
    assert (made(card, moved) == assigned[order]).all()


def test_more_shots_hold_the_fewer_and_seeds_differ(card_of):
    frame = patients(0)
    by_shots = {n: made(card_of("fewshot", shots=n, base="base"), frame) for n in (1, 5, 10)}
    for few, more in ((1, 5), (5, 10)):
        for part in ("train", "val"):
            assert (by_shots[more][by_shots[few] == part] == part).all()
    other = made(card_of("fewshot", shots=5, base="base", seed=1), frame)
    assert ((other == "test") == (by_shots[5] == "test")).all()
    assert ((other == "train") & (by_shots[5] == "train")).sum() < 10


def test_takes_whole_groups_where_they_fit(card_of):
    frame = frame_of(np.arange(240) // 80, [f"p{k // 2}" for k in range(240)])
    assigned = made(card_of("fewshot", shots=6, base="base"), frame)
    taken = frame[np.isin(assigned, ("train", "val"))]
    assert (taken.groupby("group").size() == 2).all()


def test_uses_all_if_need_be(card_of):
    rules = {"base": {"method": "official"}}
    official = ["train"] * 60 + ["val"] * 3 + ["test"] * 6
    frame = frame_of([0, 1, 2] * 23, official=official)
    assigned = made(card_of("fewshot", shots=10, base="base", more=rules), frame)
    assert sizes(assigned) == (30, 30, 6, 3)


def test_takes_the_base_as_it_was_frozen(card_of, monkeypatch):
    frame, card = patients(0), card_of("fewshot", shots=5, base="base")
    base = split_file.frozen_split(card, frame, "base")
    monkeypatch.setitem(split_file.rules.RULES, "grouped", lambda *_: pytest.fail("drawn anew"))
    assert ((split_file.frozen_split(card, frame, "it") == "test") == (base == "test")).all()


def test_faults(card_of):
    frame = frame_of([0] * 60 + [1] * 60 + [2] * 20)
    with pytest.raises(DataError, match=r"need 20 samples of a class.* 'base' has fewer of c \(14\)"):
        made(card_of("fewshot", shots=10, base="base"), frame)
    lumps = frame_of([0] * 60 + [1] * 60 + [2] * 20, [f"p{k}" for k in range(120)] + ["q"] * 15 + list("rstuv"))
    official = card_of("fewshot", shots=9, base="base", more={"base": {"method": "official"}})
    lumps["official"] = ["train"] * 140
    lumps.loc[[0, 60], "official"] = ["val", "test"]
    with pytest.raises(DataError, match=r"complete groups leave 5 samples of c for (train|val), not 9"):
        made(official, lumps)
    for base in (None, "nowhere", "it"):
        with pytest.raises(CardError, match=r"'it' has .* as base") as caught:
            made(card_of("fewshot", base=base), frame)
        assert caught.value.hint.endswith(": base")


@pytest.mark.parametrize(("seed", "shots"), FIRST)
def test_the_draw_stays_what_it_was(card_of, seed, shots):
    assigned = made(card_of("fewshot", shots=shots, seed=seed, base="base"), patients(seed))
    assert hashlib.sha256("\n".join(assigned).encode()).hexdigest()[:16] == FIRST[seed, shots]


def test_its_files_keep_their_names(card_of):
    name = split_file.split_file(card_of("fewshot", shots=5, base="base"), patients(0), "it").name
    assert name == "it-11fa969863f2.csv"


def apart(frame, assigned):
    """Tell whether no patient is in two parts."""
    used = frame.assign(part=assigned)[assigned != ""]
    return (used.groupby("group")["part"].nunique() == 1).all()


def groups_of(frame, assigned, label, part):
    """Patients of a part that have samples of a class there."""
    return set(frame["group"][(assigned == part) & (frame["target"] == label)])


@pytest.mark.parametrize("seed", range(3))
def test_k_groups_a_class_with_all_their_samples_of_it(card_of, seed):
    frame = patients(seed)
    base = split_file.make_split(card_of("fewshot", base="base"), frame, "base")
    found = {}
    for shots in (1, 2, 5):
        found[shots] = assigned = made(card_of("fewshot", shots=shots, seed=seed, base="base", unit="group"), frame)
        assert ((assigned == "test") == (base == "test")).all()
        for label in range(3):
            both = [groups_of(frame, assigned, label, part) for part in ("train", "val")]
            assert [len(taken) for taken in both] == [shots, shots]
            for part, taken in zip(("train", "val"), both, strict=True):
                theirs = frame["group"].isin(taken) & (frame["target"] == label)
                assert (assigned[theirs] == part).all(), "all their samples of the class"
        assert apart(frame, assigned)
    for few, more in ((1, 2), (2, 5)):
        for part in ("train", "val"):
            assert (found[more][found[few] == part] == part).all()
    assert (found[5] == "train").sum() > 15, "patients have several images"


@pytest.mark.parametrize("unit", ["sample", "group"])
def test_without_validation_train_takes_from_the_whole_part(card_of, unit):
    frame = frame_of([0, 1, 2] * 40, official=["train"] * 90 + ["val"] * 12 + ["test"] * 18)
    rules = {"base": {"method": "official"}}
    card = card_of("fewshot", shots=30, base="base", more=rules, unit=unit, validation=False)
    assert sizes(made(card, frame)) == (90, 0, 18, 12)
    assert sizes(split_file.frozen_split(card, frame, "it")) == (90, 0, 18, 12)
    with pytest.raises(DataError, match=f"need 60 {unit}s of a class"):
        made(card_of("fewshot", shots=30, base="base", more=rules, unit=unit), frame)
    few = card_of("fewshot", shots=4, base="base", more=rules, unit=unit, validation=False)
    assert sizes(made(few, frame)) == (12, 0, 18, 90)


def plain_union(frame, base, shots, seed):
    """The multilabel rule by a plain loop, without validation: each label's first positives in the order of groups."""

    def rank(group):
        return hashlib.sha256(f"{seed}/shots/{group}".encode()).digest()

    rows = sorted(np.flatnonzero(base == "train"), key=lambda row: (rank(frame["group"][row]), frame["id"][row]))
    taken = set()
    for name in "abc":
        taken |= set([row for row in rows if frame[f"target_{name}"][row]][:shots])
    return taken


def findings(seed, n=300):
    """Patients of about two images, with findings that overlap."""
    rng = np.random.default_rng(seed)
    groups = np.sort(rng.integers(0, n // 2, n))
    return frame_of(rng.random((n, 3)) < (0.5, 0.3, 0.2), [f"p{g}" for g in groups])


@pytest.mark.parametrize("seed", range(3))
def test_of_labels_a_part_is_the_union_of_each_labels_samples(card_of, seed):
    frame = findings(seed)
    few = {"base": "base", "seed": seed, "task": "multilabel"}
    base = split_file.make_split(card_of("fewshot", **few), frame, "base")
    alone = made(card_of("fewshot", shots=4, validation=False, **few), frame)
    assert set(np.flatnonzero(alone == "train")) == plain_union(frame, base, 4, seed)
    found = {shots: made(card_of("fewshot", shots=shots, **few), frame) for shots in (2, 5)}
    for shots, assigned in found.items():
        for part in ("train", "val"):
            own = frame[assigned == part][["target_a", "target_b", "target_c"]]
            assert (own.sum() >= shots).all()
            assert len(own) <= 3 * shots
            assert own.any(axis=1).all(), "without a label a sample is nobody's"
        assert apart(frame, assigned)
    assert (found[5][found[2] == "train"] == "train").all()
    order, moved = reordered(frame)
    again = made(card_of("fewshot", shots=5, **few), moved)
    assert (again == found[5][order]).all()


def test_of_labels_with_k_groups(card_of):
    frame = findings(0)
    assigned = made(card_of("fewshot", shots=3, unit="group", base="base", task="multilabel"), frame)
    for part in ("train", "val"):
        for name in "abc":
            assert frame["group"][(assigned == part) & (frame[f"target_{name}"] == 1)].nunique() >= 3


def test_too_few_groups_and_labels(card_of):
    lumps = frame_of([0, 1] * 40 + [2] * 40, [f"p{k}" for k in range(80)] + ["q", "r", "s", "t"] * 10)
    with pytest.raises(DataError, match=r"5 shots for train need 5 groups of a class.* fewer of c \([1-4]\)"):
        made(card_of("fewshot", shots=5, unit="group", validation=False, base="base"), lumps)
    rare = np.zeros((60, 3))
    rare[:, 0], rare[::2, 1], rare[:5, 2] = 1, 1, 1
    with pytest.raises(
        DataError, match=r"10 shots each for train and val need 20 samples of a class.* fewer of c \([0-5]\)"
    ):
        made(card_of("fewshot", shots=10, base="base", task="multilabel"), frame_of(rare))


@pytest.mark.parametrize("seed", range(3))
def test_a_fraction_keeps_whole_groups_of_each_stratum(card_of, seed):
    frame, found = patients(seed), {}
    base = split_file.make_split(card_of("fraction", base="base", train=0.1), frame, "base")
    groups = dict(iter(frame[base == "train"].groupby("group")["target"]))
    common = frame["target"][base == "train"].value_counts()
    strata = Counter(min(set(rows), key=lambda k: (common[k], k)) for rows in groups.values())
    for share in (0.1, 0.25, 0.6):
        found[share] = assigned = made(card_of("fraction", base="base", train=share, seed=seed), frame)
        assert (assigned[base != "train"] == base[base != "train"]).all()
        kept = set(frame["group"][assigned == "train"])
        assert all((assigned[(frame["group"] == name) & (base == "train")] == "train").all() for name in kept)
        each = Counter(min(set(groups[name]), key=lambda k: (common[k], k)) for name in kept)
        assert each == {k: max(1, round(share * n)) for k, n in strata.items()}
        order, moved = reordered(frame)
        assert (made(card_of("fraction", base="base", train=share, seed=seed), moved) == assigned[order]).all()
    assert (found[0.6][found[0.25] == "train"] == "train").all()
    assert (found[0.25][found[0.1] == "train"] == "train").all()
    other = made(card_of("fraction", base="base", train=0.25, seed=seed + 1), frame)
    assert (other != found[0.25]).any()


def test_a_fraction_needs_its_share(card_of):
    with pytest.raises(DataError, match="has no share"):
        made(card_of("fraction", base="base"), patients(0))
