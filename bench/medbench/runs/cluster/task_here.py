"""The scheduler's task that this process is."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any


def task_here(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return node, job (such as 12_3) and number of lives of the Slurm task that this process is; else nothing."""
    if not (job := environment.get("SLURM_JOB_ID")):
        return {}
    if "SLURM_ARRAY_JOB_ID" in environment:
        job = f"{environment['SLURM_ARRAY_JOB_ID']}_{environment.get('SLURM_ARRAY_TASK_ID', '')}"
    lives = int(environment.get("SLURM_RESTART_COUNT") or 0) + 1
    return {"node": environment.get("SLURMD_NODENAME") or platform.node(), "job": job, "lives": lives}
