"""Metrics that no record holds, from files of SYNTHETIC predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from medbench.errors import CardError
from medbench.metrics import log_odds, probabilities
from medbench.records import SplitCount
from medbench.records.groups import collect
from medbench.records.store import PREDICTIONS, read_all
from medbench.report import measured as module
from medbench.report.measured import NO_CLASSES, NO_VALIDATION, NOT_STORED, by_class, measured

CLASSES = ["healthy", "ill"]


@pytest.fixture
def put(tmp_path, synthetic, save):
    """Save a group of two seeds with predictions, three images of each patient, and return it."""

    def _put(parts=("val", "test"), columns=("score", "log_odds"), said=("val", "test")):
        counts = {split: SplitCount(images=150, classes=dict.fromkeys(CLASSES, 75)) for split in said}
        records = synthetic(seeds=(0, 1), n=counts, material={"dataset": {"task": "binary"}})
        save(tmp_path, records)
        for record in read_all(tmp_path):
            frames = [frame(record.unit.seed, split, columns) for split in parts]
            pd.concat(frames).to_parquet(record.path / PREDICTIONS)
        (group,) = collect(read_all(tmp_path))
        return group

    return _put


def frame(seed: int, split: str, columns=("score", "log_odds")) -> pd.DataFrame:
    source = np.random.default_rng([len(split), 0])
    truth, patient = np.arange(150) % 2, np.arange(150) // 3
    x = 2 * truth - 1 + source.normal(size=150) + np.random.default_rng([seed, 1]).normal(size=150) / 2
    values = log_odds(np.stack([-x, x], 1), multilabel=False)
    found = pd.DataFrame({"id": [f"{split}{i}" for i in range(150)], "group": patient, "split": split, "target": truth})
    for name in columns:
        for k, label in enumerate(CLASSES):
            found[f"{name}_{label}"] = (probabilities(values) if name == "score" else values)[:, k]
    return found


def by_hand(seed: int) -> float:
    """Sensitivity on test at the threshold with the highest sensitivity + specificity on validation."""
    validation, test = frame(seed, "val"), frame(seed, "test")
    false, true, limits = sk.roc_curve(validation["target"], validation["log_odds_ill"], drop_intermediate=False)
    called = test["log_odds_ill"] >= limits[np.argmax(true - false)]
    return sk.recall_score(test["target"], called)


def test_each_seed_has_its_own_threshold_of_validation(put):
    found = measured(put(), ["sensitivity"])["sensitivity"]
    values = [by_hand(seed) for seed in (0, 1)]
    assert found.value == pytest.approx(np.mean(values))
    assert found.std == pytest.approx(np.std(values, ddof=1))
    assert (found.n, found.low, found.lacking) == (2, None, "")


def test_the_test_part_chooses_nothing(put, tmp_path):
    group = put()
    before = measured(group, ["sensitivity", "specificity"])
    for record in group.records:  # other test labels: what is called positive stays
        file = record.path / PREDICTIONS
        changed = pd.read_parquet(file)
        changed.loc[changed["split"] == "test", "target"] ^= 1
        changed.to_parquet(file)
    after = measured(group, ["sensitivity", "specificity"])
    assert after["sensitivity"].value == pytest.approx(1 - before["specificity"].value)


def test_intervals_draw_patients(put, monkeypatch):
    drawn = []
    many = module.stats.bootstrap_many
    monkeypatch.setattr(module.stats, "bootstrap_many", lambda *a, **k: drawn.append(a) or many(*a, **k))
    names = ["sensitivity@specificity=0.9", "ece", "ece@temperature"]
    group = put()
    found = measured(group, names, intervals=True)
    assert all(one.low < one.value < one.high for one in found.values())
    assert len(drawn) == 1, "all on the same draws"
    assert len(set(drawn[0][2])) == 50
    assert measured(group, names, intervals=True) == found
    assert len(drawn) == 1, "they are kept"


def test_files_without_log_odds_serve(put):
    found = measured(put(columns=("score",)), ["sensitivity", "brier"])
    assert found["sensitivity"].value == pytest.approx(np.mean([by_hand(seed) for seed in (0, 1)]))


def test_what_cannot_be_computed_is_said(put):
    names = ["sensitivity", "sensitivity@0.5", "mae"]
    found = measured(put(parts=("test",), said=("test",)), names)
    assert found["sensitivity"].lacking == NO_VALIDATION
    assert found["sensitivity@0.5"].value is not None
    assert "not for binary tasks" in found["mae"].lacking
    found = measured(put(parts=("test",)), names, intervals=True)  # a file of an earlier version
    assert found["sensitivity"].lacking == NOT_STORED
    assert found["sensitivity@0.5"].low is not None
    group = put()
    (group.first.path / PREDICTIONS).write_bytes(b"no parquet")
    assert {one.lacking for one in measured(group, names[:2]).values()} == {NOT_STORED}
    (group.first.path / PREDICTIONS).unlink()
    assert {one.lacking for one in measured(group, names[:2]).values()} == {NOT_STORED}
    group.first.material["protocol"] = {"kind": "flair-pretrain"}
    assert {one.lacking for one in measured(group, names[:2]).values()} == {NO_CLASSES}


def test_each_class_against_the_rest(put):
    healthy, ill = by_class(put(), ["auroc", "sensitivity"])
    assert ill["sensitivity"].value == pytest.approx(np.mean([by_hand(seed) for seed in (0, 1)]))
    assert ill["auroc"].value == pytest.approx(healthy["auroc"].value)
    assert ill["auroc"].low < ill["auroc"].value < ill["auroc"].high
    with pytest.raises(CardError, match="not defined for each class"):
        by_class(put(), ["log_loss"])
