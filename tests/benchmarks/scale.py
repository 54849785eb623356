"""100,000 units: their plan with all keys, its note, and `status` over them; in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from benchmarks.row import Row

MODELS, PROTOCOLS, DATASETS, SEEDS = 100, 100, 5, 2
UNITS = MODELS * PROTOCOLS * DATASETS * SEEDS
MOST_SECONDS, MOST_MB, MOST_STATUS = 15.0, 400.0, 3.0
T = TypeVar("T")
CARD = "arch: vit_tiny_patch16_224\nargs: {patch_size: 8, embed_dim: 48, depth: 2, num_heads: 2}\nunits: 2\n"


def run(folder: Path, device: str) -> list[Row]:
    from runs.conftest import write_pictures

    place = folder / "scale"
    for name in ("model_zoo", "protocols"):
        (place / "cards" / name).mkdir(parents=True)
    for i in range(MODELS):
        (place / "cards" / "model_zoo" / f"vit-{i}.yaml").write_text(CARD)
    for i in range(PROTOCOLS):
        text = f"{{kind: linear-frozen, defaults: {{views: 2, epochs: {i + 1}}}, presets: {{paper: {{}}}}}}"
        (place / "cards" / "protocols" / f"head-{i}.yaml").write_text(text)
    for i in range(DATASETS):
        write_pictures(place / f"d{i}", 30, seed=i)
    here = {"MEDBENCH_CARDS": str(place / "cards"), "MEDBENCH_HOME": str(place / "home")}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale", str(place)],
        env={**os.environ, **here},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    plan, status = found["plan"] + found["note"], found["status"]
    what = f"{UNITS:,} units of {MODELS * PROTOCOLS * DATASETS:,} jobs"
    return [
        _row(f"plan, keys and note of {what}, processor time", plan, "s", MOST_SECONDS),
        _row(f"plan, keys and note of {what}, memory of the process", found["mb"], "MB", MOST_MB),
        _row(f"status over {what}, none done, processor time", status, "s", MOST_STATUS),
    ]


def _row(what: str, value: float, unit: str, most: float) -> Row:
    return Row(what, f"{value:.3g} {unit}", "once", None, f"≤ {most:g} {unit}", value <= most)


def measure(place: Path) -> dict[str, float]:
    """Return the CPU seconds of each part, and the peak memory of this process until the note."""
    from medbench.records import pending
    from medbench.records.status import statuses
    from medbench.runs.jobs import Options
    from medbench.runs.plan import make_plan

    runs = place / "runs"
    sets = [str(place / f"d{i}" / "labels.csv") for i in range(DATASETS)]
    made, plan = _timed(lambda: make_plan("vit-*", "head-*", sets, Options(seeds=SEEDS, runs=runs, device="cpu")))
    todo, jobs = _timed(lambda: plan.todo)
    assert sum(len(job.keys) for job in jobs) == UNITS
    noted = pending.noted(runs, (planned for job in jobs for planned in job.planned))
    note, _ = _timed(noted.__enter__)
    mb = _most_mb()
    status, rows = _timed(lambda: statuses(runs))
    assert sum(row["planned"] for row in rows) == UNITS
    return {"plan": made + todo, "note": note, "status": status, "mb": mb}


def _most_mb() -> float:
    """Return the peak memory of this process; `ru_maxrss` would count that of the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def _timed(piece: Callable[[], T]) -> tuple[float, T]:
    start = time.process_time()
    found = piece()
    return time.process_time() - start, found


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
