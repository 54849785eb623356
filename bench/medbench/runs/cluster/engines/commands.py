"""One shell line per task, which may run any number of times: for PBS, LSF, Kubernetes, xargs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from medbench.runs.cluster.stages import Stage


def lines(stages: Sequence[Stage], folder: Path, python: str) -> Iterator[str]:
    """Yield one line per task, stage by stage. The lines of a stage may run at the same time.

    Args:
        stages: The stages.
        folder: The frozen plan.
        python: Command that runs Python where the lines run.
    """
    for stage in stages:
        for number in range(len(stage.tasks)):
            yield f"{python} -m medbench work {shlex.quote(str(folder))} {stage.name} {number}"
