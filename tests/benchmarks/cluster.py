"""A cluster that is disturbed all the time must end in the numbers of a single process; needs root and Slurm.

PYTHONPATH=tests python -m benchmarks.cluster [--kills 10] [--minutes 10] [--epochs 1] [--seed 0]

A loopback Slurm runs 29 units in dependent stages. At random moments a task is cancelled, its step is killed, or it is
requeued, as a preemption does; two commands submit at the same time whenever nothing is left in the queue. With
--minutes 1 and enough --epochs tasks also run into their time limit and are queued again.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch
import yaml

from medbench.cli import main as medbench
from medbench.runs.cluster.engines.squeue import ALIVE, queue
from runs.cluster import loopback
from runs.cluster.conftest import ALL, DINO, World, same_as_single, tables_of
from runs.conftest import write_pictures

MODELS = "toy-vit@tiny-dino,toy-vit"
UNITS = 29
MOST_ROUNDS = 40
RUN = [sys.executable, "-m", "medbench"]


@dataclass
class Found:
    """What came of it.

    Attributes:
        done: What was done to tasks -> how often.
        submissions: Commands that submitted something.
        seconds: From the first submission to the last record.
    """

    done: Counter[str] = field(default_factory=Counter)
    submissions: int = 0
    seconds: float = 0.0


def disturbed(folder: Path, kills: int, minutes: int, epochs: int, seed: int) -> Found:
    """Run all units on a disturbed cluster and compare them with a single process's, bit for bit."""
    world = _world(folder)
    changes = [word for key in ("epochs",) for word in ("--set", f"{key}={epochs}")]
    single = [*world.words(MODELS, ALL, world.runs), *changes]
    torch.set_num_threads(1)
    os.environ["MEDBENCH_HOME"] = str(folder / "single" / "home")
    assert medbench(single) == 0
    os.environ["MEDBENCH_HOME"] = str(folder / "cluster" / "home")
    runs = folder / "cluster" / "runs"
    with loopback.running(folder / "slurm") as variables:
        os.environ.update(variables)
        request = [*world.words(MODELS, ALL, runs, "--on", "slurm", "--site", _site(folder, minutes)), *changes]
        found = _until_done(request, kills, random.Random(seed))
    assert same_as_single(world, runs) == UNITS
    assert tables_of(runs) == tables_of(world.runs)
    return found


def _world(folder: Path) -> World:
    (folder / "cards" / "protocols").mkdir(parents=True)
    (folder / "cards" / "protocols" / "tiny-dino.yaml").write_text(DINO)
    bench = Path(__file__).parents[2] / "bench"
    os.environ |= {"MEDBENCH_CARDS": str(folder / "cards"), "PYTHONPATH": str(bench), "OMP_NUM_THREADS": "1"}
    return World(write_pictures(folder / "pictures", 48), folder / "cards", folder / "single" / "runs")


def _site(folder: Path, minutes: int) -> Path:
    own = {"cpus": 1, "memory_gb": 0.5, "minutes": minutes, "requeues": 100}
    classes = {name: dict(own) for name in ("prepare", "features", "heads", "train")}
    site = {"device": "cpu", "precision": "fp32", "signal_seconds": 20, "classes": classes}
    (folder / "lab.yaml").write_text(yaml.safe_dump(site))
    return folder / "lab.yaml"


def _until_done(request: list[str], kills: int, draw: random.Random) -> Found:
    """Submit by two commands at once until nothing is left to submit; disturb what runs."""
    found, start = Found(), time.perf_counter()
    for _ in range(MOST_ROUNDS):
        both = [subprocess.Popen([*RUN, *request], stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
        told = [one.communicate()[1].decode() for one in both]
        if all("everything is done" in text for text in told):
            found.seconds = time.perf_counter() - start
            return found
        found.submissions += sum("nothing to submit" not in text for text in told)
        while alive := [name for name, (state, _) in (queue() or {}).items() if state in ALIVE]:
            time.sleep(draw.uniform(0.5, 6.0))
            if found.done.total() < kills:
                _disturb(alive, draw, found)
        print(f"… {dict(found.done)}, {found.submissions} submissions", file=sys.stderr, flush=True)
    raise SystemExit(f"not done after {MOST_ROUNDS} rounds; the last words: {told}")


def _disturb(alive: list[str], draw: random.Random, found: Found) -> None:
    what = draw.choice(("scancel", "SIGKILL", "SIGTERM", "requeue"))
    if what in ("SIGKILL", "SIGTERM"):
        if steps := _steps():
            draw.choice(steps).send_signal(getattr(signal, what))
            found.done[what] += 1
        return
    running = [name for name, (state, _) in (queue() or {}).items() if state == "RUNNING"]
    if running:
        words = ["scancel"] if what == "scancel" else ["scontrol", "requeue"]
        subprocess.run([*words, draw.choice(running)], capture_output=True, check=False)
        found.done[what] += 1


def _steps() -> list[psutil.Process]:
    """Return the Python processes of this cluster's tasks."""
    own, steps = os.environ["SLURM_CONF"], []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if "submitit.core._submit" in words and process.environ().get("SLURM_CONF") == own:
                steps.append(process)
        except psutil.Error:
            continue
    return steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if why := loopback.lacking():
        raise SystemExit(why)
    place = Path(tempfile.mkdtemp())
    found = disturbed(place, args.kills, args.minutes, args.epochs, args.seed)
    shutil.rmtree(place)  # kept where something was wrong
    done = ", ".join(f"{number} {what}" for what, number in sorted(found.done.items()))
    print(
        f"{UNITS} units equal a single process's after {done}; {found.submissions} submissions, {found.seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
