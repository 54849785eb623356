"""Benchmarks of one CUDA device within eight minutes: python -m benchmarks.gpu [--write FILE] [--minutes 8].

The parts come in order of importance. Each is a process of its own with a limit in time, and the table is written anew
after each: a part that hangs or fails costs its own rows alone, and a run that is cut still counts.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.row import Row

LAST_SECONDS = 10.0
"""Kept for the end of the run: no part may use them."""


@dataclass(frozen=True)
class Part:
    """A part: its name, `module:function` that gives rows of (folder, device), and the most seconds it may take."""

    name: str
    function: str
    seconds: float


PARTS = (
    Part("tests marked gpu", "benchmarks.gpu:gpu_tests", 60),
    Part("extraction by ViT-B", "benchmarks.extraction:vit_base", 80),
    Part("extraction by ViT-L", "benchmarks.extraction:vit_large", 80),
    Part("fine-tuning step", "benchmarks.training:run", 70),
    Part("linear-frozen unit", "benchmarks.unit:run", 90),
    Part("CKA", "benchmarks.cka:run", 50),
    Part("memory of a large step", "benchmarks.training:large", 30),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--write", type=Path, help="write the table to this Markdown file")
    parser.add_argument("--part", help="do one part alone, module:function, and print its rows as JSON")
    parser.add_argument("--folder", type=Path, help="where the parts keep what they share")
    args = parser.parse_args()
    if args.part:
        one(args.part, args.folder, args.device)
        return
    import torch

    if args.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("error: torch sees no CUDA device\nhint: medbench doctor says why; make bench measures the processor")
    with tempfile.TemporaryDirectory() as folder:
        measure(PARTS, Path(folder), args.device, args.minutes * 60, args.write)


def measure(parts: Sequence[Part], folder: Path, device: str, seconds: float, write: Path | None) -> list[Row]:
    """Do the parts one after the other, no longer than `seconds` in all; print rows, and write the table after each."""
    from benchmarks.__main__ import page

    end = time.monotonic() + seconds - LAST_SECONDS
    rows: list[Row] = []
    if write:
        write.parent.mkdir(parents=True, exist_ok=True)
    for part in parts:
        print(f"… {part.name}", file=sys.stderr)
        found = bounded(part, folder, device, min(part.seconds, end - time.monotonic()))
        print("\n".join(row.line() for row in found), flush=True)
        rows += found
        if write:
            draft = write.with_name(f".{write.name}.part")
            draft.write_text(page(rows, device), encoding="utf-8")
            draft.replace(write)
    return rows


def bounded(part: Part, folder: Path, device: str, seconds: float) -> list[Row]:
    """Return what a part's process printed within `seconds`, with a row that says so where it did not end well."""
    if seconds <= 0:
        return [unmeasured(part, "no time left")]
    command = [sys.executable, "-m", "benchmarks.gpu", "--part", part.function]
    command += ["--folder", str(folder), "--device", device]
    own = {**os.environ, "MEDBENCH_HOME": f"{folder}/home", "MEDBENCH_RUNS": f"{folder}/runs"}
    out, log = folder / "rows.jsonl", folder / "log.txt"
    with out.open("wb") as printed, log.open("wb") as said:
        child = subprocess.Popen(command, stdout=printed, stderr=said, env=own, start_new_session=True)
        try:
            status: int | None = child.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            end_all(child)
    whole = out.read_text(encoding="utf-8").split("\n")[:-1]  # a line that was cut has no end
    rows = [Row(**json.loads(line)) for line in whole if line.startswith("{")]
    if status is None:
        rows.append(unmeasured(part, f"not finished in {seconds:.0f} s"))
    elif status:
        last = log.read_text(encoding="utf-8", errors="replace").strip().split("\n")[-1]
        rows.append(unmeasured(part, f"failed: {last[:120]}"))
    return rows


def end_all(child: subprocess.Popen[bytes]) -> None:
    """End a part's process and its loader processes, if any is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, 9)
    child.wait()


def unmeasured(part: Part, why: str) -> Row:
    return Row(part.name, why.replace("|", "/"), "–", None, "–", False)


def one(function: str, folder: Path, device: str) -> None:
    """Print the rows of one part, each as soon as it is there."""
    module, name = function.split(":")
    rows: Iterable[Row] = getattr(importlib.import_module(module), name)(folder, device)
    for row in rows:
        print(json.dumps(dataclasses.asdict(row)), flush=True)


def gpu_tests(folder: Path, device: str) -> list[Row]:
    """The tests that need a CUDA device: files that hold one, so that no other is collected."""
    tests = Path(__file__).parents[1]
    files = sorted(str(file) for file in tests.rglob("test_*.py") if "mark.gpu" in file.read_text(encoding="utf-8"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", *files]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tests.parent, check=False)
    last = (done.stdout.strip() or done.stderr.strip()).split("\n")[-1].strip("= ")
    met = done.returncode == 0 and "passed" in last and "skipped" not in last
    return [Row(f"tests marked gpu, in {len(files)} files", last, "–", None, "all pass", met)]


if __name__ == "__main__":
    main()
