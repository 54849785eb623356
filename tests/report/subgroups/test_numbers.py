from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from medbench.records.store import PREDICTIONS
from medbench.report.measured import load_predictions
from medbench.report.subgroups import numbers
from medbench.report.subgroups.by import Members
from medbench.report.subgroups.numbers import compared

from .conftest import people

SEX = Members("sex", ("F", "M"), (people()["subgroup_sex"] == "M").to_numpy().astype(int))


def rows_of(group, seed: int, part: str = "test") -> pd.DataFrame:
    frame = pd.read_parquet(group.records[seed].path / PREDICTIONS)
    return frame[frame["split"] == part].reset_index(drop=True)


def test_each_group_has_the_metric_of_scikit_learn(group_of) -> None:
    group = group_of()
    found = compared(group, load_predictions(group), SEX, (0, 1), "auroc")
    means = []
    for g, number in enumerate(found.numbers):
        frames = [rows_of(group, seed)[SEX.member == g] for seed in (0, 1)]
        values = [sk.roc_auc_score(frame["target"], frame["log_odds_ill"]) for frame in frames]
        means.append(np.mean(values))
        assert number.value == pytest.approx(means[-1], abs=1e-9)
        assert number.std == pytest.approx(np.std(values, ddof=1), abs=1e-9)
        assert number.low < number.value < number.high
    assert found.gap.value == pytest.approx(means[0] - means[1], abs=1e-9)
    assert (found.gap.highest, found.gap.lowest) == (0, 1)
    assert found.gap.low < found.gap.value < found.gap.high
    assert found.p < 0.01


def test_a_threshold_is_that_of_all_validation_images(group_of) -> None:
    group = group_of(seeds=(0,))
    found = compared(group, load_predictions(group), SEX, (0, 1), "sensitivity")
    validation, test = rows_of(group, 0, "val"), rows_of(group, 0)
    false, true, limits = sk.roc_curve(validation["target"], validation["log_odds_ill"], drop_intermediate=False)
    called = (test["log_odds_ill"] >= limits[np.argmax(true - false)]).to_numpy()
    for g, number in enumerate(found.numbers):
        own = SEX.member == g
        assert number.value == pytest.approx(sk.recall_score(test["target"][own], called[own]), abs=1e-9)


def test_a_mean_is_over_the_classes_that_all_groups_have(group_of) -> None:
    group = group_of(task="multilabel", metric="auroc_macro", seeds=(0,))
    found = compared(group, load_predictions(group), SEX, (0, 1), "auroc_macro")
    assert found.left_out == (2,)
    test = rows_of(group, 0)
    for g, number in enumerate(found.numbers):
        own = test[SEX.member == g]
        expected = np.mean([sk.roc_auc_score(own[f"target_{c}"], own[f"log_odds_{c}"]) for c in "ab"])
        assert number.value == pytest.approx(expected, abs=1e-9)
    other = compared(group, load_predictions(group), SEX, (0, 1), "f1_macro")
    assert other.unequal
    assert other.gap is None
    assert all(number.value is not None for number in other.numbers)


def test_only_large_and_defined_groups_are_compared(group_of) -> None:
    group = group_of(seeds=(0,))
    truth = people()["target"].to_numpy()
    three = Members("x", ("a", "b", "ill"), np.where(truth & (np.arange(240) > 180), 2, np.arange(240) % 2))
    found = compared(group, load_predictions(group), three, (0, 1, 2), "auroc")
    assert found.numbers[2].value is None, "all of them have one class"
    assert found.gap is not None
    assert {found.gap.highest, found.gap.lowest} == {0, 1}
    alone = compared(group, load_predictions(group), three, (0,), "auroc")
    assert [number.value is not None for number in alone.numbers] == [True, False, False]
    assert alone.gap is None
    assert np.isnan(alone.p)


def test_a_calibration_error_has_an_interval_in_each_group_and_none_of_the_gap(group_of) -> None:
    group = group_of(seeds=(0,))
    found = compared(group, load_predictions(group), SEX, (0, 1), "ece")
    assert all(number.low < number.high for number in found.numbers)
    assert np.isnan(found.gap.low)
    assert 0 < found.p <= 1
    assert found.best_worst("ece") == (found.gap.lowest, found.gap.highest), "the lowest error is the best"
    own = compared(group, load_predictions(group), SEX, (0, 1), "ece_15")
    assert own.numbers[0].value == pytest.approx(found.numbers[0].value)


def test_numbers_are_kept_for_the_same_groups(group_of, monkeypatch) -> None:
    group = group_of(seeds=(0,))
    first = compared(group, load_predictions(group), SEX, (0, 1), "auroc")
    monkeypatch.setattr(numbers, "_compared", lambda *args: pytest.fail("computed again"))
    assert compared(group, load_predictions(group), SEX, (0, 1), "auroc") == first
    with pytest.raises(pytest.fail.Exception, match="computed again"):
        compared(group, load_predictions(group), Members("sex", SEX.names, 1 - SEX.member), (0, 1), "auroc")
