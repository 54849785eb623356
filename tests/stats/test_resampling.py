"""The units and strata of a bootstrap, its draws and its jackknife samples, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from medbench.stats import resampling as designs


def test_draws_keep_the_size_of_each_stratum_and_draw_groups():
    y = np.array([0, 0, 0, 0, 1, 1, 0, 1, 2, 2, 0, 0])
    patient = np.array(list("aabbbcdeefgg"))
    plan = designs.design(y, patient)
    # class 2 is in e and f, class 1 in b, c and e: e and f count as 2, b and c as 1, a, d and g as 0
    names = ["".join(sorted(set(patient[np.isin(plan.member, units)]))) for units in plan.strata]
    assert sorted(names) == ["adg", "bc", "ef"]
    weights = np.concatenate(list(plan.weights(200, 0)), axis=1)
    for units in plan.strata:
        first = [np.flatnonzero(plan.member == unit)[0] for unit in units]
        assert (weights[first].sum(axis=0) == len(units)).all()
    for name in "abeg":
        assert (weights[patient == name] == weights[patient == name][0]).all()
    assert weights[patient == "e"].mean() == pytest.approx(1, abs=0.15)


def test_strata_of_images_findings_and_single_units():
    assert [len(s) for s in designs.design(np.array([0] * 6 + [1] * 4)).strata] == [4, 6]
    assert [len(s) for s in designs.design(np.array([0] * 6 + [1] * 4), stratified=False).strata] == [10]
    # a class of one image is drawn with the next smallest class
    assert [s.tolist() for s in designs.design(np.array([0, 0, 0, 0, 1, 1, 2])).strata] == [[4, 5, 6], [0, 1, 2, 3]]
    labels = np.array([[1, 0], [1, 1], [1, 1], [1, 0], [0, 0], [0, 0]], np.uint8)
    assert sorted(s.tolist() for s in designs.design(labels).strata) == [[0, 3], [1, 2], [4, 5]]


def test_a_jackknife_leaves_each_unit_out_once(monkeypatch):
    y = np.repeat([0, 1], [7, 4])
    for blocks, sizes in ((100, [1] * 11), (3, [2, 1, 1, 3, 2, 2])):
        monkeypatch.setattr(designs, "BLOCKS", blocks)
        plan = designs.design(y)
        left = 1 - np.concatenate(list(plan.lacking(0)), axis=1)
        assert plan.blocks == [min(4, blocks), min(7, blocks)]
        assert (left.sum(axis=1) == 1).all()
        assert left.sum(axis=0).tolist() == sizes


def test_draws_have_a_seed_and_come_in_parts(monkeypatch):
    y = np.repeat([0, 1], [7, 4])
    plan = designs.design(y)
    one, two = (np.concatenate(list(plan.weights(50, seed)), axis=1) for seed in (0, 1))
    assert np.array_equal(one, np.concatenate(list(plan.weights(50, 0)), axis=1))
    assert not np.array_equal(one, two)
    monkeypatch.setattr(designs, "AT_ONCE", 11 * 16)
    assert [part.shape for part in plan.weights(50, 0)] == [(11, 16)] * 3 + [(11, 2)]
