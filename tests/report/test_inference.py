"""Intervals and ties from stored predictions: files of SYNTHETIC scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from medbench import stats
from medbench.metrics import score
from medbench.records.groups import Group, collect
from medbench.records.store import PREDICTIONS, read_all
from medbench.report.inference import DRAWS, Predicted, against_best, interval_of, predicted, ties
from medbench.report.measured import measured
from medbench.report.weighted_metric import among, weighted_metric


@pytest.fixture
def groups(tmp_path, synthetic, save):
    """Three models of one split of 300 images: a good one, one that differs on 7 of them, and a poor one."""
    source = np.random.default_rng(0)
    truth = np.arange(300) % 2
    good = np.where(source.random(300) < 0.9, truth, 1 - truth)
    near, poor = good.copy(), np.where(source.random(300) < 0.6, truth, 1 - truth)
    right, wrong = np.flatnonzero(good == truth)[:4], np.flatnonzero(good != truth)[:3]
    near[right], near[wrong] = 1 - truth[right], truth[wrong]
    for model, guess in {"dino": good, "imagenet": near, "sam": poor}.items():
        save(tmp_path, synthetic(model=model, values={"accuracy": [float((guess == truth).mean())] * 2}, seeds=(0, 1)))
        for record in read_all(tmp_path):
            if record.unit.model == model:
                frame = pd.DataFrame({"id": np.arange(300), "group": np.arange(300), "split": "test", "target": truth})
                for k in range(2):
                    frame[f"score_{k}"] = np.where(guess == k, 0.8, 0.2)
                frame.to_parquet(record.path / PREDICTIONS)
    return {group.first.unit.model: group for group in collect(read_all(tmp_path))}


def test_an_interval_is_the_binomials(groups):
    found = interval_of(groups["dino"], "accuracy")
    p = groups["dino"].summary("accuracy")[0]
    assert found.se == pytest.approx((p * (1 - p) / 300) ** 0.5, rel=0.1)
    assert found.low < p < found.high
    assert predicted(groups["dino"]).groups is None, "every image is its own patient"


def test_a_tie_is_what_a_paired_test_does_not_separate(groups):
    listed = [groups["dino"], groups["imagenet"], groups["sam"]]
    assert ties(listed, "accuracy") == {1}
    assert ties(listed[::2], "accuracy") == set()


def test_where_lower_is_better_ties_are_with_the_lowest(groups):
    listed = []
    for model, loss in (("dino", 0.33), ("imagenet", 0.34), ("sam", 0.6)):
        made = [r.model_copy(update={"metrics": {"log_loss": loss}}) for r in groups[model].records]
        listed.append(Group(tuple(made)))
    assert ties(listed, "log_loss") == {1}


def test_seeds_are_drawn_together_only_if_they_are_the_same(tmp_path, synthetic, save):
    source = np.random.default_rng(1)
    truth = np.arange(80) % 2
    for model, seeds in (("dino", (0, 1)), ("sam", (1, 2))):
        save(tmp_path, synthetic(model=model, values={"accuracy": [0.8, 0.7]}, seeds=seeds))
    for record in read_all(tmp_path):
        frame = pd.DataFrame({"id": np.arange(80), "group": np.arange(80), "split": "test", "target": truth})
        found = 0.4 * truth + 0.6 * source.random(80)
        frame.assign(score_0=1 - found, score_1=found).to_parquet(record.path / PREDICTIONS)
    listed = collect(read_all(tmp_path))
    best = max(listed, key=lambda group: group.summary("accuracy")[0])
    other = next(group for group in listed if group is not best)
    one, two = predicted(best), predicted(other)
    expected = stats.paired("accuracy", one.scores, two.scores, one.targets, draws=DRAWS, same_seeds=False)
    found = against_best([best, other], "accuracy")[1]
    ends = expected.interval()
    assert (found.difference, found.low, found.high) == pytest.approx((expected.value, ends.low, ends.high))


@pytest.mark.parametrize("changed", ["data", "target", "id"])
def test_only_what_has_the_same_ids_pixels_and_targets_is_compared(groups, changed):
    other = groups["imagenet"]
    if changed == "data":
        other = Group(tuple(r.model_copy(update={"material": {**r.material, "data": "d" * 64}}) for r in other.records))
    else:
        for record in other.records:
            frame = pd.read_parquet(record.path / PREDICTIONS)
            frame.loc[0, changed] = 1 - frame.loc[0, changed] if changed == "target" else 999
            frame.to_parquet(record.path / PREDICTIONS)
    assert ties([groups["dino"], other], "accuracy") == set()


def test_without_predictions_nothing_is_said(groups):
    for record in groups["imagenet"].records:
        (record.path / PREDICTIONS).unlink()
    assert interval_of(groups["imagenet"], "accuracy") is None
    assert ties([groups["dino"], groups["imagenet"]], "accuracy") == set()


def test_damaged_predictions_count_as_missing_and_are_told(groups, caplog):
    path = groups["imagenet"].first.path / PREDICTIONS
    path.write_bytes(path.read_bytes()[:1000])
    assert predicted(groups["imagenet"]) is None
    assert str(path) in caplog.text
    assert ties([groups["dino"], groups["imagenet"]], "accuracy") == set()


def test_metrics_rank_by_log_odds_where_the_file_has_them(groups):
    record = groups["dino"].first
    file = record.path / PREDICTIONS
    frame = pd.read_parquet(file)
    log_odds = np.where(frame["target"] == 1, 60.0, 50.0)  # as probabilities, all are 1
    columns = {f"score_{k}": np.full(300, float(k)) for k in range(2)}
    frame.assign(**columns, log_odds_0=-log_odds, log_odds_1=log_odds).to_parquet(file)
    (group,) = collect([record])
    found = predicted(group)
    assert score("auroc", found.of("auroc")[0], found.targets) == 1
    assert score("auroc", found.of("accuracy")[0], found.targets) == 0.5
    assert interval_of(group, "auroc").low == pytest.approx(1)


def test_the_calibration_error_of_records_has_the_interval_of_that_on_demand(groups):
    own, on_demand = interval_of(groups["dino"], "ece_15"), measured(groups["dino"], ["ece"], True)["ece"]
    assert (own.low, own.high) == pytest.approx((on_demand.low, on_demand.high))
    found = weighted_metric(groups["dino"], "ece_15")
    ends = found.interval(found.term())
    assert (ends.low, ends.high) == pytest.approx((own.low, own.high))


def test_among_some_classes_scores_of_older_files_are_no_log_odds():
    scores = np.array([[[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]]])
    found = among(Predicted(("a", "b"), scores, np.array([0, 2]), None), [0, 2])
    assert found.scores[0] == pytest.approx(np.array([[6 / 7, 1 / 7], [1 / 4, 3 / 4]]))


def test_a_file_without_log_odds_has_no_ranks(groups):
    assert predicted(groups["dino"]).ranks is None
