"""Run the benchmarks and write their table: python -m benchmarks [--device cuda] [--only WORD] [--write FILE].

Every ratio is measured within one run, the two sides by turns, so that a busy machine touches both alike.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import tempfile
from pathlib import Path

from benchmarks.row import Row

CPU_TIME = (
    "Rows on CPU time count the CPU time of both sides, in user and system mode, instead of wall-clock time. Other "
    "work on the machine changes it less."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="", help="run the benchmarks whose name contains this word")
    parser.add_argument("--write", type=Path, help="write the table to this Markdown file")
    args = parser.parse_args()
    rows: list[Row] = []
    if args.write:
        args.write.parent.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command does; before torch is imported
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MEDBENCH_HOME"] = f"{folder}/home"
        os.environ["MEDBENCH_RUNS"] = f"{folder}/runs"
        for name, benchmark in benchmarks(args.device):
            if args.only in name:
                print(f"… {name}", file=sys.stderr)
                for row in benchmark(Path(folder), args.device):
                    rows.append(row)
                    print(row.line(), flush=True)
                    if args.write:  # after each one: an interrupted run still counts
                        args.write.write_text(page(rows, args.device), encoding="utf-8")
    if args.write:
        print(f"written: {args.write}")


def benchmarks(device: str) -> list:
    from benchmarks import (
        adaptation,
        adapters,
        alignment,
        bootstrap,
        cka,
        commands,
        coverage,
        extraction,
        heads,
        kills,
        neighbours,
        operating,
        ranks,
        refinement,
        regression,
        scale,
        significance,
        subgroups,
        tables,
        training,
        unit,
        zero_shot,
        zoo,
    )

    on_device = [
        ("adaptation", adaptation.run),
        ("cka", cka.run),
        ("extraction", extraction.run),
        ("corruptions", extraction.corrupted),
        ("heads", heads.run),
        ("training", training.run),
        ("alignment", alignment.run),
        ("refinement", refinement.run),
        ("memory", training.large),
        ("unit", unit.run),
        ("zero-shot", zero_shot.run),
        ("zoo", zoo.run),
    ]
    on_cpu = [
        ("adapters", adapters.run),
        ("neighbours", neighbours.run),
        ("regression", regression.run),
        ("bootstrap", bootstrap.run),
        ("coverage", coverage.run),
        ("operating points and calibration", operating.run),
        ("ranks", ranks.run),
        ("significance", significance.run),
        ("subgroups", subgroups.run),
        ("commands", commands.run),
        ("kills", kills.run),
        ("tables", tables.run),
        ("scale", scale.run),
    ]
    return on_device + (on_cpu if device == "cpu" else [])


def page(rows: list[Row], device: str) -> str:
    import torch

    machine = torch.cuda.get_device_name() if device.startswith("cuda") else cpu_name()
    lines = [
        f"# Benchmarks on {'a GPU' if device.startswith('cuda') else 'a CPU'}",
        "",
        f"Measured {datetime.datetime.now(tz=datetime.timezone.utc):%Y-%m-%d} on {machine}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, torch {torch.__version__}. Made by `make bench"
        f"{'-gpu' if device.startswith('cuda') else ''}`; both sides of a ratio are measured in one run.",
        "",
        *([] if device.startswith("cuda") else [CPU_TIME, ""]),
        "| what | ours | against | ratio | aim | met |",
        "|---|---|---|---|---|---|",
        *(row.cells() for row in rows),
    ]
    return "\n".join(lines) + "\n"


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
