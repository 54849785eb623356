"""Runs on small drawn data: resuming, determinism, failures, several processes, trackers."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import save_file

import medbench
from medbench.api import RunFailedError
from medbench.errors import MedbenchError, OutputError
from medbench.features import extract
from medbench.models.encoder import Encoder
from medbench.models.load import load_model
from medbench.protocols import knn, linear_frozen, tuning
from medbench.records import Record, store
from medbench.records.status import statuses
from medbench.runs.execute import _Turns, execute
from medbench.runs.jobs import Options
from medbench.runs.plan import make_plan
from medbench.storage import paths
from medbench.storage.locks import exclusive
from medbench.training.finetune import fit

from ..forked import Program, failure
from .conftest import QUICK, forwards, numbers, run, script, train

pytestmark = pytest.mark.usefixtures("one_thread")


def test_finished_units_are_read_back_and_nothing_is_computed(pictures: Path, monkeypatch) -> None:
    first = run(pictures)
    monkeypatch.setattr(linear_frozen, "run", None)
    monkeypatch.setattr(knn, "run", None)
    monkeypatch.setattr(extract, "_make", None)
    again = run(pictures)
    assert [r.model_dump() for r in again] == [r.model_dump() for r in first]


def test_two_runs_from_scratch_are_identical(pictures: Path, monkeypatch, tmp_path: Path) -> None:
    first = run(pictures)
    for name in ("HOME", "RUNS"):
        monkeypatch.setenv(f"MEDBENCH_{name}", str(tmp_path / f"other-{name}"))
    second = run(pictures)
    assert forwards(second) > 0
    assert numbers(first) == numbers(second)
    for a, b in zip(first, second, strict=True):
        assert pd.read_parquet(a.path / "predictions.parquet").equals(pd.read_parquet(b.path / "predictions.parquet"))


def test_an_encoder_that_changes_while_frozen_is_a_failure_and_the_rest_goes_on(pictures: Path, monkeypatch) -> None:
    plain = Encoder.pooled

    def drifting(self: Encoder, x):
        if self.card.name == "toy-vit":
            next(self.parameters()).data += 1e-6
        return plain(self, x)

    monkeypatch.setattr(Encoder, "pooled", drifting)
    with pytest.raises(RunFailedError, match="a frozen encoder must not"):
        run(pictures, "knn", model="toy-vit,toy-cnn")
    runs = paths.runs_dir()
    assert [r.unit.model for r in store.read_all(runs)] == ["toy-cnn"]
    [(_, _, error)] = store.failures(runs)
    assert "frozen encoder must not" in error
    monkeypatch.setattr(Encoder, "pooled", plain)
    assert len(run(pictures, "knn", model="toy-vit,toy-cnn")) == 2
    assert not list(store.failures(runs))


def test_overwrite_always_runs_again_and_never_runs_nothing(pictures: Path) -> None:
    assert run(pictures, "knn", overwrite="never") == []
    [first] = run(pictures, "knn")
    written = (first.path / "record.json").stat().st_mtime_ns
    [again] = run(pictures, "knn", overwrite="always")
    assert (again.path / "record.json").stat().st_mtime_ns > written
    assert numbers([first]) == numbers([again])


def test_a_run_store_that_cannot_be_written_is_said_before_any_work(pictures: Path, monkeypatch) -> None:
    monkeypatch.setattr(extract, "_make", None)
    blocker = pictures.parent / "a-file"
    blocker.write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        run(pictures, runs=blocker / "runs")


def test_a_disk_that_fills_up_loses_nothing(pictures: Path, monkeypatch) -> None:
    plain = store.files.write_text

    def full(path: Path, text: str) -> None:
        if path.name == "record.json" and "linear-frozen" in str(path):
            with store.files.writing(path):
                raise OSError(28, "No space left on device")
        plain(path, text)

    monkeypatch.setattr(store.files, "write_text", full)
    with pytest.raises(OutputError, match="No space left"):
        run(pictures)
    runs = paths.runs_dir()
    assert [r.unit.protocol for r in store.read_all(runs)] == ["knn"]
    monkeypatch.setattr(store.files, "write_text", plain)
    records = run(pictures)
    assert len(records) == 3
    assert forwards(records[:2]) == 0, "the features were kept"


def test_an_unreadable_record_is_skipped_until_it_is_written_again(pictures: Path) -> None:
    [record] = run(pictures, "knn")
    content = json.loads((record.path / "record.json").read_text())
    assert np.isfinite(content["metrics"]["recall_macro"])
    (record.path / "record.json").write_text("{")
    assert run(pictures, "knn") == []
    assert run(pictures, "knn", overwrite="always")[0].metrics == record.metrics


def test_two_processes_give_the_numbers_of_one(data: Path, tmp_path: Path) -> None:
    (one,) = train(data, "linear-unfrozen", seeds=1, changes={"epochs": 1}, runs=tmp_path / "one")
    file = tmp_path / "script.py"
    file.write_text(script(data, "linear-unfrozen", seeds=1, changes={"epochs": 1}))
    words = ["--standalone", "--nproc_per_node", "2", str(file)]
    assert not failure(Program(f"from torch.distributed.run import main\nmain({words!r})"))  # torchrun itself
    (two,) = store.read_all(paths.runs_dir())
    assert two.key == one.key, "the number of processes is no part of a unit"
    assert {k: v for k, v in two.chosen.items() if k != "val"} == {k: v for k, v in one.chosen.items() if k != "val"}
    scores = [pd.read_parquet(r.path / "predictions.parquet").filter(like="score_").to_numpy() for r in (one, two)]
    assert np.abs(scores[0] - scores[1]).max() < 1e-4, "sums of gradients in another order: rounding"
    assert two.metrics["log_loss"] == pytest.approx(one.metrics["log_loss"], rel=1e-4)
    assert any("2 processes" in warning for warning in two.warnings)


def test_a_rate_that_breaks_is_named_and_the_other_wins(data: Path, monkeypatch) -> None:
    plain = fit.Fit._step

    def broken(self: fit.Fit, *arguments: Any) -> torch.Tensor:
        value = plain(self, *arguments)
        return value * float("nan") if float(self.base) > 2e-3 and self.done == 5 else value

    monkeypatch.setattr(fit.Fit, "_step", broken)
    records = train(data, "linear-unfrozen")
    assert [r.chosen["learning_rate"] for r in records] == [1e-3, 1e-3]
    assert any("learning rate 0.003, seed 0: the loss is not finite at step 6" in w for w in records[0].warnings)
    failed = [c["failed"] for c in records[0].selection["candidates"]]
    assert failed[0]
    assert not failed[1]


def test_a_seed_that_breaks_fails_alone(data: Path, monkeypatch) -> None:
    plain = fit.Fit._step

    def broken(self: fit.Fit, *arguments: Any) -> torch.Tensor:
        return plain(self, *arguments) * (float("nan") if self.seed == 1 else 1.0)

    monkeypatch.setattr(fit.Fit, "_step", broken)
    with pytest.raises(RunFailedError, match="seed 1: the loss is not finite at step 1, learning rate"):
        train(data, "linear-unfrozen", changes=QUICK)
    (record,) = store.read_all(paths.runs_dir())
    assert record.unit.seed == 0
    ((_, unit, _),) = store.failures(paths.runs_dir())
    assert unit.seed == 1
    monkeypatch.setattr(fit.Fit, "_step", plain)
    assert len(train(data, "linear-unfrozen", changes=QUICK)) == 2, "the same command tries it again"


def test_where_every_rate_breaks_all_seeds_fail_with_step_and_rate(data: Path, monkeypatch) -> None:
    plain = fit.Fit._step
    monkeypatch.setattr(fit.Fit, "_step", lambda self, *arguments: plain(self, *arguments) * float("nan"))
    with pytest.raises(RunFailedError, match=r"not finite at step 1, learning rate 0\.003; .* learning rate 0\.001"):
        train(data, "linear-unfrozen")
    assert sorted(unit.seed for _, unit, _ in store.failures(paths.runs_dir())) == [0, 1]
    assert not list(store.read_all(paths.runs_dir()))


def test_checkpointing_changes_nothing(data: Path, linear: list[Record]) -> None:
    saved = train(data, "linear-unfrozen", seeds=1, changes={"checkpointing": True, "micro_batch": 5})
    assert saved[0].counts["micro_batch"] == 5
    assert saved[0].metrics["log_loss"] == pytest.approx(linear[0].metrics["log_loss"], rel=1e-3)


def test_further_seeds_later_equal_all_seeds_at_once(data: Path, linear: list[Record], monkeypatch) -> None:
    (first,) = train(data, "linear-unfrozen", seeds=1)
    made, fit = [], tuning._fit
    monkeypatch.setattr(tuning, "_fit", lambda *given: made.append(given[3:]) or fit(*given))
    both = train(data, "linear-unfrozen", seeds=2)
    assert made == [(1, first.chosen["learning_rate"])], "the first seed and the search are there"
    assert both[0].provenance == first.provenance
    for one, other in zip(both, linear, strict=True):
        for name in ("key", "group", "metrics", "metrics_val", "chosen", "selection", "warnings"):
            assert getattr(one, name) == getattr(other, name)
        tables = [pd.read_parquet(record.path / "predictions.parquet") for record in (one, other)]
        pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_rates_are_searched_on_one_seed_or_on_all(data: Path, linear: list[Record]) -> None:
    one = linear
    assert one[0].selection["seeds"] == [0]
    assert set(pd.read_csv(one[1].path / "history.csv")["candidate"]) == {one[1].chosen["learning_rate"]}
    both = train(data, "linear-unfrozen", changes={"lr_search_seeds": 2})
    assert both[0].selection["seeds"] == [0, 1]
    assert set(pd.read_csv(both[1].path / "history.csv")["candidate"]) == {3e-3, 1e-3}


def test_the_log_has_plain_lines_even_when_quiet(data: Path) -> None:
    with medbench.progress.quiet():
        train(data, "linear-unfrozen", seeds=1, changes=QUICK)
    lines = (paths.runs_dir() / "log.txt").read_text().splitlines()
    assert any(f"toy-vit · linear-unfrozen · {data.parent.name}-labels: 1 of 1 units to do" in line for line in lines)


def test_curves_go_to_trackers(data: Path, monkeypatch) -> None:
    said: list[dict[str, float]] = []
    monkeypatch.setattr(Accelerator, "log", lambda self, values, step=None: said.append(values))
    train(data, "linear-unfrozen", seeds=1, changes={"learning_rates": [1e-3]})
    assert len(said) == 3
    assert {name.rsplit("/", 1)[1] for name in said[0]} == {"val", "loss", "rate"}
    with pytest.raises(MedbenchError, match="unknown value of --log 'tensorbord'"):
        train(data, "linear-unfrozen", log=["tensorbord"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MedbenchError, match="package wandb is not installed"):
        train(data, "linear-unfrozen", log=["wandb"], overwrite="always")


def test_weights_that_are_replaced_after_planning_are_not_used(pictures: Path, tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    network = load_model("toy-vit", weights="random").network
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(state, file)
    plan = make_plan("toy-vit", "knn", str(pictures), Options(changes={"k": 5}, weights=str(file)))
    save_file({name: value * 2 if value.is_floating_point() else value for name, value in state.items()}, file)
    result = execute(plan)
    assert [error.message for _, error in result.mistakes] == [f"{file} was replaced while the command ran"]
    assert not result.records
    assert not result.failures
    assert not list((paths.home() / "features").rglob("*.npy"))
    (row,) = statuses(paths.runs_dir())
    assert (row["done"], row["failed"], row["planned"]) == (0, 1, 0)
    message, hint = row["failures"][0]["error"].splitlines()
    assert message == f"{file} was replaced while the command ran"
    assert hint == result.mistakes[0][1].hint


def test_a_job_that_another_process_works_on_comes_after_the_others(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = make_plan("toy-vit", "linear-probe,knn", str(pictures), Options(seeds=1))
    first, second = plan.jobs
    told: list[str] = []
    with contextlib.ExitStack() as other:
        other.enter_context(exclusive(first.options.runs / ".locks" / f"{first.group[:16]}.lock", ""))

        def tell(records: list[Record]) -> None:
            told.extend(record.group for record in records)
            other.close()  # the other process ends, or is killed, when the second job is done

        result = execute(plan, tell)
    assert told == [second.group, first.group]
    assert [record.group for record in result.records] == [first.group, second.group]
    assert result.made == 2
    said = capsys.readouterr().err
    assert f"{first.name}: another process is working on this job; it is tried again later" in said
    assert "waiting for it" not in said


@dataclass
class Turn:
    """What the order of jobs depends on."""

    place: str
    family: str = ""
    needs: tuple[Turn, ...] = ()
    finished: bool = False

    def __post_init__(self) -> None:
        self.family = self.family or self.place

    def done(self) -> list[bool]:
        return [self.finished]


def order(jobs: list[Turn], taken: dict[str, int]) -> list[str]:
    """Return the order of jobs of which some are `taken`: so often they are passed over; "!": one is waited for."""
    found = []
    turns = _Turns(jobs)  # type: ignore[arg-type]
    for number, job, alone in turns:
        if taken.get(job.place, 0) and not alone:
            taken[job.place] -= 1
            turns.later(number, job)
            continue
        found.append(job.place + "!" * bool(taken.get(job.place)))
        job.finished = True
    return found


def test_the_order_of_jobs_of_which_others_work_on_some() -> None:
    a, b, c = Turn("a"), Turn("b"), Turn("c")
    assert order([a, b, c], {}) == ["a", "b", "c"]
    assert order([a, b, c], {"a": 1, "b": 1}) == ["c", "a", "b"]
    assert order([a, b, c], {"a": 99, "b": 2}) == ["c", "a!", "b"]
    assert order([a], {"a": 99}) == ["a!"]


def test_what_needs_a_job_of_another_process_comes_after_it() -> None:
    tuned, other = Turn("tuned"), Turn("other")
    assert order([tuned, Turn("a", needs=(tuned,)), other], {"tuned": 99}) == ["other", "tuned!", "a"]
    tuned = Turn("tuned", finished=True)
    assert order([tuned, Turn("a", needs=(tuned,)), other], {"tuned": 99}) == ["a", "other", "tuned!"]


def test_a_family_is_passed_over_as_a_whole() -> None:
    folds = [Turn(f"fold {i}", "folds") for i in range(3)]
    assert order([*folds, Turn("a"), Turn("b")], {"fold 0": 99}) == ["a", "b", "fold 0!", "fold 1", "fold 2"]
