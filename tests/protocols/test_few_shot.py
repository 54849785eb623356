"""Few shots: which head is fitted on which images, when C is chosen, and what the record says of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from medbench.cards.prompts.sets import Prompts
from medbench.cards.recipes import FewShot, LinearProbe, NearestMean, ZsLp
from medbench.metrics import probabilities
from medbench.protocols import few_shot, linear_probe, nearest_mean
from medbench.protocols.adapters import clap
from medbench.protocols.context import Context, Language, Outcome

GRID = FewShot().C


class Features:
    def __init__(self, splits: dict[str, np.ndarray]) -> None:
        self.splits = splits

    def clean(self, split: str) -> np.ndarray:
        return self.splits[split]

    def views(self, number: int, augment: object) -> list[np.ndarray]:
        assert number == 0
        return [self.splits["train"]]


def context(tmp_path, settings, val: int = 15) -> Context:
    source = np.random.default_rng(7)
    centres = source.normal(size=(3, 8))
    targets = {"train": np.arange(15) % 3, "val": np.arange(val) % 3, "test": np.arange(60) % 3}
    features = {s: (centres[y] + source.normal(size=(len(y), 8))).astype(np.float32) for s, y in targets.items()}
    return Context(
        settings=settings,
        seeds=[0],
        classes=3,
        multilabel=False,
        metric="recall_macro",
        train_targets=targets["train"],
        val_targets=targets["val"],
        val_groups=None,
        inputs=Features(features),
        device=torch.device("cpu"),
        partial=tmp_path,
        name="it",
    )


def test_c_is_chosen_on_validation_and_the_fit_on_train_scores_test(tmp_path) -> None:
    given = context(tmp_path, FewShot(shots=5))
    outcome = few_shot.run(given)[0]
    x, y = given.inputs.clean("train").astype(np.float64), given.train_targets
    fits = [
        LogisticRegression(C=C, class_weight="balanced", solver="newton-cg", tol=1e-12, max_iter=1000).fit(x, y)
        for C in GRID
    ]
    recalls = [
        np.mean([(fit.predict(given.inputs.clean("val")) == k)[given.val_targets == k].mean() for k in range(3)])
        for fit in fits
    ]
    best = int(np.argmax(recalls))
    assert outcome.chosen["C"] == GRID[best]
    expected = fits[best].predict_proba(given.inputs.clean("test").astype(np.float64))
    assert probabilities(outcome.log_odds_test) == pytest.approx(expected, abs=1e-6)
    assert [one["val"] for one in outcome.selection["candidates"]] == pytest.approx(recalls)


def same(one: Outcome, other: Outcome) -> bool:
    assert one.log_odds_test is not None
    assert other.log_odds_test is not None
    return np.array_equal(one.log_odds_test, other.log_odds_test) and one.chosen == other.chosen


def test_all_shots_are_the_linear_probe(tmp_path) -> None:
    few = few_shot.run(context(tmp_path, FewShot(shots="all")))[0]
    probe = linear_probe.run(context(tmp_path, LinearProbe(C=GRID)))[0]
    assert same(few, probe)
    assert few.selection == probe.selection


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"shots": 1}, "one validation sample"), ({"shots": 5, "val": "none"}, "no validation is used")],
)
def test_where_nothing_can_be_chosen_c_is_fixed_and_the_record_says_so(tmp_path, changes, why) -> None:
    outcome = few_shot.run(context(tmp_path, FewShot(**changes)))[0]
    assert same(outcome, linear_probe.run(context(tmp_path, LinearProbe(C=[0.316])))[0])
    assert outcome.selection["by"].startswith(f"C = 0.316 is fixed: {why}")
    assert len(outcome.selection["candidates"]) == 1


def test_without_validation_images_there_are_no_scores_of_them(tmp_path) -> None:
    outcome = few_shot.run(context(tmp_path, FewShot(shots=5, val="none"), val=0))[0]
    assert outcome.log_odds_val is not None
    assert outcome.log_odds_val.shape == (0, 3)
    assert outcome.chosen["val"] is None
    assert outcome.log_odds_test is not None
    assert outcome.log_odds_test.shape == (60, 3)


@pytest.mark.parametrize("val", [15, 0])
def test_the_nearest_mean_by_a_plain_loop(tmp_path, val) -> None:
    given = context(tmp_path, FewShot(shots=5, head="nearest-mean", temperature=0.2), val=val)
    outcome = few_shot.run(given)[0]
    train, test = (given.inputs.clean(s) / np.linalg.norm(given.inputs.clean(s), axis=1)[:, None]
                   for s in ("train", "test"))  # fmt: skip
    means = [train[given.train_targets == k].mean(axis=0) for k in range(3)]
    cosines = [[float(image @ mean / np.linalg.norm(mean)) for mean in means] for image in test]
    assert probabilities(outcome.log_odds_test) == pytest.approx(softmax(np.array(cosines) / 0.2, axis=1), abs=1e-5)
    assert same(outcome, nearest_mean.run(context(tmp_path, NearestMean(temperature=0.2), val=val))[0])


def test_the_probe_that_starts_at_the_texts_is_that_of_its_protocol_on_clean_images(tmp_path) -> None:
    words = Language(Prompts("names", None, (("one",), ("two",), ("three",))), (), embed, scale=10.0)
    few, probe = (
        run(dataclasses.replace(context(tmp_path, settings), language=words))[0]
        for run, settings in ((few_shot.run, FewShot(shots=5, head="zs-lp")), (clap.run, ZsLp(shots=5, views=0)))
    )
    assert same(few, probe)
    assert few.selection["by"] == "no validation data used"
    assert few.log_odds_test is not None
    assert (few.log_odds_test.argmax(axis=1) == np.arange(60) % 3).mean() > 0.5, "and it learns"


def embed(texts) -> np.ndarray:
    return np.stack([np.random.default_rng(len(text)).normal(size=8).astype(np.float32) for text in texts])
