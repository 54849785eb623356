from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import permutation_test
from sklearn.metrics import roc_auc_score

from medbench.metrics.weighted import weighted
from medbench.stats import bootstrap
from medbench.stats.bootstrap import combine, evaluate_many
from medbench.stats.paired import difference
from medbench.stats.resampling import design
from medbench.stats.subgroups import _Moves, gap, group_design, in_several, permutation_p


def split(seed: int, sizes=(90, 60), images: int = 1, apart=(1.5, 1.5)):
    """(1, n, 2) scores, classes, groups and patients; every third patient is positive."""
    source = np.random.default_rng(seed)
    member = np.repeat(np.arange(len(sizes)), sizes)
    targets = (np.arange(len(member)) % 3 == 0).astype(int)
    patients, targets, member = (np.repeat(one, images) for one in (np.arange(len(member)), targets, member))
    x = source.normal(size=patients[-1] + 1)[patients] + source.normal(size=len(member))
    p = 1 / (1 + np.exp(-(x + np.array(apart)[member] * targets)))
    return np.stack([1 - p, p], -1)[None], targets, member, patients


def terms_of(scores, targets, member, patients, draws=400):
    plan = group_design(targets, member, patients)
    rows = [np.flatnonzero(member == g) for g in range(member.max() + 1)]
    parts = [weighted("auroc", scores[:, own], targets[own]) for own in rows]
    found = evaluate_many(
        lambda weights: np.stack([part(weights[own]) for part, own in zip(parts, rows, strict=True)]), plan, draws
    )
    return found, plan


def test_a_draw_keeps_groups_classes_and_patients() -> None:
    _, targets, member, patients = split(0, (40, 21), images=2)
    plan = group_design(targets, member, patients)
    (weights,) = plan.weights(50, 0)
    for group, target in itertools.product((0, 1), (0, 1)):
        rows = (member == group) & (targets == target)
        assert (weights[rows].sum(axis=0) == rows.sum()).all()
    assert (weights[::2] == weights[1::2]).all(), "both images of a patient are drawn equally often"


def test_findings_are_strata_of_each_group() -> None:
    targets = np.array([[1, 0], [0, 0], [0, 1], [1, 0], [0, 0], [0, 1]] * 4)
    member = np.repeat([0, 1], 12)
    (weights,) = group_design(targets, member).weights(30, 0)
    for group, finding in itertools.product((0, 1), (0, 1)):
        rows = (member == group) & (targets[:, finding] == 1)
        assert (weights[rows].sum(axis=0) == rows.sum()).all()


def test_the_design_of_groups_is_that_of_each_alone_unless_patients_are_in_several() -> None:
    _, targets, member, patients = split(2, (30, 21), images=2)
    plan = group_design(targets, member, patients)
    alone = [design(targets[member == g], patients[member == g]) for g in (0, 1)]
    assert [len(part) for part in plan.strata] == [len(part) for own in alone for part in own.strata]
    assert plan.units == 51
    member[1] = 1  # the first patient has an image in each group
    mixed, whole = group_design(targets, member, patients), design(targets, patients)
    assert (mixed.member == whole.member).all()
    assert len(mixed.strata) == len(whole.strata)


def test_the_gap_of_two_groups_is_that_of_scikit_learn_with_the_interval_of_a_difference() -> None:
    scores, targets, member, patients = split(1, apart=(2.0, 0.8))
    terms, plan = terms_of(scores, targets, member, patients, draws=2000)
    found = gap(terms, plan)
    each = [roc_auc_score(targets[member == g], scores[0, member == g, 1]) for g in (0, 1)]
    assert found.value == pytest.approx(each[0] - each[1], abs=1e-9)
    assert (found.highest, found.lowest) == (0, 1)
    own = difference(*terms, plan).interval()
    assert (found.low, found.high) == (own.low, own.high)
    rows = [member == g for g in (0, 1)]
    alone = [bootstrap("auroc", scores[:, own], targets[own]).interval().se for own in rows]
    assert own.se == pytest.approx(np.hypot(*alone), rel=0.1)
    assert combine([terms[0]], plan).interval().se == pytest.approx(alone[0], rel=0.1)


def test_the_interval_of_two_groups_may_have_both_signs_that_of_several_may_not() -> None:
    found = gap(*terms_of(*split(3, (60, 60))))
    assert found.low < 0 < found.high
    scores, targets, member, patients = split(3, (60, 60, 60), apart=(1.5, 1.5, 1.5))
    three = gap(*terms_of(scores, targets, member, patients))
    assert three.low == 0
    assert three.low <= three.value <= three.high


def test_a_clear_gap_of_three_groups_excludes_zero_and_its_end_is_that_of_a_pair() -> None:
    terms, plan = terms_of(*split(4, (90, 90, 90), apart=(3.0, 1.5, 0.0)))
    found = gap(terms, plan)
    assert (found.highest, found.lowest) == (0, 2)
    pair = difference(terms[0], terms[2], plan).interval()
    assert found.high == pytest.approx(pair.high)
    assert 0 < found.low < pair.low, "the lower end holds for all pairs, so it is lower"


def test_p_is_that_of_scipy_for_images_of_one_class() -> None:
    source = np.random.default_rng(5)
    right = np.concatenate([source.random(8) < 0.9, source.random(6) < 0.4]).astype(float)
    member, targets = np.repeat([0, 1], [8, 6]), np.zeros(14, int)
    expected = permutation_test(
        (right[:8], right[8:]),
        lambda a, b, axis: np.abs(a.mean(axis=axis) - b.mean(axis=axis)),
        vectorized=True,
        alternative="greater",
        n_resamples=np.inf,
    ).pvalue
    n = 20_000
    found = permutation_p(lambda w: right @ w / w.sum(axis=0), member, targets, permutations=n)
    assert found == pytest.approx(expected, abs=4 * (expected * (1 - expected) / n) ** 0.5)


def test_p_is_that_of_all_moves_of_whole_patients_within_their_class() -> None:
    source = np.random.default_rng(6)
    units = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1])
    group = np.array([0, 0, 0, 1, 1, 0, 0, 1, 1])
    patients = np.repeat(np.arange(9), [2, 1, 3, 1, 2, 2, 1, 2, 3])
    targets, member = units[patients], group[patients]
    worth = source.normal(size=len(patients)) + 0.8 * member

    def size(labels: np.ndarray) -> float:
        return abs(float(worth[labels == 0].mean() - worth[labels == 1].mean()))

    gaps = []
    for healthy in itertools.combinations(range(5), 3):
        for ill in itertools.combinations(range(5, 9), 2):
            labels = np.ones(9, int)
            labels[[*healthy, *ill]] = 0
            gaps.append(size(labels[patients]))
    expected = float(np.mean(np.array(gaps) >= size(member) - 1e-12))
    n = 20_000
    found = permutation_p(lambda w: worth @ w / w.sum(axis=0), member, targets, patients, permutations=n)
    assert found == pytest.approx(expected, abs=4 * (expected * (1 - expected) / n) ** 0.5)


def test_moves_keep_patients_classes_and_sizes() -> None:
    _, targets, member, patients = split(7, (30, 21), images=2)
    member[:8] = [0, 1] * 4  # four patients have an image in each group
    (moved,) = _Moves(member, targets, patients).drawn(200, 0)
    assert (moved[8::2] == moved[9::2]).all(), "other patients move as a whole"
    assert (np.sort(moved[:8].reshape(4, 2, -1), axis=1) == [[0], [1]]).all(), "these images stay with their patient"
    assert (moved[:8] != member[:8, None]).any()
    for target in (0, 1):
        rows = targets == target
        assert (moved[rows].sum(axis=0) == member[rows].sum()).all()
    assert in_several(member, patients) == 4


def test_without_a_class_in_two_groups_there_is_no_p() -> None:
    member = np.repeat([0, 1], 10)
    worth = np.arange(20.0)
    assert np.isnan(permutation_p(lambda w: worth @ w / w.sum(axis=0), member, member, permutations=50))
    assert np.isnan(permutation_p(lambda w: w.sum(axis=0) * np.nan, member, np.zeros(20, int), permutations=50))


def test_equal_draws_give_equal_p() -> None:
    scores, targets, member, patients = split(8, images=2)
    values = weighted("auroc", scores, targets)
    found = [permutation_p(lambda w: values(w)[0], member, targets, patients, 200, seed) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
