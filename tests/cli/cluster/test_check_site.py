"""`medbench doctor --site`: on a real Slurm where there is one, and where there is none."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from medbench.runs.cluster import probe
from medbench.runs.cluster.site import EXAMPLE
from medbench.storage.locks import exclusive
from medbench.storage.version import version

from ...runs.cluster.conftest import cluster, slurm  # noqa: F401 - fixtures


def found(medbench: Callable, site: Path, runs: Path) -> dict[str, tuple[str, str]]:
    done = medbench("doctor", "--site", site, "--runs", runs, "--json")
    return {row["what"]: (row["state"], row["detail"]) for row in json.loads(done.out)}


def test_a_site_that_fits_and_a_node_that_sees_this_machine(
    cluster: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
    medbench: Callable,
    isolated: Path,
    monkeypatch: pytest.MonkeyPatch,
    repo: Path,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(repo / "bench"))
    rows = found(medbench, cluster(env={"MEDBENCH_HOME": str(isolated / "home")}), tmp_path / "runs")
    assert {rows[kind][0] for kind in ("slurm", "prepare", "features", "heads", "train")} == {"ok"}
    node = next(name for name in rows if name.startswith("node of the default partition"))
    assert rows[node][1].endswith(f"medbench {version()}")
    assert rows[f"{node} files"] == ("ok", f"sees {tmp_path / 'runs'}")
    assert rows[f"{node} cache"] == ("ok", f"can see {isolated / 'home'}, which has the weights and prepared images")
    assert rows[f"{node} locks"] == ("ok", "a lock of this machine holds there")
    assert rows[f"{node} hub"][0] == "note"
    assert not list((tmp_path / "runs").iterdir()), "the probe leaves nothing"
    assert not list((isolated / "home").glob(".probe*"))


def test_what_slurm_would_refuse_is_told_by_class(
    cluster: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
    medbench: Callable,
) -> None:
    site = cluster({"partition": "gpus"}, env={"MEDBENCH_HOME": "/elsewhere"})
    rows = found(medbench, site, tmp_path / "runs")
    assert rows["train"] == ("wrong", "Slurm refuses it: allocation failure: Invalid partition name specified")
    assert rows["cache"][0] == "wrong"
    assert not any(name.startswith("node") for name in rows)


def test_python_that_is_not_there_is_told(
    cluster: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
    medbench: Callable,
) -> None:
    rows = found(medbench, cluster(python="/none/python"), tmp_path / "runs")
    (told,) = [row for name, row in rows.items() if name.startswith("node")]
    assert told[0] == "wrong"
    assert "medbench does not start there: " in told[1]


def test_without_slurm_it_says_so(tmp_path: Path, medbench: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "lab.yaml"
    site.write_text(yaml.safe_dump(yaml.safe_load(EXAMPLE)))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    done = medbench("doctor", "--site", site)
    assert done.status == 1
    assert "the command sbatch is not on this machine" in done.out


def test_a_node_with_a_cache_of_its_own_is_told(
    tmp_path: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch, medbench: Callable
) -> None:
    """The node is a process of this machine, which `srun` starts."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in {
        **dict.fromkeys(("sbatch", "squeue", "scancel", "sacct"), "exit 0"),
        "srun": f'export MEDBENCH_HOME={tmp_path}/own; while [ $1 != sh ]; do shift; done; exec "$@"',
    }.items():
        (commands / name).write_text(f"#!/bin/sh\n{text}\n")
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(commands), prepend=":")
    own = {"device": "cpu", "classes": {one: {} for one in ("prepare", "features", "heads", "train")}}
    site = tmp_path / "lab.yaml"
    site.write_text(yaml.safe_dump({**yaml.safe_load(EXAMPLE), "env": {}, "setup": [], "python": None, **own}))
    rows = found(medbench, site, tmp_path / "runs")
    (told,) = [row for name, row in rows.items() if name.endswith("cache") and name.startswith("node")]
    assert told[0] == "wrong"
    assert told[1].startswith(f"uses {tmp_path}/own and cannot see {isolated / 'home'}, ")


def test_a_node_tells_what_it_sees(tmp_path: Path, isolated: Path) -> None:
    cached = isolated / "home" / ".probe-1"
    cached.mkdir(parents=True)
    for folder in (tmp_path, cached):
        (folder / probe.WORD).write_text("a word")
    seen = probe.look(tmp_path, cached.name)
    assert (seen["word"], seen["locked"], seen["medbench"]) == ("a word", False, version())
    assert (seen["home"], seen["cached"]) == (str(isolated / "home"), "a word")
    assert abs(seen["time"] - time.time()) < 5
    with exclusive(tmp_path / probe.LOCK, ""):
        assert probe.look(tmp_path, "none")["locked"]
    assert probe.look(tmp_path / "none", "none")["word"] is None
    assert probe.look(tmp_path, "none")["cached"] is None
