"""`--on commands`: shell lines, run by xargs, two at a time, in any order."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ..conftest import World, same_as_single


def test_lines_run_by_xargs_make_what_a_single_process_makes(world: World, apart: Path, medbench) -> None:
    done = medbench(*world.words("toy-vit", "knn,linear-frozen,linear-unfrozen", apart, "--on", "commands"))
    assert done.status == 0, done.err
    lines = done.out.splitlines()
