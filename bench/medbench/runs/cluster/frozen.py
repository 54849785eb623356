"""A plan in files: jobs as JSON, samples as parquet. A worker reads it as it was made, and plans nothing itself.

A folder holds `plan.json` (versions), `things.json` (what jobs share, by digest), `jobs.jsonl` (one job a line) and
`data/` (the samples of each data set). The reader checks each job's key. It refuses a plan of another version
of medbench, and one that was changed.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel

from medbench.cards import SETTINGS, DatasetCard, ModelCard, ProtocolCard
from medbench.cards.base import Card
from medbench.cards.prompts.sets import Prompts
from medbench.data.dataset import Dataset, samples_digest, split_digest_of
from medbench.data.images.corruption import Corruption
from medbench.data.layouts.own.taken import Taken
from medbench.data.shift import Shifted
from medbench.errors import MedbenchError
from medbench.models.weights.locate import WeightsFile
from medbench.records.submitted import PLAN
from medbench.runs.jobs import Job, Options, Plan
from medbench.runs.language import JobLanguage
from medbench.runs.planning.shared import Texts
from medbench.storage import files
from medbench.storage.version import version

KNOWN: dict[str, type[Any]] = {
    known.__name__: known
    for known in (
        Corruption,
        Dataset,
        DatasetCard,
        Job,
        JobLanguage,
        ModelCard,
        Options,
        Prompts,
        ProtocolCard,
        Shifted,
        Taken,
        WeightsFile,
    )
} | {settings.__name__: settings for settings in SETTINGS.values()}
"""The classes that a frozen plan may hold; nothing else is ever made from a file."""
THINGS, JOBS = "things.json", "jobs.jsonl"


def freeze(jobs: Iterable[Job], folder: Path) -> None:
    """Write jobs, each after those that it needs, to a folder; `plan.json` comes last and shows that it is complete.

    Raises:
        OutputError: The folder is read-only or full.
    """
    with files.writing(folder):
        writer = _Writer(folder)
        lines = [json.dumps([job.group, writer.line(job)]) for job in jobs]
        with files.atomic(folder / JOBS) as part:
            part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    files.write_json(folder / THINGS, writer.things)
    files.write_json(folder / PLAN, {"medbench": version(), "jobs": len(lines)})


def thaw(folder: Path, wanted: Iterable[int] | None = None) -> Plan:
    """Return the plan of some jobs, by their numbers (None: of all), with the jobs that they need.

    Raises:
        MedbenchError: There is no plan, it is damaged, or another version of medbench wrote it.
    """
    try:
        about = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        things = json.loads((folder / THINGS).read_text(encoding="utf-8"))
        lines = (folder / JOBS).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise MedbenchError(f"{folder} contains no complete plan: {error}", "submit the command again") from error
    if about.get("medbench") != version():
        raise MedbenchError(
            f"{folder} was planned by medbench {about.get('medbench')}, and this is {version()}",
            "submit the command again, or install that version where the workers run",
        )
    reader = _Reader(folder, things, lines)
    jobs = [reader.job(number) for number in (range(len(lines)) if wanted is None else wanted)]
    return Plan(jobs, jobs[0].options)


class _Writer:
    """Turns values into JSON; what many jobs share is written once, under its digest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.things: dict[str, Any] = {}
        self._seen: dict[int, tuple[Any, Any]] = {}
        self._lines: dict[tuple[str, ...], int] = {}

    def line(self, job: Job) -> Any:
        """Return the JSON of a job; jobs that it needs are their numbers."""
        found = self._fields(job)
        self._lines[job.place] = len(self._lines)
        return found

    def value(self, value: Any) -> Any:
        """Return the JSON of any value that a job holds."""
        if isinstance(value, Job):
            return {"job": self._lines[value.place]}
        if isinstance(value, BaseModel) or dataclasses.is_dataclass(value):
            return self._shared(value)
        if isinstance(value, Path):
            return {"path": str(value.absolute())}
        if isinstance(value, tuple):
            return {"tuple": [self.value(one) for one in value]}
        if isinstance(value, dict):
            return {"map": [[key, self.value(one)] for key, one in value.items()]}
        return [self.value(one) for one in value] if isinstance(value, list) else value

    def _shared(self, value: Any) -> Any:
        if id(value) not in self._seen:
            found = {"class": type(value).__name__, **self._content(value)}
            digest = files.digest(found)[:16]
            self.things[digest] = found
            self._seen[id(value)] = (value, {"thing": digest})  # keeps the value alive, or another could get its id
        return self._seen[id(value)][1]

    def _content(self, value: Any) -> dict[str, Any]:
        if isinstance(value, Dataset):
            return {"fields": self._fields(value, {"samples", "content"}), "samples": self._samples(value)}
        if isinstance(value, Card):
            fields = value.model_dump(mode="json", exclude_unset=True)
            fields["name"] = value.name.partition("@")[0]  # MODEL@PROTOCOL is no valid name of a card
            folder = str(value._folder.absolute()) if value._folder else None
            return {"card": fields, "name": value.name, "folder": folder}
        if isinstance(value, BaseModel):
            return {"model": value.model_dump(mode="json", exclude_unset=True)}
        return {"fields": self._fields(value)}

    def _fields(self, value: Any, without: Iterable[str] = ()) -> Any:
        names = [one.name for one in dataclasses.fields(value) if one.compare and one.name not in without]
        return {name: self.value(getattr(value, name)) for name in names}

    def _samples(self, dataset: Dataset) -> str:
        name = f"data/{files.digest([dataset.digest, dataset.split_digest])[:16]}.parquet"
        if (self.folder / name).exists():  # a corrupted data set has the same samples
            return name
        with files.atomic(self.folder / name) as part:
            dataset.samples.assign(**{CONTENT: list(dataset.content)}).to_parquet(part)
        return name


CONTENT = "content sha256"
"""Column of the digests of images in a frozen plan's samples."""


class _Reader:
    """Makes values from JSON; only of `KNOWN` classes."""

    def __init__(self, folder: Path, things: dict[str, Any], lines: list[str]) -> None:
        self.folder, self.things, self.lines = folder, things, lines
        self._texts = Texts()
        self._made: dict[str, Any] = {}
        self._jobs: dict[int, Job] = {}

    def job(self, number: int) -> Job:
        """Return a job by its number.

        Raises:
            MedbenchError: Its key is not the one that was planned.
        """
        if number not in self._jobs:
            planned, fields = json.loads(self.lines[number])
            job = Job(**{name: self.value(one) for name, one in fields.items()}, texts=self._texts)
            if job.group != planned:
                raise MedbenchError(f"{job.name}: the plan in {self.folder} was changed", "submit the command again")
            self._jobs[number] = job
        return self._jobs[number]

    def value(self, value: Any) -> Any:
        """Return the value of a piece of JSON."""
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if not isinstance(value, dict):
            return value
        ((kind, inner),) = value.items()
        if kind == "thing":
            return self._thing(inner)
        if kind == "job":
            return self.job(inner)
        if kind == "map":
            return {key: self.value(one) for key, one in inner}
        return Path(inner) if kind == "path" else tuple(self.value(one) for one in inner)

    def _thing(self, digest: str) -> Any:
        if digest not in self._made:
            self._made[digest] = self._make(self.things[digest])
        return self._made[digest]

    def _make(self, thing: dict[str, Any]) -> Any:
        known = KNOWN[thing["class"]]
        if "model" in thing:
            return known.model_validate(thing["model"])
        if "card" in thing:
            card = known.model_validate(thing["card"]).model_copy(update={"name": thing["name"]})
            card._folder = Path(thing["folder"]) if thing["folder"] else None
            return card
        fields = {name: self.value(one) for name, one in thing["fields"].items()}
        if known is Dataset:
            fields |= self._samples(thing["samples"], fields)
        return known(**fields)

    def _samples(self, name: str, fields: dict[str, Any]) -> dict[str, Any]:
        samples = pd.read_parquet(self.folder / name)
        content = tuple(samples.pop(CONTENT))
        found = samples_digest(samples, fields["card"], content), split_digest_of(samples)
        planned = fields["digest"] if not fields["inputs"] else found[0], fields["split_digest"]  # of all inputs there
        if found != planned:
            raise MedbenchError(f"{self.folder / name} was changed after planning", "submit the command again")
        return {"samples": samples, "content": content}
