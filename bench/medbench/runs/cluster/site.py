"""The site file: the machines of a cluster, which tasks run on which, and how a worker starts there."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from medbench.cards.base import Card, Strict
from medbench.cards.load import load_card
from medbench.errors import MedbenchError

Class = Literal["prepare", "features", "heads", "train"]
"""What a task needs a machine for."""
CLASSES: tuple[Class, ...] = ("prepare", "features", "heads", "train")
GPU_CLASSES: tuple[Class, ...] = ("features", "train")
"""Classes whose tasks compute on a GPU; the others do on processors."""

EXAMPLE = """\
# lab.yaml: give it with --site, name it in MEDBENCH_SITE, or save it as ~/.config/medbench/site.yaml
engine: slurm
device: cuda          # of the workers; medbench does not look for a GPU on the machine that submits
precision: bf16       # what --precision auto means on the workers
env: {MEDBENCH_HOME: /scratch/lab/medbench, MEDBENCH_DATA: /data/med, HF_HUB_OFFLINE: "1"}
setup: [module load cuda]
python: /proj/lab/venv/bin/python
extra: {account: med-ai}
at_once: 64
classes:
  prepare:  {partition: cpu, cpus: 16, memory_gb: 32, minutes: 240}
  features: {partition: gpu, gpus: 1, cpus: 8, memory_gb: 64, minutes: 120}
  heads:    {partition: cpu, cpus: 4, memory_gb: 16, minutes: 120}
  train:    {partition: gpu, gpus: 1, cpus: 8, memory_gb: 64, minutes: 1440, requeues: 20}
models: {"*-giant": {train: {gpus: 4}}}
"""


class Resources(Strict):
    """What one task of a class gets."""

    partition: str | None = Field(None, description="Slurm partition; default: the cluster's default.")
    gpus: int = Field(
        0, ge=0, le=64, description="Number of GPUs; several GPUs (class `train` only) have one process each."
    )
    cpus: int = Field(4, gt=0, le=1024, description="Number of CPU cores of each process.")
    memory_gb: float = Field(16, gt=0, description="Memory of all processes together, in GB.")
    minutes: int = Field(
        120, gt=0, le=43_200, description="Time limit in minutes; it starts again when a task is requeued."
    )
    requeues: int = Field(
        10, ge=0, le=1_000, description="How often a task that reached its time limit is queued again."
    )
    constraint: str | None = Field(None, description="Slurm features (constraint) that the node must have.")

    @property
    def processes(self) -> int:
        """Number of processes that run one task together."""
        return max(1, self.gpus)


def _as_text(value: Any) -> Any:
    """Return a number as text; YAML reads yes, no, true and false as truth values, whose spelling is lost."""
    if isinstance(value, bool):
        raise ValueError("is a truth value of YAML: put the text in quotes")
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[str, BeforeValidator(_as_text)]
"""A text; a number is read as a text."""


class Site(Card):
    """A cluster, or a machine with several GPUs."""

    checked_by: ClassVar[str] = "medbench doctor --site"

    engine: Literal["slurm"] = Field("slurm", description="Program that starts the tasks.")
    device: Literal["cuda", "cpu"] = Field("cuda", description="Device of the workers, in classes of tasks with GPUs.")
    precision: Literal["fp32", "bf16", "fp16"] = Field(description="Precision of the workers if --precision is auto.")
    env: dict[str, Text] = Field(default_factory=dict, description="Environment variables of the workers.")
    setup: list[str] = Field(default_factory=list, description="Shell commands before Python starts.")
    python: str | None = Field(
        None, description="Command that runs Python on the workers; default: the Python that submits."
    )
    extra: dict[str, Text] = Field(default_factory=dict, description="Further options for sbatch, such as account.")
    srun_args: list[str] = Field(default_factory=list, description="Arguments for srun.")
    at_once: int = Field(64, gt=0, description="Number of tasks of one array that may run at the same time.")
    signal_seconds: int = Field(
        120, gt=0, description="Number of seconds before its time limit at which a task saves its state."
    )
    chunk_minutes: float = Field(20, gt=0, description="Small jobs are joined to tasks of about this many minutes.")
    classes: dict[Class, Resources] = Field(description="Class of tasks -> resources of one task.")
    models: dict[str, dict[Class, Resources]] = Field(
        default_factory=dict, description="Pattern of model names -> class of tasks -> resources that differ."
    )

    @field_validator("precision", mode="before")
    @classmethod
    def _settled(cls, value: Any) -> Any:
        if value == "auto":
            raise ValueError("'auto' depends on the machine: give the precision of the workers (bf16 on new GPUs)")
        return value

    @field_validator("classes")
    @classmethod
    def _complete(cls, classes: dict[Class, Resources]) -> dict[Class, Resources]:
        if absent := [name for name in CLASSES if name not in classes]:
            raise ValueError(f"no resources for {', '.join(absent)}")
        return classes

    @model_validator(mode="after")
    def _valid(self) -> Site:
        for kind, _, own in self.named():
            if own.gpus > 1 and kind != "train":
                raise ValueError(f"{kind}: only tasks of class train can use several GPUs")
        return self

    def resources(self, kind: Class, model: str = "") -> Resources:
        """Return what a task gets: its class's, with what the first pattern that fits the model changes."""
        own = self.classes[kind]
        for pattern, changed in self.models.items():
            if fnmatch.fnmatchcase(model, pattern) and kind in changed:
                return _changed(own, changed[kind])
        return own

    def every(self) -> Iterator[Resources]:
        """Yield the resources of all classes, and those that models have of their own."""
        yield from (own for _, _, own in self.named())

    def named(self) -> Iterator[tuple[Class, str, Resources]]:
        """Yield (class, pattern of model names, resources); the pattern is empty for the class itself."""
        yield from ((kind, "", own) for kind, own in self.classes.items())
        for pattern, changed in self.models.items():
            yield from ((kind, pattern, _changed(self.classes[kind], changes)) for kind, changes in changed.items())

    def processes(self) -> tuple[tuple[str, int], ...]:
        """Return (pattern of model names, processes that train such a model); the first that fits counts."""
        own = self.classes["train"]
        found = [(name, _changed(own, changed["train"])) for name, changed in self.models.items() if "train" in changed]
        return tuple((pattern, resources.processes) for pattern, resources in (*found, ("*", own)))


def _changed(own: Resources, changes: Resources) -> Resources:
    """Return a class's resources with those fields that a model's entry gives."""
    return own.model_copy(update=changes.model_dump(exclude_unset=True))


def find_site(given: Path | None, environment: Mapping[str, str] = os.environ) -> Site:
    """Return the site of a file: the given one, else that of MEDBENCH_SITE, else the user's own.

    Raises:
        MedbenchError: There is none, or it is not valid.
    """
    named = given or (Path(environment["MEDBENCH_SITE"]) if environment.get("MEDBENCH_SITE") else None)
    path = named or Path.home() / ".config" / "medbench" / "site.yaml"
    if not path.is_file():
        raise MedbenchError(
            f"--on slurm needs a site file, and there is none at {path}",
            f"write one and give it with --site FILE, such as:\n{EXAMPLE}",
        )
    return load_card(path, Site)
