"""On a real Slurm: stages of jobs that depend on each other make what a single process makes, bit for bit."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from medbench.runs.cluster.engines.squeue import ALIVE, queue

from ..conftest import ALL, World, same_as_single, tables_of

pytestmark = pytest.mark.cluster


def wait(seconds: float = 800.0) -> None:
    end = time.monotonic() + seconds
    while any(state in ALIVE for state, _ in (queue() or {}).values()):
        assert time.monotonic() < end, queue()
        time.sleep(0.2)


@pytest.mark.timeout(900)
def test_29_units_in_dependent_stages_are_those_of_a_single_process(
    world: World, apart: Path, cluster: Callable[..., Path], medbench
) -> None:
    request = world.words("toy-vit@tiny-dino,toy-vit", ALL, apart, "--on", "slurm", "--site", cluster())
    done = medbench(*request)
    assert done.status == 0, done.err
    again = medbench(*request)
    assert "nothing to submit: the 29 unfinished units are already queued" in again.err
    wait()
    assert same_as_single(world, apart) == 29
    assert tables_of(apart) == tables_of(world.runs)
    assert "nothing to submit: all units are done" in medbench(*request).err
