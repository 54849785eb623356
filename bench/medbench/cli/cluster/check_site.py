"""`medbench doctor --site`: whether the site file fits the cluster, and its nodes see what this machine sees."""

from __future__ import annotations

import contextlib
import json
import secrets
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench.doctor import Diagnosis
from medbench.errors import MedbenchError
from medbench.runs.cluster.site import Resources, Site

PATIENCE = 90
"""Seconds for a node to become free."""
CLOCKS = 5.0
"""Seconds by which two clocks may differ: files are distinguished by their times."""


def check(site: Site, runs: Path, home: Path) -> Iterator[Diagnosis]:
    """Check a site file and the nodes that it names. A probe with a time limit of one minute runs in each partition.

    Args:
        site: The site.
        runs: The run store.
        home: The cache.
    """
    from medbench.runs.cluster.engines import slurm, squeue

    try:
        slurm.check()
    except MedbenchError as error:
        yield Diagnosis("slurm", "wrong", f"{error.message}; {error.hint}")
        return
    yield Diagnosis("slurm", "ok", (squeue.told("sbatch", "--version") or "").strip())
    own = site.env.get("MEDBENCH_HOME")
    if own is not None and Path(own).expanduser() != home:
        yield Diagnosis(
            "cache", "wrong", f"workers use {own}, this machine {home}: export MEDBENCH_HOME={own} before you submit"
        )
    seen: dict[str | None, Resources] = {}
    for kind, pattern, wanted in site.named():
        found = _accepted(f"{kind} {pattern}".strip(), wanted, site)
        yield found
        if found.state == "ok":
            seen.setdefault(wanted.partition, wanted)
    for resources in seen.values():
        yield from _probed(resources, site, runs, home)


def _accepted(what: str, own: Resources, site: Site) -> Diagnosis:
    """Ask Slurm whether it would take a task of these resources; nothing is submitted."""
    words = ["sbatch", "--test-only", *_options(own, site), "--wrap=true"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    said = [line.removeprefix("sbatch: ").removeprefix("error: ") for line in done.stderr.splitlines() if line.strip()]
    if done.returncode:
        return Diagnosis(what, "wrong", f"Slurm refuses it: {said[-1] if said else 'without a message'}")
    return Diagnosis(what, "ok", f"{own.partition or 'default partition'}: {said[-1] if said else 'accepted'}")


def _options(own: Resources, site: Site, minutes: int | None = None) -> list[str]:
    given = {
        "partition": own.partition,
        "time": minutes or own.minutes,
        "cpus-per-task": own.cpus,
        "ntasks": max(1, own.gpus),
        "mem": f"{round(own.memory_gb * 1024)}M",
        "constraint": own.constraint,
        "gpus-per-node": own.gpus or None,
        **site.extra,
    }
    return [f"--{name}={value}" for name, value in given.items() if value is not None]


@dataclass(frozen=True)
class _Seen:
    """What a node says, and the word that it should have read."""

    told: dict[str, Any] | str
    word: str
    offset: float = 0.0


def _probed(own: Resources, site: Site, runs: Path, home: Path) -> Iterator[Diagnosis]:
    """Yield what a node of a partition sees of this machine's run store and cache."""
    what = f"node of {own.partition or 'the default partition'}"
    found = _look(own, site, runs, home)
    if isinstance(found.told, str):
        yield Diagnosis(what, "wrong", found.told)
        return
    told = found.told
    node = f"{what} ({told['node']})"
    from medbench.storage.version import version

    same = told["medbench"] == version()
    yield Diagnosis(node, "ok" if same else "wrong", f"Python {told['python']}, medbench {told['medbench']}"
                    + ("" if same else f", but {version()} here: install the same version"))  # fmt: skip
    if told["word"] != found.word:
        yield Diagnosis(f"{node} files", "wrong", f"cannot see {runs}: give --runs a folder that all nodes share")
        return
    yield Diagnosis(f"{node} files", "ok", f"sees {runs}")
    if told["cached"] == found.word:
        yield Diagnosis(f"{node} cache", "ok", f"can see {home}, which has the weights and prepared images")
    else:
        seen = f"uses {told['home']} and cannot see {home}, which has the weights"
        todo = "set MEDBENCH_HOME here and in `env` to a folder that all nodes share"
        yield Diagnosis(f"{node} cache", "wrong", f"{seen}: {todo}")
    locks = (
        "holds there" if told["locked"] else "has no effect there: tasks may do the same work twice, with equal results"
    )
    yield Diagnosis(f"{node} locks", "ok" if told["locked"] else "note", f"a lock of this machine {locks}")
    late = abs(found.offset)
    yield Diagnosis(f"{node} clock", "ok" if late <= CLOCKS else "note", f"differs by at most {late:.1f} s")
    if not told["offline"]:
        yield Diagnosis(
            f"{node} hub", "note", "HF_HUB_OFFLINE is not set: if the nodes have no network, add it to `env`"
        )


@contextlib.contextmanager
def _shown(place: Path, word: str) -> Iterator[Path]:
    """Yield a new folder in `place` with a word that a node should read there."""
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".probe-", dir=place) as name:
        folder = Path(name).absolute()
        (folder / "word.txt").write_text(word)
        yield folder


def _look(own: Resources, site: Site, runs: Path, home: Path) -> _Seen:
    from medbench.storage.locks import exclusive

    word = secrets.token_hex(8)
    with _shown(runs, word) as folder, _shown(home, word) as cached:
        python = site.python or shlex.quote(sys.executable)
        lines = [f"export {key}={shlex.quote(value)}" for key, value in site.env.items()] + site.setup
        script = "\n".join(
            [*lines, f"{python} -m medbench.runs.cluster.probe {shlex.quote(str(folder))} {cached.name}"]
        )
        small = own.model_copy(update={"cpus": 1, "memory_gb": 0.5, "gpus": min(1, own.gpus)})
        options = _options(small, site, minutes=1)
        words = ["srun", "--quiet", f"--immediate={PATIENCE}", *options, "sh", "-c", script]
        try:
            with exclusive(folder / "lock", ""):
                done = subprocess.run(words, capture_output=True, text=True, timeout=2 * PATIENCE, check=False)  # noqa: S603
        except subprocess.TimeoutExpired:
            return _Seen(f"no node was free within {PATIENCE} seconds: try again later", word)
        except MedbenchError as error:
            return _Seen(error.message, word)
        now = time.time()
    try:
        told = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        said = [line for line in done.stderr.splitlines() if line.strip()]
        return _Seen(f"medbench does not start there: {said[-1] if said else f'exit status {done.returncode}'}", word)
    return _Seen(told, word, told["time"] - now)
