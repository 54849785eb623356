"""The cost of cells without their data, against the plan of the same cells with data."""

from __future__ import annotations

import numpy as np
import pytest

from medbench import cards
from medbench.cards.dataset import SplitRule
from medbench.papers.cells import CellSpec
from medbench.runs.estimate import estimate
from medbench.runs.jobs import Options
from medbench.runs.plan import make_plan
from medbench.runs.planning.absent import absent, cells_of, split_sizes


@pytest.mark.parametrize(
    ("model", "protocol", "options"),
    [
        ("toy-vit", "knn,linear-frozen,linear-unfrozen,lora", Options(seeds=3)),
        ("toy-vit", "dino-pretrain", Options(seeds=3)),
        ("toy-vit", "freeze,decapitate-frozen,timing", Options(seeds=2)),  # sweeps, two of them with ends
        ("toy-vit", "cka,knn", Options(seeds=2, changes={"epochs": 3, "k": 5})),  # cka fine-tunes the network first
        ("toy-vit@dino-pretrain,toy-vit@linear-unfrozen", "linear-frozen", Options(seeds=2)),
        ("toy-vit", "few-shot", Options(seeds=3)),  # each seed has its own split
        ("toy-vit", "linear-frozen,linear-unfrozen", Options(folds=4, keep_weights=True)),
        ("toy-vit", "linear-frozen,knn", Options(seeds=2, changes={"split": "fraction-0.25@{seed}"})),
    ],
)
def test_it_is_that_of_the_plan(model, protocol, options):
    found = absent(cells_of(model, protocol, "toy", options), [], options)
    plan = make_plan(model, protocol, "toy", options)
    cost = estimate(plan, [])
    assert found.units == sum(len(job.units) for job in plan.jobs)
    assert found.cost.forwards == pytest.approx(cost.forwards, rel=0.03), "parts are rounded otherwise"
    assert (found.downloads, found.unsized) == ((), ())
    mine, planned = found.cost.disk, cost.disk
    assert (mine.images, mine.weights, mine.tokens) == (planned.images, planned.weights, planned.tokens)
    assert mine.kept == pytest.approx(planned.kept, rel=0.02)


def test_a_network_that_several_cells_use_is_trained_once():
    cells = [CellSpec("toy-vit", name, "toy", seeds=2) for name in ("linear-unfrozen", "cka", "cka-models")]
    alone = absent(cells[:1], [], Options()).cost.forwards
    assert absent(cells, [], Options()).cost.forwards == alone + 2 * 600, "and one pass for each comparison"


def test_further_models_and_test_sets_are_downloads(monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    options = Options(test_on="aptos")
    (data,) = absent(cells_of("toy-vit", "knn", "toy", options), [], options).downloads
    assert data.what == "data set aptos"
    downloads = absent([CellSpec("toy-vit", "deit-frozen", "aptos")], [], Options()).downloads
    assert [one.what for one in downloads] == ["weights of imagenet", "data set aptos"]


def test_protocols_share_features_and_weights_are_counted_once():
    cells = [CellSpec("dinov2", "linear-frozen", "aptos", {"views": 0}), CellSpec("dinov2", "knn", "aptos")]
    found = absent(cells, [], Options())
    assert found.cost.forwards == cards.find_dataset("aptos").counts.images
    assert found.units == 5 + 1
    assert [one.what for one in found.downloads] == ["weights of dinov2", "data set aptos"]


def test_other_preprocessing_has_features_of_its_own():
    cells = [CellSpec("resnet18", "knn", "medmnist--breastmnist", preset=name) for name in ("paper", "medmnistplus")]
    assert absent(cells, [], Options()).cost.forwards == 2 * 780


def test_a_file_of_features_passes_no_network(tmp_path):
    file = tmp_path / "own.npz"
    np.savez(file, id=np.array(["a"]), features=np.zeros((1, 3), np.float32))
    found = absent([CellSpec(str(file), "knn", "aptos")], [], Options())
    assert (found.units, found.cost.forwards) == (1, 0)
    assert [one.what for one in found.downloads] == ["data set aptos"]


def test_a_request_is_its_cells_each_value_of_a_sweep_one_of_its_own():
    options = Options(seeds=3, changes={"k": 7, "epochs": 2})
    cells = cells_of("toy-vit,resnet18", "knn,linear-unfrozen", "toy,aptos", options)
    assert len(cells) == 8
    assert {one.protocol: one.set for one in cells} == {"knn": {"k": 7}, "linear-unfrozen": {"epochs": 2}}
    assert {one.seeds for one in cells} == {3}
    few = cells_of("clip", "few-shot", "aptos", Options(changes={"shots": [1, 2, 4]}))
    assert [one.set for one in few] == [{"shots": 1}, {"shots": 2}, {"shots": 4}]
    depths = cells_of("toy-vit", "freeze", "toy", Options())
    assert [(one.protocol, one.set.get("frozen")) for one in depths] == [
        ("linear-unfrozen", None), ("freeze", 1), ("freeze", 2), ("freeze", 3), ("linear-frozen", None)
    ]  # fmt: skip


def test_own_data_and_unknown_numbers_are_named_and_not_counted(tmp_path):
    (tmp_path / "mine.csv").write_text("image,label\na.png,0\n")
    found = absent([CellSpec("toy-vit", "knn", str(tmp_path / "mine.csv"))], [], Options())
    assert (found.units, found.cost.forwards, found.unsized) == (0, 0, (str(tmp_path / "mine.csv"),))


def test_sizes_of_splits():
    breast = cards.find_dataset("medmnist/breastmnist")
    assert split_sizes(breast, 780, None) == {"train": 546, "val": 78, "test": 156}
    toy = cards.find_dataset("toy")
    sizes = split_sizes(toy, 600, None)
    assert sum(sizes.values()) == 600
    assert min(sizes.values()) > 0


@pytest.mark.parametrize(
    ("split", "parts"),
    [
        ("kfold-10@3", (480, 60, 60)),
        ("official+fewshot-5@1", (20, 20, 60)),
        ("official+fewshot-5-noval", (20, 0, 60)),
        ("official+fraction-0.25@0", (105, 120, 60)),
        ("mine.csv", (420, 120, 60)),
    ],
)
def test_sizes_of_splits_that_a_card_does_not_list(split, parts):
    toy = cards.find_dataset("toy-multiclass")
    told = toy.counts.model_copy(update={"splits": {"train": 420, "val": 120, "test": 60}})
    rules = toy.splits.model_copy(update={"default": "official", "rules": {"official": SplitRule(method="official")}})
    card = toy.model_copy(update={"counts": told, "splits": rules})
    assert tuple(split_sizes(card, 600, split).values()) == parts
