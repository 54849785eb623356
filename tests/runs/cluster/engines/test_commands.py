"""`--on commands`: shell lines, run by xargs, two at a time, in any order."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ..conftest import World, same_as_single

pytestmark = pytest.mark.cluster


@pytest.mark.timeout(600)
def test_lines_run_by_xargs_make_what_a_single_process_makes(world: World, apart: Path, medbench) -> None:
    done = medbench(*world.words("toy-vit", "knn,linear-unfrozen", apart, "--on", "commands"))
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert [line.split()[-2] for line in lines] == ["prepare", "features", "heads", "train"]
    text = "\n".join(reversed(lines))  # the last ones first: a task does what it needs itself
    ran = subprocess.run(
        ["xargs", "-d", "\n", "-P", "2", "-I{}", "sh", "-c", "{}"], input=text, text=True, capture_output=True
    )
    assert ran.returncode == 0, ran.stderr
    assert same_as_single(world, apart) == 6
    logs = sorted(path.name for path in (apart / "logs").glob("*/*.txt"))
    assert logs == ["features-0.txt", "heads-0.txt", "prepare-0.txt", "train-0.txt"]
