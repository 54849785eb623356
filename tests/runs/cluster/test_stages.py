"""Jobs to stages: what waits for what, and what shares a task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medbench.runs.cluster import stages as cluster_stages
from medbench.runs.cluster.stages import Stage, stages
from medbench.runs.cluster.submit import with_needs
from medbench.runs.jobs import Job, Options
from medbench.runs.plan import make_plan


def cut(jobs: list[Job], minutes: float = 1.0, chunk: float = 0.0) -> tuple[list[Stage], dict[int, Job]]:
    numbered = dict(enumerate(with_needs(jobs)))
    return stages(numbered, lambda _: minutes, chunk), numbered


def planned(model: str, protocol: str, dataset: Path | str, **options: Any) -> list[Job]:
    return make_plan(model, protocol, str(dataset), Options(**{"seeds": 1, **options})).jobs


def brief(found: list[Stage]) -> list[tuple[str, int, tuple[str, ...]]]:
    return [(stage.name, len(stage.tasks), stage.after) for stage in found]


def test_images_then_features_then_heads_and_training_beside_them() -> None:
    jobs = planned("toy-vit", "knn,nearest-mean,linear-unfrozen", "toy")
    found, _ = cut(jobs)
    assert brief(found) == [
        ("prepare", 1, ()), ("features", 1, ("prepare",)), ("heads", 2, ("features",)), ("train", 1, ("prepare",)),
    ]  # fmt: skip
    assert [stage.kind for stage in found] == ["prepare", "features", "heads", "train"]


def test_what_needs_weights_waits_for_who_makes_them() -> None:
    found, jobs = cut(planned("toy-vit@dino-pretrain", "linear-frozen,linear-unfrozen", "toy"))
    assert brief(found) == [
        ("prepare", 1, ()),
        ("train", 1, ("prepare",)),
        ("features-2", 1, ("train",)),
        ("heads-2", 1, ("features-2",)),
        ("train-2", 1, ("train",)),
    ]
    assert [jobs[task.jobs[0]].protocol.kind for stage in found[1:] for task in stage.tasks] == [
        "dino-pretrain", "linear-frozen", "linear-frozen", "linear-unfrozen",
    ]  # fmt: skip


def test_every_job_is_in_one_task_and_comes_after_its_needs() -> None:
    found, jobs = cut(planned("toy-vit@dino-pretrain,toy-vit", "knn,linear-probe,linear-unfrozen,cka", "toy"))
    made = [number for stage in found if stage.kind in ("heads", "train") for t in stage.tasks for number in t.jobs]
    assert sorted(made) == list(jobs)
    places = {jobs[number].place: at for at, number in enumerate(made)}
    assert all(places[job.place] > places[needed.place] for job in jobs.values() for needed in job.needs)
    assert any(job.needs for job in jobs.values())


def test_heads_share_a_task_until_it_takes_long_enough() -> None:
    jobs = planned("toy-vit,toy-cnn", "knn,nearest-mean,linear-probe", "toy")
    found, numbered = cut(jobs, minutes=4.0, chunk=7.0)
    heads = next(stage for stage in found if stage.kind == "heads")
    assert [(len(task.jobs), task.minutes) for task in heads.tasks] == [(2, 8.0), (2, 8.0), (1, 4.0), (1, 4.0)]
    assert all(len({numbered[number].model.name for number in task.jobs}) == 1 for task in heads.tasks)


def test_what_is_trained_is_a_task_each_but_a_sweep_is_one() -> None:
    found, numbered = cut(planned("toy-vit", "freeze,lp-ft", "toy"), chunk=60.0)
    train = [task for stage in found if stage.kind == "train" for task in stage.tasks]
    kinds = sorted([numbered[number].protocol.kind for number in task.jobs] for task in train)
    assert ["freeze", "freeze", "freeze"] in kinds
    assert ["lp-ft"] in kinds


def test_features_are_extracted_once_for_all_that_share_them_by_the_job_with_the_most_views() -> None:
    few = planned("toy-vit", "linear-frozen", "toy", changes={"views": 2})
    many = planned("toy-vit", "linear-frozen", "toy", changes={"views": 3})
    found, numbered = cut([*few, *planned("toy-vit", "knn", "toy"), *many])
    (task,) = next(stage for stage in found if stage.kind == "features").tasks
    assert numbered[task.jobs[0]].settings.views == 3  # type: ignore[attr-defined]


def test_other_precision_means_other_features() -> None:
    found, _ = cut([*planned("toy-vit", "knn", "toy"), *planned("toy-vit", "knn", "toy", precision="bf16",
                    device="cuda", elsewhere="bf16")])  # fmt: skip
    assert [len(stage.tasks) for stage in found] == [1, 2, 2]


@pytest.mark.parametrize("chunk", [0.0, 100.0])
def test_longest_tasks_come_first(chunk: float) -> None:
    jobs = planned("toy-vit,toy-cnn", "linear-unfrozen,lp-ft", "toy")
    numbered = dict(enumerate(with_needs(jobs)))
    found = stages(numbered, lambda job: 9.0 if job.model.name == "toy-cnn" else 1.0, chunk)
    minutes = [task.minutes for task in next(stage for stage in found if stage.kind == "train").tasks]
    assert minutes == sorted(minutes, reverse=True)
    assert minutes[0] >= 9.0


def test_other_views_of_the_same_images_are_extracted_beside_them() -> None:
    jobs = planned("toy-vit", "linear-frozen", "toy", changes={"views": 2})
    jobs += planned("toy-vit", "linear-frozen", "toy", changes={"views": 2, "augment.jitter": 0.1})
    found, _ = cut([*jobs, *planned("toy-vit", "linear-frozen", "toy", changes={"views": 1})])
    assert [task.jobs for task in next(stage for stage in found if stage.kind == "features").tasks] == [(0, 1)]


@pytest.mark.parametrize(("protocol", "tasks"), [("linear-probe", 1), ("linear-unfrozen", 3)])
def test_folds_of_a_head_are_solved_together_and_trainings_are_not(pictures: Path, protocol: str, tasks: int) -> None:
    found, _ = cut(planned("toy-vit", protocol, pictures, folds=3), chunk=0.0)
    assert [len(stage.tasks) for stage in found if stage.kind in ("heads", "train")] == [tasks]


def test_a_stage_has_a_bounded_number_of_tasks_and_keeps_models_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = planned("toy-vit,toy-cnn", "knn,nearest-mean,linear-probe,linear-frozen,linear-unfrozen", "toy", seeds=1)
    monkeypatch.setattr(cluster_stages, "MOST_TASKS", 4)
    found, numbered = cut(jobs, minutes=3.0)
    heads = next(stage for stage in found if stage.kind == "heads")
    assert [(len(task.jobs), task.minutes) for task in heads.tasks] == [(2, 6.0)] * 4
    assert sorted(number for task in heads.tasks for number in task.jobs) == [
        number for number, job in numbered.items() if not job.kind.images
    ]
    monkeypatch.setattr(cluster_stages, "MOST_TASKS", 1)
    found, numbered = cut(jobs, minutes=3.0)
    for stage in found:
        for task in stage.tasks:
            assert {numbered[number].model.name for number in task.jobs} == {task.model}
    assert {stage.kind: len(stage.tasks) for stage in found} == {"prepare": 1, "features": 2, "heads": 2, "train": 2}
