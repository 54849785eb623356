"""What a real Slurm does to tasks: it preempts them, ends them at a time limit, and takes two commands at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medbench.records import store

from .. import loopback
from ..conftest import DINO, World, all_of, same_as_single
from .test_slurm import wait

pytestmark = pytest.mark.cluster
LONG = ("--set", "epochs=80", "--seeds", "1")


@pytest.fixture(scope="module")
def calm(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the results of an undisturbed training of a minute or two."""
    from medbench.cli import main

    place = tmp_path_factory.mktemp("calm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDBENCH_HOME", str(place / "home"))
        assert main(world.words("toy-vit", "linear-unfrozen", place / "runs", *LONG)) == 0
    return {record.key: all_of(record) for record in store.read_all(place / "runs")}


def log_of(runs: Path, what: str = "train-0") -> str:
    return "".join(log.read_text() for log in runs.glob(f"../runs/logs/*/{what}.txt"))


def until(true: Callable[[], Any], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.timeout(900)
def test_a_preempted_task_goes_on_where_it_was(
    world: World, calm: dict[str, Any], apart: Path, cluster: Callable[..., Path], medbench: Any
) -> None:
    request = world.words("toy-vit", "linear-unfrozen", apart, *LONG, "--on", "slurm", "--site", cluster({"cpus": 2}))
    assert medbench(*request).status == 0
    until(lambda: "1 of 1 units to do" in log_of(apart))
    time.sleep(3)
    urgent = ["sbatch", "-p", "urgent", "-n", "2", "-o", str(apart / "urgent.txt"), "--wrap", "sleep 2"]
    subprocess.run(urgent, check=True, capture_output=True)
    until(lambda: log_of(apart).count("1 of 1 units to do") == 2, 300)
    wait()
    found = {record.key: record for record in store.read_all(apart)}
    assert {key: all_of(record) for key, record in found.items()} == calm
    (record,) = found.values()
    assert record.provenance["task"]["lives"] == 2


@pytest.mark.timeout(900)
def test_lives_of_less_than_30_seconds_make_progress(
    world: World, calm: dict[str, Any], apart: Path, cluster: Callable[..., Path], medbench: Any
) -> None:
    short = {"train": {"minutes": 1, "requeues": 50}}
    site = cluster(models={"toy-vit": short}, signal_seconds=10)  # Slurm warns up to 40 seconds early
    request = world.words("toy-vit", "linear-unfrozen", apart, *LONG, "--on", "slurm", "--site", site)
    assert medbench(*request).status == 0
    for lives in (1, 2):  # a quick machine would end before Slurm warns
        until(lambda lives=lives: log_of(apart).count("1 of 1 units to do") >= lives, 300)
        time.sleep(3)
        for step in loopback.steps():
            step.send_signal(signal.SIGUSR2)
    wait()
    found = {record.key: record for record in store.read_all(apart)}
    assert {key: all_of(record) for key, record in found.items()} == calm, log_of(apart)
    (record,) = found.values()
    assert record.provenance["task"]["lives"] > 2
    assert "stopping after this step" in log_of(apart)


@pytest.mark.timeout(900)
def test_two_commands_at_once_and_a_unit_that_fails_in_the_middle(
    world: World, apart: Path, cluster: Callable[..., Path], medbench: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    cards = tmp_path / "cards" / "protocols"
    cards.mkdir(parents=True)
    (cards / "tiny-dino.yaml").write_text(DINO.replace("epochs: 1", "epochs: 4, learning_rate: 1.0e+30"))
    monkeypatch.setenv("MEDBENCH_CARDS", str(cards.parent))
    request = world.words("toy-vit@tiny-dino,toy-vit", "knn,linear-probe", apart, "--on", "slurm", "--site", cluster())
    both = [
        subprocess.Popen([sys.executable, "-m", "medbench", *request], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = sorted(one.communicate()[1] for one in both)
    assert sorted(one.returncode for one in both) == [0, 0]
    assert sum("nothing to submit: the 5 unfinished units are already queued" in text for text in told) == 1
    done = medbench(*request, "--wait")
    assert done.status == 1
    assert same_as_single(world, apart) == 2, "knn and linear-probe of toy-vit need no weights of others"
    assert "the loss is not finite" in done.err
    assert "which toy-vit · tiny-dino · pictures-labels did not write" in done.err
