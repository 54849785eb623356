"""One shell line per task, which may run any number of times: for PBS, LSF, Kubernetes, xargs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from medbench.runs.cluster.site import Site
from medbench.runs.cluster.stages import Stage


def lines(stages: Sequence[Stage], folder: Path, python: str, site: Site | None = None) -> Iterator[str]:
    """Yield one line per task, stage by stage. The lines of a stage may run at the same time.

    Args:
        stages: The stages.
        folder: The frozen plan.
        python: Command that runs Python where the lines run.
        site: Says which tasks run as several processes; None: no task does.
    """
    for stage in stages:
        for number, task in enumerate(stage.tasks):
            together = site.resources(stage.kind, task.model).processes if site else 1
            start = f" -m torch.distributed.run --standalone --nproc_per_node {together}" if together > 1 else ""
            yield f"{python}{start} -m medbench work {shlex.quote(str(folder))} {stage.name} {number}"
