from __future__ import annotations

import math

import numpy as np
import pytest

from medbench import metrics, stats
from medbench.stats.resampling import design
from medbench.stats.unpaired import Sample, beside, unpaired


def sample(seed: int, n: int, shift: float, seeds: int = 2, patients: bool = False) -> Sample:
    source = np.random.default_rng(seed)
    targets = np.arange(n) % 2
    logits = source.normal(size=(seeds, n)) + shift * targets
    groups = np.arange(n) // 3 if patients else None
    return Sample(np.stack([-logits, logits], axis=2), targets, groups)


def test_each_draw_is_the_metric_on_the_drawn_rows() -> None:
    a, b = sample(0, 30, 2.0, seeds=1, patients=True), sample(1, 24, 0.5, seeds=1)
    found = unpaired("auroc", a, b, draws=50, seed=7)
    plan = beside(design(a.targets, a.groups), design(b.targets))
    counts = np.concatenate([part.T for part in plan.weights(50, 7)]).astype(int)
    expected = []
    for line in counts:
        sides = []
        for one, times in ((a, line[:30]), (b, line[30:])):
            rows = np.repeat(np.arange(len(times)), times)
            sides.append(metrics.score("auroc", one.scores[0][rows], one.targets[rows]))
        expected.append(sides[0] - sides[1])
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    own = [metrics.score("auroc", one.scores[0], one.targets) for one in (a, b)]
    assert found.value == pytest.approx(own[0] - own[1], abs=1e-6)


def test_the_sets_are_drawn_separately() -> None:
    a, b = sample(2, 200, 1.5, seeds=1), sample(3, 200, 1.0, seeds=1)
    alone = [stats.bootstrap("auroc", one.scores, one.targets).interval().se for one in (a, b)]
    assert unpaired("auroc", a, b).interval().se == pytest.approx(math.hypot(*alone), rel=0.08)


def test_the_training_seeds_are_the_same_on_both_sides() -> None:
    """What a seed does to both sets alike is no spread of the drop."""
    level = np.array([0.0, 1.5, 3.0])
    targets = np.arange(400) % 2
    scores = np.random.default_rng(4).normal(size=(1, 400)) + level[:, None] * targets
    one = Sample(np.stack([-scores, scores], axis=2), targets)
    apart = stats.bootstrap("auroc", one.scores, one.targets).interval().se
    assert unpaired("auroc", one, one).interval().se < 0.6 * apart


def test_sets_may_have_other_classes_but_not_other_seeds() -> None:
    a = Sample(np.random.default_rng(0).dirichlet(np.ones(3), size=(2, 30)), np.arange(30) % 3)
    b = Sample(np.random.default_rng(1).dirichlet(np.ones(2), size=(2, 20)), np.arange(20) % 2)
    assert -1 <= unpaired("recall_macro", a, b, draws=50).value <= 1
    with pytest.raises(ValueError, match="2 and 1 training seeds"):
        unpaired("recall_macro", a, b._replace(scores=b.scores[:1]), draws=50)
