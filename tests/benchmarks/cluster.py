"""A cluster that is disturbed all the time must end in the numbers of a single process; needs root and Slurm.

PYTHONPATH=tests python -m benchmarks.cluster [--kills 10] [--every-protocol] [--minutes 10] [--epochs 1] [--seed 0]
PYTHONPATH=tests python -m benchmarks.cluster --speedup

A loopback Slurm runs units in dependent stages, again and again from nothing until there were `--kills` disturbances.
At random moments a task is cancelled or requeued, or its process gets SIGKILL, SIGTERM or SIGUSR2; two commands submit
at the same time whenever nothing is left in the queue. With --minutes 1 and enough --epochs tasks also run into their
time limit and are queued again. `--speedup` measures two workers against one, on a cluster that nothing disturbs.
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

import torch
import yaml

from medbench import cards
from medbench.cli import main as medbench
from medbench.records import store
from medbench.runs.cluster.engines.squeue import ALIVE, queue
from runs.cluster import loopback
from runs.cluster.conftest import ALL, DINO, World, same_as_single, tables_of
from runs.conftest import write_pictures

MOST_ROUNDS = 40
RUN = [sys.executable, "-m", "medbench"]
SHORTEST = {"epochs": 1, "views": 1, "learning_rates": "[1e-3]", "shots": 2, "frozen": 2, "kept": 2}


@dataclass
class Found:
    """What came of it.

    Attributes:
        units: Units of the request.
        runs: How often it was run from nothing to the end.
        done: What was done to tasks -> how often.
        submissions: Commands that submitted something.
        seconds: From the first submission to the last record, over all runs.
        twice: Records that were written a second time.
    """

    units: int = 0
    runs: int = 0
    done: Counter[str] = field(default_factory=Counter)
    submissions: int = 0
    seconds: float = 0.0
    twice: list[Path] = field(default_factory=list)


def disturbed(folder: Path, kills: int, minutes: int, epochs: int, seed: int, *, every: bool) -> Found:
    """Run a request on a disturbed cluster until there were `kills` kills; compare with a single process, bit for bit.

    Args:
        folder: Where all of it happens.
        kills: Disturbances.
        minutes: Time limit of tasks.
        epochs: Of trainings.
        seed: Of the moments and kinds of disturbances.
        every: Whether to run every protocol but timing, on a pair of towers; else six on a transformer, before and
            after pre-training.
    """
    world, found, draw = _world(folder), Found(), random.Random(seed)

    def words(runs: Path, *more: str | Path) -> list[str]:
        if not every:
            return world.words("toy-vit@tiny-dino,toy-vit", ALL, runs, "--set", f"epochs={epochs}", *more)
        changes = [
            word for key, value in (SHORTEST | {"epochs": epochs}).items() for word in ("--set", f"{key}={value}")
        ]
        # timing measures seconds, which are never equal
        protocols = ",".join(name for name in cards.names("protocols") if name not in ("timing", "tiny-dino"))
        asked = ["--model", "toy-clip", "--protocol", protocols, "--dataset", "toy", *changes, "--seeds", "1"]
        return ["run", *asked, "--runs", str(runs), "--workers", "0", "--device", "cpu", "--quiet", *map(str, more)]

    torch.set_num_threads(1)
    os.environ["MEDBENCH_HOME"] = str(folder / "single" / "home")
    assert medbench(words(world.runs)) == 0
    found.units = len(list(store.read_all(world.runs)))
    with loopback.running(folder / "slurm") as variables:
        os.environ.update(variables)
        while found.done.total() < kills:
            place = folder / f"cluster-{found.runs}"
            os.environ["MEDBENCH_HOME"] = str(place / "home")
            request = words(place / "runs", "--on", "slurm", "--site", _site(folder, minutes))
            _until_done(request, place / "runs", kills, draw, found)
            assert same_as_single(world, place / "runs") == found.units
            assert tables_of(place / "runs") == tables_of(world.runs)
            assert not found.twice
            found.runs += 1
            shutil.rmtree(place)
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


def _until_done(request: list[str], runs: Path, kills: int, draw: random.Random, found: Found) -> None:
    """Submit by two commands at once until nothing is left to submit; disturb what runs."""
    start, seen = time.perf_counter(), dict[Path, int]()
    for _ in range(MOST_ROUNDS):
        both = [subprocess.Popen([*RUN, *request], stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
        told = [one.communicate()[1].decode() for one in both]
        if all("all units are done" in text for text in told):
            found.seconds += time.perf_counter() - start
            return
        found.submissions += sum("nothing to submit" not in text for text in told)
        while alive := [name for name, (state, _) in (queue() or {}).items() if state in ALIVE]:
            time.sleep(draw.uniform(0.5, 6.0))
            if found.done.total() < kills:
                _disturb(alive, draw, found)
            for record in runs.glob(f"*/*/*/*/{store.RECORD}"):
                now = record.stat().st_mtime_ns
                found.twice += [record] if seen.setdefault(record, now) != now else []
        print(
            f"… {found.done.total()}: {dict(found.done)}, {found.submissions} submissions", file=sys.stderr, flush=True
        )
    raise SystemExit(f"not done after {MOST_ROUNDS} rounds; the last words: {told}")


def _disturb(alive: list[str], draw: random.Random, found: Found) -> None:
    what = draw.choice(("scancel", "SIGKILL", "SIGTERM", "SIGUSR2", "requeue"))
    if what.startswith("SIG"):
        if steps := loopback.steps():
            draw.choice(steps).send_signal(getattr(signal, what))
            found.done[what] += 1
        return
    running = [name for name, (state, _) in (queue() or {}).items() if state == "RUNNING"]
    if running:
        words = ["scancel"] if what == "scancel" else ["scontrol", "requeue"]
        subprocess.run([*words, draw.choice(running)], capture_output=True, check=False)
        found.done[what] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--every-protocol", action="store_true")
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--speedup", action="store_true", help="measure two workers against one instead")
    args = parser.parse_args()
    if why := loopback.lacking():
        raise SystemExit(why)
    place = Path(tempfile.mkdtemp())
    if args.speedup:
        from benchmarks.cluster_speed import measured

        for line in measured(place):
            print(line)
    else:
        found = disturbed(place, args.kills, args.minutes, args.epochs, args.seed, every=args.every_protocol)
        done = ", ".join(f"{number} {what}" for what, number in sorted(found.done.items()))
        print(
            f"{found.done.total()} disturbances ({done}) in {found.runs} runs of {found.units} units: all equal a "
            f"single process's, none was done twice; {found.submissions} submissions, {found.seconds:.0f} s"
        )
    shutil.rmtree(place)  # kept where something was wrong


if __name__ == "__main__":
    main()
