"""One shell line per task, which may run any number of times: for PBS, LSF, Kubernetes, xargs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from medbench.runs.cluster.site import Site
from medbench.runs.cluster.stages import Stage
from medbench.runs.cluster.submit import TABLES


def lines(stages: Sequence[Stage], folder: Path, site: Site | None = None) -> Iterator[str]:
    """Yield one line per task, stage by stage. The lines of a stage may run at the same time, in any folder.

    Args:
        stages: The stages.
        folder: The frozen plan.
        site: Says how Python starts where the lines run, and which tasks run as several processes; None: Python starts
            as here, and no task does.
    """
    for stage in stages:
        for number, task in enumerate(stage.tasks):
            together = site.resources(stage.kind, task.model).processes if site else 1
            start = f" -m torch.distributed.run --standalone --nproc_per_node {together}" if together > 1 else ""
            yield f"{_python(site)}{start} -m medbench work {shlex.quote(str(folder.absolute()))} {stage.name} {number}"


def last_line(folder: Path, site: Site | None = None) -> str:
    """Return the line that writes the tables when all others have run."""
    return f"{_python(site)} -m medbench work {shlex.quote(str(folder.absolute()))} {TABLES}"


def _python(site: Site | None) -> str:
    """Return what starts Python in a shell: the site's setup lines, then Python with the site's variables."""
    python = (site.python if site else None) or shlex.quote(sys.executable)
    if site is None:
        return python
    given = "".join(f"{key}={shlex.quote(value)} " for key, value in site.env.items())
    return " && ".join([*site.setup, f"env {given}{python}" if given else python])
