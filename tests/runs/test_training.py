"""Whole runs of protocols that train: kills, several processes, broken seeds, kept weights, sweeps, folds, trackers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import Accelerator

import medbench
from medbench.api import RunFailedError
from medbench.errors import MedbenchError
from medbench.records import Record, store
from medbench.runs.jobs import Options
from medbench.runs.plan import make_plan
from medbench.storage import paths
from medbench.training.finetune import fit

from .conftest import write_pictures

SHORT: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 16,
    "learning_rates": [3e-3, 1e-3],
    "warmup_epochs": 1,
    "views": 2,
    "classifier": "toy-vit",
}
QUICK: dict[str, Any] = {"epochs": 1, "learning_rates": [1e-3]}
SCRIPT = """
import os, signal, sys
import torch
torch.set_num_threads(1)
import medbench
{before}
if __name__ == "__main__":
    medbench.run(model={model!r}, protocol={protocol!r}, dataset={data!r}, seeds={seeds}, set={short!r}, device="cpu")
"""
KILL = """
from medbench.training import steps
from medbench.training.finetune.fit import Fit
steps.CHECKPOINT_SECONDS = 0.0
step, left = Fit._step, [{steps}]
def killed(*arguments):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*arguments)
Fit._step = killed
"""


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "pictures")


def of(protocol: str) -> dict[str, Any]:
    return {k: v for k, v in SHORT.items() if k != "classifier" or protocol.startswith(("deit", "decap"))}


def run(
    data: Path, protocol: str, seeds: int = 2, changes: dict[str, Any] | None = None, **options: Any
) -> list[Record]:
    changes, model = {**of(protocol), **(changes or {})}, options.pop("model", "toy-vit")
    return medbench.run(model=model, protocol=protocol, dataset=str(data), seeds=seeds, set=changes, **options)


def undisturbed(data: Path, place: Path, protocol: str) -> list[Record]:
    """Run a protocol with toy-vit and two seeds in a cache of its own, before the tests that compare theirs with it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDBENCH_HOME", str(place / "home"))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        records = run(data, protocol, out=place / "runs")
        torch.set_num_threads(threads)
    return records


@pytest.fixture(scope="module")
def linear(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    return undisturbed(data, tmp_path_factory.mktemp("linear"), "linear-unfrozen")


@pytest.fixture(scope="module")
def stacked(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    return undisturbed(data, tmp_path_factory.mktemp("stacked"), "deit-frozen")


def numbers(records: Iterable[Record]) -> dict[str, tuple]:
    return {r.key: (r.metrics, r.metrics_val, r.chosen, r.selection) for r in records}


def script(
    data: Path,
    protocol: str,
    before: str = "",
    model: str = "toy-vit",
    seeds: int = 2,
    changes: dict[str, Any] | None = None,
) -> str:
    short = {**of(protocol), **(changes or {})}
    return textwrap.dedent(SCRIPT).format(
        before=before, model=model, protocol=protocol, data=str(data), short=short, seeds=seeds
    )


@pytest.mark.parametrize(("protocol", "model"), [("linear-unfrozen", "toy-cnn"), ("deit-frozen", "toy-vit")])
def test_kills_end_in_the_undisturbed_runs_numbers(
    data: Path, tmp_path: Path, stacked: list[Record], protocol: str, model: str
) -> None:
    # toy-cnn: moments lie with their channels last, as its kernels do, or the optimizer pairs the wrong numbers
    calm = stacked if protocol == "deit-frozen" else run(data, protocol, model=model, out=tmp_path / "calm")
    expected = numbers(calm)
    assert len(expected) == 2
    killed = script(data, protocol, KILL.format(steps=7), model)
    assert subprocess.run([sys.executable, "-c", killed], capture_output=True).returncode == -signal.SIGKILL
    assert list((paths.home() / "partial").rglob("*.safetensors")), "there is a state to go on from"
    run(data, protocol, model=model)
    assert numbers(store.read_all(paths.runs_dir())) == expected
    assert not list((paths.home() / "partial").rglob("*.safetensors"))
    assert not list((paths.home() / "features").rglob("*/features.npy")), "banks go when the plan is through"


def test_two_processes_give_the_numbers_of_one(data: Path, tmp_path: Path) -> None:
    (one,) = run(data, "linear-unfrozen", seeds=1, changes={"epochs": 1}, out=tmp_path / "one")
    file = tmp_path / "script.py"
    file.write_text(script(data, "linear-unfrozen", seeds=1, changes={"epochs": 1}))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(file)]
    done = subprocess.run(launch, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
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
    records = run(data, "linear-unfrozen")
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
        run(data, "linear-unfrozen", changes=QUICK)
    (record,) = store.read_all(paths.runs_dir())
    assert record.unit.seed == 0
    ((_, unit, _),) = store.failures(paths.runs_dir())
    assert unit.seed == 1
    monkeypatch.setattr(fit.Fit, "_step", plain)
    assert len(run(data, "linear-unfrozen", changes=QUICK)) == 2, "the same command tries it again"


def test_where_every_rate_breaks_all_seeds_fail_with_step_and_rate(data: Path, monkeypatch) -> None:
    plain = fit.Fit._step
    monkeypatch.setattr(fit.Fit, "_step", lambda self, *arguments: plain(self, *arguments) * float("nan"))
    with pytest.raises(RunFailedError, match=r"not finite at step 1, learning rate 0\.003; .* learning rate 0\.001"):
        run(data, "linear-unfrozen")
    assert sorted(unit.seed for _, unit, _ in store.failures(paths.runs_dir())) == [0, 1]
    assert not list(store.read_all(paths.runs_dir()))


@pytest.mark.parametrize(
    ("protocol", "changes"),
    [
        ("freeze", {"frozen": 2, "learning_rates": [3e-3]}),
        ("deit-frozen", {}),
        ("decapitate-frozen", {"kept": [1, 2], "learning_rates": [3e-3]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_cached_outputs_give_the_numbers_of_the_images(
    data: Path, tmp_path: Path, protocol: str, changes: dict
) -> None:
    cached = run(data, protocol, seeds=1, changes=changes)
    plain = run(data, protocol, seeds=1, changes={**changes, "cache_gb": 0}, out=tmp_path / "b")
    assert [r.key for r in cached] == [r.key for r in plain]
    assert all(r.counts["forwards"] == 0 for r in plain), "nothing was cached"
    assert sum(r.counts["forwards"] for r in cached) == 90 + 2 * cached[0].n["train"].images, "one pass for all depths"
    for one, other in zip(cached, plain, strict=True):
        assert one.chosen["learning_rate"] == other.chosen["learning_rate"]
        scores = [
            pd.read_parquet(r.path / "predictions.parquet").filter(like="score_").to_numpy() for r in (one, other)
        ]
        assert np.abs(scores[0] - scores[1]).max() < 1e-4, "rounding, grown over 12 steps"


def test_timing_is_keyed_by_the_device_that_is_used(data: Path) -> None:
    def key(device: str) -> str:
        options = Options(device=device, changes={"classifier": "linear"})
        return make_plan("toy-vit", "timing", str(data), options).jobs[0].group

    assert key("auto") == key(medbench.runs.device.choose_device("auto"))


def test_weights_are_kept_where_they_are_asked_for(data: Path) -> None:
    first = run(data, "linear-unfrozen", seeds=1, changes=QUICK)[0]
    assert not (first.path / "weights.safetensors").exists()
    again = run(data, "linear-unfrozen", seeds=1, changes=QUICK, keep_weights=True)[0]
    assert again.path == first.path
    assert (first.path / "weights.safetensors").exists()
    assert again.metrics == first.metrics


def test_sweeps_end_in_the_protocols_that_their_ends_are(data: Path) -> None:
    options = Options(seeds=2, changes=of("freeze"))
    jobs = make_plan("toy-vit", "freeze", str(data), options).jobs
    assert [(j.protocol.name, getattr(j.settings, "frozen", None)) for j in jobs] == [
        ("linear-unfrozen", None), ("freeze", 1), ("freeze", 2), ("freeze", 3), ("linear-frozen", None),
    ]  # fmt: skip
    plain = make_plan("toy-vit", "linear-unfrozen", str(data), options).jobs
    assert jobs[0].group == plain[0].group, "and are those protocols' own units"
    assert [u.options.get("frozen") for j in jobs for u, _ in j.units][::2] == [None, 1, 2, 3, None]
    cut = make_plan("toy-vit", "decapitate-frozen", str(data), Options(changes={**of("deit"), "kept": [4, 2]})).jobs
    assert [(j.protocol.name, j.sweep) for j in cut] == [("deit-frozen", ()), ("decapitate-frozen", (2,))]
    with pytest.raises(MedbenchError, match="frozen=5: toy-vit has 4 units"):
        make_plan("toy-vit", "freeze", str(data), Options(changes={**of("freeze"), "frozen": 5}))


def test_what_a_run_costs_is_no_part_of_its_key(data: Path) -> None:
    def key(**changes: Any) -> str:
        return make_plan("toy-vit", "linear-unfrozen", str(data), Options(changes=changes)).jobs[0].units[0][1]

    assert key() == key(micro_batch=4) == key(checkpointing=True, compile=True)
    assert key() != key(loss="weighted")
    assert key() != key(lr_search_seeds=5)


def test_checkpointing_changes_nothing(data: Path, linear: list[Record]) -> None:
    saved = run(data, "linear-unfrozen", seeds=1, changes={"checkpointing": True, "micro_batch": 5})
    assert saved[0].counts["micro_batch"] == 5
    assert saved[0].metrics["log_loss"] == pytest.approx(linear[0].metrics["log_loss"], rel=1e-3)


def test_rates_are_searched_on_one_seed_or_on_all(data: Path, linear: list[Record]) -> None:
    one = linear
    assert one[0].selection["seeds"] == [0]
    assert set(pd.read_csv(one[1].path / "history.csv")["candidate"]) == {one[1].chosen["learning_rate"]}
    both = run(data, "linear-unfrozen", changes={"lr_search_seeds": 2})
    assert both[0].selection["seeds"] == [0, 1]
    assert set(pd.read_csv(both[1].path / "history.csv")["candidate"]) == {3e-3, 1e-3}


def test_the_log_has_plain_lines_even_when_quiet(data: Path) -> None:
    with medbench.progress.quiet():
        run(data, "linear-unfrozen", seeds=1, changes=QUICK)
    lines = (paths.runs_dir() / "log.txt").read_text().splitlines()
    assert any("toy-vit · linear-unfrozen · labels: 1 of 1 units to do" in line for line in lines)


def test_curves_go_to_trackers(data: Path, monkeypatch) -> None:
    said: list[dict[str, float]] = []
    monkeypatch.setattr(Accelerator, "log", lambda self, values, step=None: said.append(values))
    run(data, "linear-unfrozen", seeds=1, changes={"learning_rates": [1e-3]})
    assert len(said) == 3
    assert {name.rsplit("/", 1)[1] for name in said[0]} == {"val", "loss", "rate"}
    with pytest.raises(MedbenchError, match="unknown value of --log 'tensorbord'"):
        run(data, "linear-unfrozen", log=["tensorbord"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MedbenchError, match="package wandb is not installed"):
        run(data, "linear-unfrozen", log=["wandb"], overwrite="always")


def test_several_inputs_are_refused_by_name(tmp_path: Path) -> None:
    from medbench.cards import find_dataset
    from medbench.data.twins.twin import synthesise

    root = synthesise(find_dataset("gamma"), tmp_path / "gamma")
    with pytest.raises(MedbenchError, match="linear-unfrozen trains on one image a sample"):
        medbench.run(model="toy-vit", protocol="linear-unfrozen", dataset="gamma", data_root=root)


def test_the_record_says_what_was_trained(stacked: list[Record]) -> None:
    record = stacked[0]
    assert record.unit.options["views"] == 2
    assert record.material["encoders"]["second"][1] == "random:0"
    history = pd.read_csv(record.path / "history.csv")
    assert list(history.columns) == ["candidate", "epoch", "step", "loss", "val", "learning_rate"]
    assert record.counts["forwards"] == 90 + 2 * record.n["train"].images, "each image and view once"
    assert json.loads((record.path / "record.json").read_text())["counts"]["train_images_per_second"] > 0
