"""A plan that was frozen comes back field by field, for every protocol; one that was touched is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import BaseModel

from medbench.cards import find_dataset
from medbench.cards.recipes import KINDS
from medbench.data.twins.twin import synthesise
from medbench.errors import MedbenchError
from medbench.runs.cluster import frozen
from medbench.runs.cluster.frozen import freeze, thaw
from medbench.runs.cluster.submit import with_needs
from medbench.runs.jobs import Job, Options
from medbench.runs.plan import make_plan

from ..conftest import write_pictures


def content(value: Any) -> Any:
    """All that a value holds, down to plain ones, so that two can be compared; other classes stay as they are."""
    if isinstance(value, pd.DataFrame):
        return value.to_dict("list"), list(value.index), list(map(str, value.dtypes))
    if isinstance(value, BaseModel):
        folder = getattr(value, "_folder", None)  # a worker may start elsewhere: paths travel whole
        return type(value), value.model_dump(), value.model_fields_set, folder and folder.absolute()
    if isinstance(value, Path):
        return value.absolute()
    if dataclasses.is_dataclass(value):
        own = [field.name for field in dataclasses.fields(value) if field.compare]
        return type(value), {name: content(getattr(value, name)) for name in own}
    if isinstance(value, dict):
        return {key: content(one) for key, one in value.items()}
    return type(value)(content(one) for one in value) if isinstance(value, list | tuple) else value


def there_and_back(jobs: list[Job], folder: Path) -> list[Job]:
    jobs = with_needs(jobs)
    freeze(jobs, folder)
    back = thaw(folder).jobs
    assert [content(job) for job in back] == [content(job) for job in jobs]
    assert [job.units for job in back] == [job.units for job in jobs]
    return back


def planned(model: str, protocols: str, dataset: str, **options: Any) -> list[Job]:
    return make_plan(model, protocols, dataset, Options(**options)).jobs


def test_jobs_of_every_protocol_come_back(tmp_path: Path) -> None:
    options = {"seeds": [0, 3], "changes": {"k": 5}, "keep_weights": True, "log": ("tensorboard",), "device": "cpu"}
    protocols = sorted(KINDS)
    jobs = [job for name in protocols for job in _of(name, options)]
    assert {job.protocol.kind for job in jobs} == set(KINDS)
    back = there_and_back(jobs, tmp_path / "plan")
    assert {job.protocol.kind for job in back} == set(KINDS)
    assert any(job.needs for job in back)
    assert any(job.language for job in back)


def _of(protocol: str, options: dict[str, Any]) -> list[Job]:
    has = {"changes": options["changes"] if protocol == "knn" else {}}
    model = "toy-vit@linear-unfrozen" if protocol.startswith("cka") else "toy-clip"
    return planned(model, protocol, "toy-multiclass", **{**options, **has})


def test_folds_images_left_out_and_own_data_come_back(pictures: Path, tmp_path: Path) -> None:
    lines = pictures.read_text()
    pictures.write_text(lines + "images/none.png,1,p99\n")
    jobs = planned("toy-vit", "knn", str(pictures), folds=3, missing="leave-out", label="label", group="patient")
    back = there_and_back(jobs, tmp_path / "plan")
    assert [job.dataset.split_name for job in back] == [job.dataset.split_name for job in jobs]
    assert back[0].dataset.missing == ("images/none.png",)
    assert back[0].dataset.taken.lines, "what the files were taken for"


def test_samples_with_several_inputs_come_back(tmp_path: Path) -> None:
    root = synthesise(find_dataset("gamma"), tmp_path / "gamma")
    jobs = planned("toy-vit", "knn", "gamma", seeds=1, data_root=root.parent)
    (job,) = there_and_back(jobs, tmp_path / "plan")
    assert job.dataset.inputs


def test_further_data_sets_come_back(pictures: Path, tmp_path: Path) -> None:
    other = write_pictures(tmp_path / "away", 24, seed=1)
    jobs = planned("toy-vit", "knn", str(pictures), test_on=str(other.rename(other.with_name("labels2.csv"))))
    (job,) = there_and_back(jobs, tmp_path / "plan")
    assert [shift.name for shift in job.shifts] == ["away-labels2"]
    assert job.all_units == jobs[0].all_units


def test_corruptions_come_back(pictures: Path, tmp_path: Path) -> None:
    jobs = planned("toy-vit", "knn", str(pictures), corrupt="jpeg:1:2,noise:3")
    (job,) = there_and_back(jobs, tmp_path / "plan")
    assert [str(shift.corruption) for shift in job.shifts] == ["noise:3", "jpeg:1", "jpeg:2"]
    assert job.all_units == jobs[0].all_units
    assert len(list((tmp_path / "plan" / "data").iterdir())) == 1, "the samples are written once"


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A frozen plan of two jobs."""
    freeze(planned("toy-vit", "knn,nearest-mean", "toy", seeds=1), tmp_path / "plan")
    return tmp_path / "plan"


def test_only_what_is_wanted_is_read(plan: Path) -> None:
    assert [job.protocol.name for job in thaw(plan, [1]).jobs] == ["nearest-mean"]


def test_a_plan_of_another_version_is_refused(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "version", lambda: "9.9")
    with pytest.raises(MedbenchError, match=r"was planned by medbench .*, and this is 9\.9"):
        thaw(plan)


@pytest.mark.parametrize("name", ["plan.json", "things.json", "jobs.jsonl"])
def test_a_plan_that_is_not_complete_is_refused(plan: Path, name: str) -> None:
    (plan / name).unlink()
    with pytest.raises(MedbenchError, match="contains no complete plan"):
        thaw(plan)


def test_a_setting_that_was_changed_is_noticed(plan: Path) -> None:
    file = plan / "things.json"
    things = json.loads(file.read_text())
    (settings,) = [one for one in things.values() if one["class"] == "Knn"]
    settings["model"]["k"] = 7
    file.write_text(json.dumps(things))
    with pytest.raises(MedbenchError, match="was changed"):
        thaw(plan)


def test_samples_that_were_changed_are_noticed(plan: Path) -> None:
    (file,) = (plan / "data").glob("*.parquet")
    samples = pd.read_parquet(file)
    samples.loc[0, "target"] = 1 - samples.loc[0, "target"]
    samples.to_parquet(file)
    with pytest.raises(MedbenchError, match="was changed after planning"):
        thaw(plan)
