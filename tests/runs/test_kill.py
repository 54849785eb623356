"""SIGKILL in every part of a run, then the same command again: the same numbers, finished parts not done twice."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

import medbench
from medbench.features import extract
from medbench.progress import Stopped
from medbench.records import Record, store
from medbench.storage import paths
from medbench.training.finetune.fit import Fit
from medbench.training.heads.grid import Grid

from ..forked import Program, failure
from .conftest import BOTH, SHORT, numbers_by_key, script, short_of, train, write_pictures

MOMENTS = {
    "preparing": "from medbench.data.prepared import fill as m; hook(m, 'fitted', 40)",
    "extracting": "from medbench.features import extract as m; m.PART_SECONDS = 0.0; hook(m, '_forward', 2)",
    "joining": "from medbench.features.store import FeatureFolder as m; hook(m, 'finish', 1)",
    "views": "from medbench.features import extract as m; m.PART_SECONDS = 0.0; hook(m, '_forward', 3)",
    "training": "from medbench.training.heads import grid as m; m.CHECKPOINT_SECONDS = 0.0; hook(m.Grid, 'epoch', 4)",
    "predictions": "from medbench.records import store as m; hook(m.files, 'write_text', 2)",
    "record": "from medbench.records import store as m; hook(m, 'write', 2)",
    "neighbours": "from medbench.protocols import knn as m; hook(m, 'vote', 1)",
    "last record": "from medbench.records import store as m; hook(m, 'write', 1)",
    "tables": "from medbench.report.tables import dataset_table as m; hook(m, 'write_dataset_tables', 1)",
}
NO_LOCKS = """
import fcntl
from medbench.features import extract
extract.PART_SECONDS = 0.0
fcntl.flock = lambda *_: None
"""
SCRIPT = """
import os, signal
import medbench
def hook(place, name, calls):
    plain, left = getattr(place, name), [calls]
    def killed(*args, **kwargs):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(*args, **kwargs)
    setattr(place, name, killed)
{moment}
medbench.run(model="toy-vit", protocol={protocol!r}, dataset={data!r}, seeds=2, set={short!r})
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


def start(data: Path, moment: str = "", protocol: str = BOTH) -> Program:
    """Start a run of which `moment`, lines of Python, changes something beforehand."""
    short = short_of(protocol, SHORT)
    return Program(SCRIPT.format(data=str(data), protocol=protocol, short=short, moment=moment))


def test_ten_kills_end_in_the_undisturbed_runs_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_pictures(tmp_path / "pictures")
    request = {"model": "toy-vit", "protocol": "linear-frozen,knn", "dataset": str(data), "seeds": 2, "set": SHORT}
    calm = medbench.run(**request)
    expected = numbers_by_key(store.read_all(paths.runs_dir()))
    assert len(expected) == 3
    for name in ("HOME", "RUNS"):
        monkeypatch.setenv(f"MEDBENCH_{name}", str(tmp_path / f"killed-{name}"))
    for name, moment in MOMENTS.items():
        killed = start(data, moment)
        said = killed.communicate()
        assert killed.returncode == -signal.SIGKILL, f"the kill missed {name}: {said}"
    records = medbench.run(**request)
    assert numbers_by_key(store.read_all(paths.runs_dir())) == expected
    assert [r.metrics for r in records] == [r.metrics for r in calm]
    left = [p for p in paths.home().rglob("*") if p.name.startswith("part-")]
    assert left == [], "finished extraction leaves no parts"
    assert not any((paths.home() / "partial").rglob("*.safetensors"))


def test_two_processes_with_the_same_units_end_well(tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "pictures")
    assert [failure(program) for program in [start(data), start(data)]] == ["", ""]
    records = list(store.read_all(paths.runs_dir()))
    assert len(records) == 3
    made = {record.unit.protocol: record.counts["forwards"] for record in records}  # the seeds of a job share them
    assert sum(made.values()) == 90 + 2 * records[0].n["train"].images, "each image went through the encoder once"


def test_six_processes_without_working_locks_end_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a network's folder whose locks hold on each node alone: all do the same work, and none harms another."""
    card = (paths.shipped_cards() / "datasets" / "toy.yaml").read_text()
    few = card.replace("recipe: grades", "recipe: grades, n: 70").replace("images: 600", "images: 70")
    (tmp_path / "few.yaml").write_text(few)
    monkeypatch.setenv("MEDBENCH_CARDS", str(tmp_path))
    medbench.run(model="toy-vit", protocol="knn", dataset="few", set={"k": 5})
    expected = numbers_by_key(store.read_all(paths.runs_dir()))
    for name in ("HOME", "RUNS"):
        monkeypatch.setenv(f"MEDBENCH_{name}", str(tmp_path / f"six-{name}"))
    six = [start(Path("few"), NO_LOCKS, "knn") for _ in range(6)]
    assert [failure(program) for program in six] == [""] * 6
    assert numbers_by_key(store.read_all(paths.runs_dir())) == expected
    left = [path for path in paths.home().rglob("*") if path.name.startswith("part-") or ".part" in path.suffix]
    assert left == []


@pytest.mark.usefixtures("one_thread")
def test_a_kill_ends_in_the_undisturbed_runs_numbers(data: Path, stacked: list[Record]) -> None:
    expected = numbers_by_key(stacked)
    assert len(expected) == 2
    killed = Program(script(data, "deit-frozen", KILL.format(steps=7), "toy-vit"))
    said = killed.communicate()
    assert killed.returncode == -signal.SIGKILL, said
    assert list((paths.home() / "partial").rglob("*.safetensors")), "there is a state to go on from"
    train(data, "deit-frozen", model="toy-vit")
    assert numbers_by_key(store.read_all(paths.runs_dir())) == expected
    assert not list((paths.home() / "partial").rglob("*.safetensors"))
    assert not list((paths.home() / "features").rglob("*/features.npy")), "banks go when the plan is through"


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("protocol", "place"),
    [("linear-unfrozen", (Fit, "_step", 7)), ("linear-frozen", (Grid, "epoch", 3)), ("knn", (extract, "_forward", 1))],
)
def test_a_signal_saves_the_state_and_the_same_command_resumes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str, place: tuple[Any, str, int]
) -> None:
    # toy-cnn: moments have their channels last, as its kernels have; else the optimizer would pair the wrong numbers
    changes = {"k": 5} if protocol == "knn" else {"epochs": 4, "learning_rates": [1e-3], "views": 1, "batch_size": 16}

    def run(runs: Path) -> list[Record]:
        return medbench.run("toy-cnn", protocol, str(data), seeds=1, set=changes, device="cpu", runs=runs)

    calm = run(tmp_path / "calm")
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    owner, name, at = place
    plain, calls = getattr(owner, name), []

    def interrupted(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == at:
            signal.raise_signal(signal.SIGTERM)
        return plain(*arguments)

    monkeypatch.setattr(owner, name, interrupted)
    with pytest.raises(Stopped) as caught:
        run(tmp_path / "stopped")
    assert caught.value.signal == signal.SIGTERM
    assert len(calls) == at, "the step was finished, and no other one was begun"
    state = "part-*" if protocol == "knn" else "*.safetensors"
    assert list(paths.home().rglob(state)), "there is a state to go on from"
    assert numbers_by_key(run(tmp_path / "stopped")) == numbers_by_key(calm)
    assert not list(paths.home().rglob("*.part"))
    if protocol == "linear-unfrozen":
        assert len(calls) == 4 * (calm[0].n["train"].images // 16), "no step was made twice"
