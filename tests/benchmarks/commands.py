"""Wall time of the light commands, and of a plan that is finished already."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.pictures import labelled
from benchmarks.row import Row

MEDBENCH = [str(Path(sys.executable).parent / "medbench")]


def wall(words: list[str], rounds: int = 5) -> float:
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([*MEDBENCH, *words], check=True, capture_output=True)
        best = min(best, time.perf_counter() - start)
    return best


def run(folder: Path, device: str) -> list[Row]:
    rows = []
    for words, aim in ((["--help"], 0.3), (["ls", "models"], 0.5)):
        seconds = wall(words)
        rows.append(
            Row(f"medbench {' '.join(words)}", f"{seconds:.2f} s", "best of 5", None, f"≤ {aim} s", seconds <= aim)
        )
    plan = [
        "run",
        "--model",
        "toy-vit,toy-cnn",
        "--protocol",
        "linear-frozen",
        "--dataset",
        "toy,toy-binary,toy-multiclass,toy-multilabel",
    ]
    plan += [labelled(folder, 96)]
    plan[6] = ",".join(plan[6:])
    del plan[7:]
    plan += ["--seeds", "10", "--set", "views=1", "--set", "epochs=3", "--quiet", "--runs", str(folder / "runs100")]
    subprocess.run([*MEDBENCH, *plan], check=True, capture_output=True)
    units = len(list((folder / "runs100").rglob("record.json")))
    seconds = wall(plan, rounds=3)
    rows.append(
        Row(
            f"rerun of a finished plan of {units} units",
            f"{seconds:.2f} s",
            "best of 3",
            None,
            "≤ 2 s",
            seconds <= 2 and units == 100,
        )
    )
    return rows
