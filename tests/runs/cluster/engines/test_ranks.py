"""Several processes that run one task together give the same results as under torchrun, bit for bit."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from medbench.records import store

from ..conftest import World, all_of
from .test_slurm import wait

pytestmark = pytest.mark.cluster
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
MODELS, UNITS, EPOCHS = "toy-vit,toy-cnn", 4, ("--set", "epochs=5", "--seeds", "2")
STOPPED = """
import os, signal, sys
from pathlib import Path
from medbench.cli import main
from medbench.training.finetune.fit import Fit
plain, calls = Fit._step, []
def told(fit, *arguments):
    calls.append(1)
    if os.environ["RANK"] == "1" and fit.done == int(sys.argv[2]) % fit.total:
        signal.raise_signal(signal.SIGUSR2)
    return plain(fit, *arguments)
Fit._step = told
status = main(sys.argv[3:])
(Path(sys.argv[1]) / os.environ["RANK"]).write_text(f"{status} after {len(calls)}")
"""


@pytest.fixture(scope="module")
def by_torchrun(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run store of two processes under torchrun; the units of toy-cnn, with batch norm, are others."""
    import medbench

    place = tmp_path_factory.mktemp("torchrun")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDBENCH_HOME", str(place / "home"))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", str(Path(medbench.__file__).parents[1]))
        launch("-m", "medbench", *world.words(MODELS, "linear-unfrozen", place / "runs", *EPOCHS))
    return place / "runs"


def launch(*words: str) -> None:
    done = subprocess.run([sys.executable, *TORCHRUN, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def same(runs: Path, others: Path) -> int:
    """Compare two run stores bit for bit; return the number of records of the second one."""
    first, second = ({record.key: record for record in store.read_all(place)} for place in (runs, others))
    assert first.keys() == second.keys()
    for key, record in second.items():
        assert all_of(record) == all_of(first[key]), record
    return len(second)


@pytest.mark.timeout(600)
def test_two_processes_of_a_slurm_task(
    world: World, by_torchrun: Path, apart: Path, cluster: Callable[..., Path], medbench: Callable[..., object]
) -> None:
    site = cluster(models={"toy-*": {"train": {"gpus": 2}}})
    request = world.words(MODELS, "linear-unfrozen", apart, *EPOCHS, "--on", "slurm", "--site", site)
    assert medbench(*request).status == 0  # type: ignore[attr-defined]
    wait()
    logs = [log.read_text() for log in (apart / "logs").glob("*/train-*.txt")]
    assert same(by_torchrun, apart) == UNITS, logs
    assert all(text.count("task done") == 1 for text in logs), "the first process alone tells"


@pytest.mark.timeout(600)
def test_two_processes_of_a_shell_line(
    world: World, by_torchrun: Path, apart: Path, cluster: Callable[..., Path], medbench: Callable[..., object]
) -> None:
    site = cluster(models={"toy-*": {"train": {"gpus": 2}}}, python=sys.executable)
    done = medbench(*world.words(MODELS, "linear-unfrozen", apart, *EPOCHS, "--on", "commands", "--site", site))
    lines = done.out.splitlines()  # type: ignore[attr-defined]
    assert [" ".join(TORCHRUN) in line for line in lines] == [False, True, True]
    for line in lines:
        ran = subprocess.run(line, shell=True, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr[-2000:]
    assert same(by_torchrun, apart) == UNITS


@pytest.mark.timeout(600)
@pytest.mark.parametrize("step", [2, -1], ids=["third step", "last step"])
def test_two_processes_stop_together_when_one_is_told(
    step: int, world: World, by_torchrun: Path, apart: Path, tmp_path: Path
) -> None:
    file = tmp_path / "stopped.py"
    file.write_text(STOPPED)
    words = world.words(MODELS, "linear-unfrozen", apart, *EPOCHS)
    launch(str(file), str(tmp_path), str(step), *words)
    stopped = [(tmp_path / rank).read_text() for rank in "01"]
    assert stopped[0] == stopped[1] == f"{128 + signal.SIGUSR2} after {stopped[0].split()[-1]}"
    assert list((tmp_path / "home" / "partial").rglob("*.safetensors")), "there is a state to go on from"
    launch("-m", "medbench", *words)
    assert same(by_torchrun, apart) == UNITS
