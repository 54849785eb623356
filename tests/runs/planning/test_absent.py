"""The cost of cells without their data, against the plan of the same cells with data."""

from __future__ import annotations

import pytest

from medbench import cards
from medbench.papers.cells import CellSpec
from medbench.runs.estimate import estimate
from medbench.runs.jobs import Options
from medbench.runs.plan import make_plan
from medbench.runs.planning.absent import absent, split_sizes


@pytest.mark.parametrize("protocol", ["knn", "linear-frozen", "linear-unfrozen", "lora", "dino-pretrain"])
def test_it_is_that_of_the_plan(protocol):
    options = Options(seeds=3)
    found = absent([CellSpec("toy-vit", protocol, "toy", seeds=3)], [], options)
    plan = make_plan("toy-vit", protocol, "toy", options)
    assert found.units == sum(len(job.units) for job in plan.jobs)
    assert found.cost.forwards == pytest.approx(estimate(plan, []).forwards, rel=0.02), "parts are rounded otherwise"
    assert (found.files, found.size, found.unsized) == (0, 0, ())


def test_protocols_share_features_and_weights_are_counted_once():
    cells = [CellSpec("dinov2", "linear-frozen", "aptos", {"views": 0}), CellSpec("dinov2", "knn", "aptos")]
    found = absent(cells, [], Options())
    assert found.cost.forwards == cards.find_dataset("aptos").counts.images
    assert (found.units, found.files) == (5 + 1, 1)
    assert found.size == (cards.find_model("dinov2").weights.bytes or 0)


def test_other_preprocessing_has_features_of_its_own():
    cells = [CellSpec("resnet18", "knn", "medmnist--breastmnist", preset=name) for name in ("paper", "medmnistplus")]
    assert absent(cells, [], Options()).cost.forwards == 2 * 780


def test_sizes_of_splits():
    breast = cards.find_dataset("medmnist/breastmnist")
    assert split_sizes(breast, 780, None) == {"train": 546, "val": 78, "test": 156}
    toy = cards.find_dataset("toy")
    sizes = split_sizes(toy, 600, None)
    assert sum(sizes.values()) == 600
    assert min(sizes.values()) > 0
