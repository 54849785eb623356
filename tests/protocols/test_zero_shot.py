"""Zero-shot classification against plain loops over images, classes and texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import medbench
from medbench import metrics
from medbench.cards.prompts.sets import Prompts
from medbench.cards.recipes import ZeroShot
from medbench.errors import MedbenchError
from medbench.protocols import zero_shot
from medbench.protocols.context import Context, Language

CHOSEN = Prompts("names", None, (("a", "b"), ("c",), ("d", "ee", "f")), (("g",), ("h", "i"), ("j",)))
OTHER = Prompts("mine", None, (("x",), ("y",), ("z",)), (("u",), ("v",), ("w",)))


class Features:
    def __init__(self) -> None:
        source = np.random.default_rng(5)
        self.splits = {"val": source.normal(size=(0, 7)), "test": source.normal(size=(12, 7))}

    def clean(self, split: str) -> np.ndarray:
        return self.splits[split].astype(np.float32)


def embed(texts: Sequence[str]) -> np.ndarray:
    """Return vectors that depend on the other texts of the call, as FLAIR's do."""
    longest = max(map(len, texts))
    rows = [np.random.default_rng([ord(text[0]), longest]).normal(size=7) * (1 + len(text)) for text in texts]
    return np.array(rows, np.float32)


def context(*, multilabel: bool = False, ordinal: bool = False, bias: float | None = None) -> Context[ZeroShot]:
    return Context(
        settings=ZeroShot(),
        seeds=[0],
        classes=3,
        multilabel=multilabel,
        ordinal=ordinal,
        metric="recall_macro",
        train_targets=np.zeros(0, np.int64),
        val_targets=np.zeros(0, np.int64),
        val_groups=None,
        inputs=Features(),
        device=torch.device("cpu"),
        partial=Path(),
        language=Language(CHOSEN, (OTHER,), embed, 20.0, bias, rule="flair"),
    )


def plain(given: Any, texts: Sequence[Sequence[str]]) -> list[list[float]]:
    """Return the mean cosine of each test image to the texts of each class."""
    rows = []
    for image in given.inputs.clean("test").astype(np.float64):
        row = []
        for listed in texts:
            vectors = embed(listed).astype(np.float64)
            cosines = [
                sum(x * y for x, y in zip(image, v, strict=True))
                / math.sqrt(sum(x * x for x in image) * sum(y * y for y in v))
                for v in vectors
            ]
            row.append(sum(cosines) / len(cosines))
        rows.append(row)
    return rows


def softmax(row: Sequence[float]) -> list[float]:
    shares = [math.exp(value) for value in row]
    return [share / sum(shares) for share in shares]


def test_probabilities_are_the_softmax_of_scaled_mean_cosines() -> None:
    given = context(ordinal=True)
    outcome = zero_shot.run(given)[0]
    near = plain(given, CHOSEN.texts)
    wanted = np.array([softmax([20 * value for value in row]) for row in near])
    assert outcome.log_odds_test is not None
    assert outcome.log_odds_val is not None
    np.testing.assert_allclose(metrics.probabilities(outcome.log_odds_test), wanted, rtol=1e-5)
    assert outcome.log_odds_val.shape == (0, 3), "a split needs no validation"
    np.testing.assert_allclose(outcome.arrays["cosines"], near, atol=1e-6)
    grades = [math.floor(sum(c * p for c, p in enumerate(row)) + 0.5) for row in wanted]
    name, scores = outcome.further["kappa_quadratic_expected"]
    assert (name, scores.argmax(axis=1).tolist()) == ("kappa_quadratic", grades)
    assert outcome.chosen["score"] == "softmax of scale * cosine over the classes"


def test_the_expected_grade_is_between_two_likely_ones() -> None:
    shares = np.array([[0.5, 0.05, 0.45], [0.9, 0.05, 0.05], [0.3, 0.3, 0.4], [0.75, 0.0, 0.25]])
    assert zero_shot.expected(metrics.log_odds_of(shares)).tolist() == [1, 0, 1, 1], "halves go up"
    assert zero_shot.one_hot(np.array([2, 0]), 3).argmax(axis=1).tolist() == [2, 0]


def test_the_other_texts_have_scores_of_their_own() -> None:
    given = context()
    outcome = zero_shot.run(given)[0]
    wanted = np.array([softmax([20 * value for value in row]) for row in plain(given, OTHER.texts)])
    np.testing.assert_allclose(metrics.probabilities(outcome.spread["mine"]), wanted, rtol=1e-5)
    assert set(outcome.spread) == {"mine"}
    assert "kappa_quadratic_expected" not in outcome.further


def test_a_finding_has_the_softmax_of_its_pair_of_texts() -> None:
    given = context(multilabel=True)
    outcome = zero_shot.run(given)[0]
    near, absent = plain(given, CHOSEN.texts), plain(given, CHOSEN.negatives or ())
    wanted = [
        [softmax([20 * there, 20 * gone])[0] for there, gone in zip(*rows, strict=True)]
        for rows in zip(near, absent, strict=True)
    ]
    assert outcome.log_odds_test is not None
    np.testing.assert_allclose(metrics.probabilities(outcome.log_odds_test), wanted, rtol=1e-5)
    np.testing.assert_allclose(outcome.arrays["cosines_absent"], absent, atol=1e-6)
    assert outcome.further["auroc_macro_cosine"].scores is outcome.arrays["cosines"]


def test_a_bias_makes_a_sigmoid_of_findings_and_changes_no_softmax() -> None:
    given = context(multilabel=True, bias=-9.0)
    outcome = zero_shot.run(given)[0]
    wanted = [[1 / (1 + math.exp(-(20 * value - 9))) for value in row] for row in plain(given, CHOSEN.texts)]
    assert outcome.log_odds_test is not None
    np.testing.assert_allclose(metrics.probabilities(outcome.log_odds_test), wanted, rtol=1e-5)
    assert "cosines_absent" not in outcome.arrays
    assert outcome.chosen["score"] == "sigmoid of scale * cosine + bias"
    one, other = (zero_shot.run(context(bias=bias))[0].log_odds_test for bias in (-9.0, None))
    np.testing.assert_array_equal(one, other)


def test_all_images_are_tested_where_the_split_is_whole(tmp_path: Path) -> None:
    (record,) = medbench.run("toy-clip", "zero-shot", "toy", preset="flair", weights="random", runs=tmp_path)
    assert {split: count.images for split, count in record.n.items()} == {"train": 0, "val": 0, "test": 600}
    assert record.metrics["kappa_quadratic_expected"] is not None
    assert record.metrics_val == {}
    assert record.chosen["prototype"] == "unit", "the rule is the model's"
    assert record.provenance["language"]["sets"]["flair-expert"]["texts"][1] == ("A fundus photograph of mild",)
    assert record.path is not None
    near = np.load(record.path / "cosines.npy")
    assert near.shape == (600, 5)
    assert not any("no image" in note for note in record.warnings)
    (other,) = medbench.run("toy-clip", "zero-shot", "toy", weights="random", runs=tmp_path)
    rows = np.load(other.path / "cosines.npy")  # type: ignore[operator]
    assert len(rows) == other.n["test"].images < 600


def test_what_trains_needs_more_than_a_test_part(tmp_path: Path) -> None:
    with pytest.raises(MedbenchError, match="knn needs samples in train and val") as told:
        medbench.run("toy-vit", "knn", "toy", weights="random", runs=tmp_path, split="whole")
    assert "zero-shot" in told.value.hint
