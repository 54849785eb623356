"""Runs that are killed at random moments, over all protocols: the next run must end in the same numbers.

As a benchmark it kills a few times; for more: PYTHONPATH=tests python -m benchmarks.kills --kills 200 [--seed N].

Children are forked from a process that has imported everything, so that moments fall into the work.
States and parts are written at every occasion, so that there is always something half done.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import itertools
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.pictures import described, labelled
from benchmarks.row import Row

FEW, IMAGES, IN_A_ROW = 15, 48, 3
DRAWN = {"seeds": 2, "workers": 0, "device": "cpu"}
FROZEN = {"views": 2, "epochs": 4, "learning_rates": [1e-3, 1e-1], "batch_size": 16}
TRAINED = {"epochs": 2, "batch_size": 16, "learning_rates": [3e-3, 1e-3], "warmup_epochs": 1}
STACKED = TRAINED | {"views": 2, "classifier": "toy-vit"}
DINO = {"epochs": 2, "batch_size": 16, "hidden": 32, "bottleneck": 16, "outputs": 64, "local_crops": 2}
DINO |= {"local_size": 32, "warmup_steps": 2, "teacher_warmup": 1, "k": 5}
SHOTS = {"shots": [1, 2], "val": "none"}
ADAPTED = SHOTS | {"views": 0, "epochs": 4}
PAIRED = {"epochs": 2, "batch_size": 8, "image_size": 32, "bert_width": 16, "bert_heads": 2, "max_tokens": 12}
JOBS: dict[str, tuple[str, dict[str, Any]]] = {
    "knn": ("toy-vit", {"k": 5}),
    "nearest-mean": ("toy-cnn", {}),
    "linear-frozen": ("toy-vit,toy-cnn", FROZEN),
    "linear-probe": ("toy-vit", {}),
    "linear-unfrozen": ("toy-cnn", TRAINED),
    "lp-ft": ("toy-vit", TRAINED),
    "freeze": ("toy-vit", TRAINED | {"views": 2, "frozen": [0, 1]}),
    "deit-frozen": ("toy-vit", STACKED),
    "deit-unfrozen": ("toy-vit", {k: v for k, v in STACKED.items() if k != "views"}),
    "decapitate-frozen": ("toy-vit", STACKED | {"kept": [1]}),
    "decapitate-unfrozen": ("toy-vit", {k: v for k, v in STACKED.items() if k != "views"} | {"kept": [1]}),
    "cka": ("toy-vit", TRAINED | {"images": 16, "batch": 8}),
    "cka-models": ("toy-vit", TRAINED | {"images": 16, "batch": 8}),
    "dino-pretrain": ("toy-cnn", DINO),
    "zero-shot": ("toy-clip", {}),
    "few-shot": ("toy-vit", SHOTS),
    "clip-adapter": ("toy-clip", SHOTS | {"epochs": 4}),
    "tip-adapter": ("toy-clip", SHOTS | {"views": 0}),
    "tip-adapter-f": ("toy-clip", ADAPTED),
    "clap": ("toy-clip", ADAPTED),
    "zs-lp": ("toy-clip", ADAPTED),
    "lp++": ("toy-clip", SHOTS),
    "lora": ("toy-vit", TRAINED),
    "bitfit": ("toy-cnn", TRAINED),
    "norm-tuning": ("toy-cnn", TRAINED),
    "visual-prompt": ("toy-vit", TRAINED),
    "attentive-probe": ("toy-vit", {"epochs": 4, "learning_rates": [1e-3, 1e-2], "batch_size": 16}),
    "flair-pretrain": ("toy-vit", PAIRED | {"dim": 16, "k": 3}),
    "retfiner": ("toy-vit", PAIRED | {"joint_width": 8, "drop_path": None}),
    "timing": ("toy-cnn", {"classifier": "linear", "batches": [1, 2], "warmup": 1, "repeats": 2}),
}
"""Protocol -> models and settings, all tiny."""
TEXTS = {"flair-pretrain", "retfiner"}
"""Protocols that read images with texts."""
MEASURED = {"timings", "counts", "provenance"}
"""Fields of a record that say how long something took, and when and where."""


@dataclass
class Found:
    """What came of all kills.

    Attributes:
        kills: Processes that were killed before they ended.
        missed: Processes that had ended before their moment came.
        seconds: Wall time, without the undisturbed runs.
        faults: What differs from the undisturbed run, was left over, or failed.
    """

    kills: int = 0
    missed: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Calm:
    """An undisturbed run: its wall time, the content of its run store, and all files that it leaves."""

    seconds: float
    content: dict[str, object]
    files: set[str]


def run(folder: Path, device: str) -> list[Row]:
    found = kill_at_random(folder, FEW, 0)
    what = f"{found.kills} random kills over {len(JOBS)} protocols, {found.seconds / max(1, found.kills):.1f} s a kill"
    faults = f"{len(found.faults)} differences, left-overs or failures"
    return [Row(what, faults, "undisturbed runs", None, "0", not found.faults)]


def kill_at_random(folder: Path, kills: int, seed: int, protocols: list[str] | None = None) -> Found:
    """Kill runs, up to IN_A_ROW times on one store before it is finished, until there were `kills` kills."""
    _import_everything()
    plain, paired = labelled(folder, IMAGES, side=48), described(folder, IMAGES, side=48)
    draw, found = random.Random(seed), Found()
    names, calm = protocols or list(JOBS), dict[str, Calm]()
    in_a_row = min(IN_A_ROW, math.ceil(kills / len(names)))
    for name in itertools.cycle(names):
        data = paired if name in TEXTS else plain
        if found.kills >= kills or found.missed > 2 * kills + 10:
            return found
        if name not in calm:
            calm[name] = _undisturbed(folder / "calm", name, data)
        start, place = time.perf_counter(), folder / "killed"
        for _ in range(min(in_a_row, kills - found.kills)):
            child = _start(place, name, data)
            time.sleep(draw.uniform(0, calm[name].seconds))
            hit = _kill(child)
            found.kills, found.missed = found.kills + hit, found.missed + (not hit)
            if not hit:
                break
        faults = [f"{name}: {fault}" for fault in _finish(place, name, data, calm[name])]
        found.seconds += time.perf_counter() - start
        found.faults += faults
        print("\n".join([f"… {found.kills} kills, {name}", *faults]), file=sys.stderr, flush=True)
        shutil.rmtree(place, ignore_errors=True)
    raise AssertionError  # the cycle has no end


def _import_everything() -> None:
    from medbench.cards.recipes import KINDS
    from medbench.features import extract
    from medbench.training import steps
    from medbench.training.heads import grid

    for module in ("accelerate", "pandas", "pyarrow.parquet", "scipy.stats", "sklearn.linear_model", "timm", "torch"):
        importlib.import_module(module)
    for module in ("api", "runs.execute", "report.tables.dataset_table"):
        importlib.import_module(f"medbench.{module}")
    for kind in KINDS.values():
        importlib.import_module(f"medbench.protocols.{kind.module or kind.name.replace('-', '_')}")
    extract.PART_SECONDS = grid.CHECKPOINT_SECONDS = steps.CHECKPOINT_SECONDS = 0.0


def _start(place: Path, name: str, data: str) -> int:
    """Fork a process, the leader of its group, that runs a protocol in a cache and a run store below `place`."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        place.mkdir(parents=True, exist_ok=True)
        for number in (1, 2):
            os.dup2(os.open(place / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        _work(place, name, data)
        status = 0
    except BaseException as error:  # noqa: BLE001 the parent shows it
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(status)


def _work(place: Path, name: str, data: str) -> None:
    import torch

    import medbench

    torch.set_num_threads(1)
    os.environ["MEDBENCH_HOME"] = str(place / "home")
    models, changes = JOBS[name]
    medbench.run(models, name, data, set=changes, runs=place / "runs", **DRAWN)


def _kill(child: int) -> bool:
    """Kill a process and those it started; tell whether it still ran."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):  # it has no group of its own yet
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def _undisturbed(place: Path, name: str, data: str) -> Calm:
    start = time.perf_counter()
    status = os.waitstatus_to_exitcode(os.waitpid(_start(place, name, data), 0)[1])
    if status:
        raise SystemExit(f"the undisturbed run of {name} failed:\n{(place / 'said.txt').read_text()}")
    calm = Calm(time.perf_counter() - start, content(place / "runs", timed=name == "timing"), names_of(place))
    shutil.rmtree(place)
    return calm


def _finish(place: Path, name: str, data: str, calm: Calm) -> list[str]:
    """Run to the end; return what differs from the undisturbed run and what was left over."""
    if os.waitstatus_to_exitcode(os.waitpid(_start(place, name, data), 0)[1]):
        return ["failed: " + (place / "said.txt").read_text().strip().split("\n")[-1]]
    now = content(place / "runs", timed=name == "timing")
    both = sorted(now.keys() | calm.content.keys())
    faults = [f"differs: {file}" for file in both if now.get(file) != calm.content.get(file)]
    files = names_of(place)
    faults += [f"left over: {file}" for file in sorted(files - calm.files)]
    return faults + [f"lacks: {file}" for file in sorted(calm.files - files - calm.content.keys())]


def content(runs: Path, timed: bool) -> dict[str, object]:
    """Return file -> content of a run store, without measured times; `timed`: the numbers themselves are times."""
    found: dict[str, object] = {}
    for path in sorted(path for path in runs.rglob("*") if path.is_file()):
        name = str(path.relative_to(runs))
        if path.name == "record.json":
            record = json.loads(path.read_bytes())
            dropped = MEASURED | ({"metrics", "metrics_val", "chosen", "selection"} if timed else set())
            found[name] = {key: value for key, value in record.items() if key not in dropped}
        elif path.suffix == ".safetensors":
            found[name] = tensors_of(path.read_bytes())
        elif path.name != "log.txt" and not timed:
            found[name] = path.read_bytes()
    return found


def tensors_of(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return header and data of a safetensors file: the order of what its header says differs between processes."""
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def names_of(place: Path) -> set[str]:
    """Return all files below `place`, without cached intervals: their names depend on the time of their records."""
    found = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith("home/inference/") or name.endswith(".part")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=FEW)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="protocols; default: all")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = kill_at_random(Path(folder), args.kills, args.seed, args.only)
    each = found.seconds / max(1, found.kills)
    print(f"{found.kills} kills ({found.missed} came too late), {len(found.faults)} faults, {each:.1f} s a kill")
    sys.exit(bool(found.faults))


if __name__ == "__main__":
    main()
