"""A task on a machine that lacks what the plan needs says so, in its result and for each of its units."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench.errors import MedbenchError
from medbench.records import store
from medbench.runs.cluster import submit
from medbench.runs.cluster import work as module
from medbench.runs.cluster.work import work
from medbench.runs.jobs import Job, Options, Result
from medbench.runs.plan import make_plan


def test_a_machine_without_the_weights(root: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    plan = make_plan("tiny", "near", "stripes", Options(seeds=1, device="cpu", data_root=root, runs=runs))
    made = submit.prepare(plan, [], "cpu", 20.0)
    (tmp_path / "tiny.safetensors").unlink()
    with pytest.raises(MedbenchError, match=r"there is no .*tiny\.safetensors on this machine") as caught:
        work(made.folder, "features", 0)
    assert "MEDBENCH_HOME to a shared folder" in caught.value.hint
    ((_, unit, error),) = store.failures(runs)
    assert (unit.protocol, "tiny.safetensors" in error) == ("near", True)


def test_a_machine_whose_images_have_changed(root: Path, tmp_path: Path) -> None:
    plan = make_plan("tiny", "near", "stripes", Options(seeds=1, device="cpu", data_root=root, runs=tmp_path / "runs"))
    made = submit.prepare(plan, [], "cpu", 20.0)
    first, *_, last = sorted((root / "stripes").rglob("*.png"))
    first.write_bytes(last.read_bytes())
    ((job, error),) = work(made.folder, "prepare", 0).mistakes
    assert job.startswith("tiny")
    assert f"{first.name} changed while the data set was in use" in error.message
    assert "run the command again" in error.hint


def test_an_error_of_one_job_does_not_stop_the_others(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options(seeds=1, device="cpu", data_root=root, runs=tmp_path / "runs")
    plan = make_plan("tiny", ["knn", "near"], "stripes", options)
    made = submit.prepare(plan, [], "cpu", 20.0)
    (stage,) = [stage for stage in made.stages if stage.name == "features"]
    done: list[str] = []

    def make(job: Job, *_: object) -> None:
        done.append(job.name)
        if len(done) == 1:
            raise RuntimeError("out of memory")

    monkeypatch.setattr(module, "_make_input", make)
    result = Result()
    module._make_inputs(plan, stage, result)
    assert len(done) == 2
    assert result.failures == [(done[0], "RuntimeError: out of memory")]
