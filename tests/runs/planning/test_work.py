"""The disk that jobs need, by hand and against what a run leaves."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from medbench import cards
from medbench.api import carry_out
from medbench.cards.resolve import resolve
from medbench.records import store
from medbench.runs.estimate import estimate
from medbench.runs.jobs import Options
from medbench.runs.plan import make_plan
from medbench.runs.planning.work import Task, Work
from medbench.storage import paths


def task(protocol: str, **changes: Any) -> Task:
    recipe = cards.find_protocol(protocol)
    plain = Task(
        name="dinov2",
        model=cards.find_model("dinov2"),
        dataset=cards.find_dataset("aptos"),
        kind=recipe.kind,
        settings=resolve(recipe, "paper", "", {}),
        image_size=224,
        precision="fp32",
        sizes={"train": 60, "val": 20, "test": 20},
        images=100,
        seeds=5,
        same=("weights", "data"),
    )
    return dataclasses.replace(plain, **changes)


def test_a_run_leaves_what_was_estimated(pictures: Path) -> None:
    plan = make_plan("toy-vit", "knn,nearest-mean", str(pictures), Options())
    disk = estimate(plan, ()).disk
    carry_out(plan)
    assert sum(file.stat().st_size for file in paths.home().rglob("images.u8")) == disk.images
    (features,) = paths.home().rglob("features.npy")
    assert features.stat().st_size - 128 == disk.features, "without the header"
    predictions = sum(file.stat().st_size for file in Options().runs.rglob(store.PREDICTIONS))
    assert disk.predictions == pytest.approx(predictions, rel=0.3)
    assert (disk.weights, disk.tokens, disk.unknown) == (0, 0, ())
    assert disk.kept == disk.images + disk.features + disk.predictions


def test_what_tasks_share_is_counted_once() -> None:
    one, other = task("knn"), task("nearest-mean")
    alone, both = Work.of([one]), Work.of([one, other])
    assert alone.disk.features == both.disk.features == 100 * cards.find_model("dinov2").features.dim * 4
    assert alone.disk.images == both.disk.images == 100 * 256 * 256 * 3
    assert both.forwards == alone.forwards == {one.speed: 100}
    assert Work.of([one, task("knn", same=("weights", "others"))]).disk.images == 2 * alone.disk.images
    views = Work.of([task("linear-frozen")])
    assert views.disk.features == views.forwards[one.speed] * 768 * 4 > alone.disk.features


def test_splits_share_the_features_of_all_images_and_have_views_of_their_own() -> None:
    settings = task("linear-frozen").settings
    folds = [
        task("linear-frozen", settings=settings.model_copy(update={"split": f"kfold@{fold}"})) for fold in range(5)
    ]
    views = settings.views * 60
    assert folds[0].dataset.mean is not None
    assert list(Work.of(folds).forwards.values()) == [100 + 5 * views]
    alone = folds[0].dataset.model_copy(update={"mean": None, "std": None})  # normalised by each fold's training part
    own = [dataclasses.replace(fold, dataset=alone) for fold in folds]
    assert list(Work.of(own).forwards.values()) == [5 * (100 + views)]
    augment = settings.augment.model_copy(update={"hue": 0.3})
    other = dataclasses.replace(folds[0], settings=folds[0].settings.model_copy(update={"augment": augment}))
    assert list(Work.of([folds[0], other]).forwards.values()) == [100 + 2 * views]


def test_weights_are_kept_and_patch_tokens_are_not() -> None:
    card = cards.find_model("dinov2")
    assert Work.of([task("linear-unfrozen", kept=5)]).disk.weights == 5 * round(card.parameters * 1e6) * 4
    probe = Work.of([task("attentive-probe")]).disk
    assert (probe.features, probe.tokens) == (0, 64 * 2**30)


def test_a_model_without_numbers_on_its_card_is_named() -> None:
    card = cards.find_model("dinov2")
    bare = card.model_copy(update={"features": card.features.model_copy(update={"dim": None})})
    assert Work.of([task("knn", model=bare)]).disk.unknown == ("dinov2",)
    assert Work.of([task("linear-unfrozen", model=bare)]).disk.unknown == ()


def test_a_file_of_features_computes_and_stores_nothing_but_predictions() -> None:
    card = cards.find_model("dinov2").model_copy(update={"library": "features"})
    work = Work.of([task("knn", model=card)])
    assert work.forwards == {}
    assert (work.disk.features, work.disk.images) == (0, 0)
    assert work.disk.predictions > 0
