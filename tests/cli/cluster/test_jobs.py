"""`medbench logs` without Slurm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def test_without_a_submission_it_names_the_folder_of_the_logs(tmp_path: Path, medbench: Callable) -> None:
    done = medbench("logs", "toy/toy-vit", "--runs", tmp_path)
    assert done.status == 2
    assert f"no tasks were submitted to Slurm from {tmp_path}" in done.err
    assert f"logs of --on node and --on commands are in {tmp_path / 'logs'}" in done.err
