"""Jobs: what belongs to the key of a unit, and what does not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import medbench
from medbench.errors import MedbenchError
from medbench.runs.jobs import Options, Plan
from medbench.runs.plan import make_plan

from .conftest import SHORT, short_of


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": 32},
        {"precision": "bf16"},
        {"preset": "wacv-code"},
        {"seeds": 3},
        {"set": {**SHORT, "epochs": 7}},
        {"set": {**SHORT, "views": 3}},
        {"set": {**SHORT, "normalise": "model"}},
        {"model": "toy-cnn"},
    ],
    ids=lambda c: next(iter(c)),
)
def test_what_changes_a_number_changes_the_key(pictures: Path, change: dict) -> None:
    def group(model: str = "toy-vit", **options) -> str:
        options["changes"] = short_of("linear-frozen", options.pop("set", SHORT))
        return make_plan(model, "linear-frozen", str(pictures), Options(**{"seeds": 2, **options})).jobs[0].group

    assert group() == group(), "the key is a function of the request"
    assert group() == group(workers=3), "what cannot change a number is no part of the key"
    assert group(**change) != group()


def test_a_label_or_pixel_changes_the_key(pictures: Path) -> None:
    def key() -> str:
        plan = make_plan("toy-vit", "knn", str(pictures), Options(changes={"k": 5}))
        return plan.jobs[0].units[0][1]

    first = key()
    text = pictures.read_text()
    pictures.write_text(text.replace("images/000.png,0", "images/000.png,1"))
    relabelled = key()
    pictures.write_text(text)
    image = pictures.parent / "images" / "001.png"
    shutil.copy(pictures.parent / "images" / "002.png", image)
    assert len({first, relabelled, key()}) == 3


def test_timing_is_keyed_by_the_device_that_is_used(data: Path) -> None:
    def key(device: str) -> str:
        options = Options(device=device, changes={"classifier": "linear"})
        return make_plan("toy-vit", "timing", str(data), options).jobs[0].group

    assert key("auto") == key(medbench.runs.device.choose_device("auto"))


def test_what_a_run_costs_is_no_part_of_its_key(data: Path) -> None:
    def key(**changes: Any) -> str:
        return make_plan("toy-vit", "linear-unfrozen", str(data), Options(changes=changes)).jobs[0].units[0][1]

    assert key() == key(micro_batch=4) == key(checkpointing=True, compile=True)
    assert key() != key(loss="weighted")
    assert key() != key(lr_search_seeds=5)


@pytest.mark.parametrize(("seeds", "listed"), [(3, [0, 1, 2]), ([4], [4]), ((2, 0, 2), [2, 0])], ids=str)
def test_seeds_are_a_number_or_a_list(seeds, listed: list[int]) -> None:
    assert Options(seeds=seeds).seed_list == listed


@pytest.mark.parametrize("seeds", [0, -1, [], [1, -1]], ids=str)
def test_no_seeds_and_negative_seeds_are_refused(seeds) -> None:
    with pytest.raises(MedbenchError, match="at least one seed is needed") as caught:
        _ = Options(seeds=seeds).seed_list
    assert "0,1,2" in caught.value.hint


@pytest.mark.parametrize(("overwrite", "jobs"), [("missing", 1), ("always", 1), ("never", 0)])
def test_what_is_to_do_depends_on_overwrite(pictures: Path, overwrite, jobs: int) -> None:
    options = Options(changes={"k": 5}, overwrite=overwrite)
    plan = make_plan("toy-vit", "knn", str(pictures), options)
    assert len(plan.todo) == jobs
    assert Plan(plan.jobs, options).jobs[0].done() == [False]
