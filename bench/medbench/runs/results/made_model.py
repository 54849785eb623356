"""The weights that a run keeps, and the card of the model that they make."""

from __future__ import annotations

from pathlib import Path

import yaml

from medbench.cards import ModelCard
from medbench.cards.find import made_name
from medbench.cards.model import Weights
from medbench.protocols.context import Outcome
from medbench.records import store
from medbench.runs.jobs import Job
from medbench.storage import files
from medbench.storage.arrays.tensors import save_tensors
from medbench.storage.digests import file_digests


def keep_weights(job: Job, outcome: Outcome, folder: Path) -> None:
    """Write an outcome's weights to a record's folder, and the card of the model that they make, if it has one."""
    for name, content in outcome.files.items():
        with files.atomic(folder / name) as part:
            part.write_bytes(content)
    save_tensors(folder / store.WEIGHTS, outcome.weights)
    if outcome.model is not None:
        card = _complete(job, outcome.model, file_digests([folder / store.WEIGHTS])[0])
        fields = card.model_dump(mode="json", exclude_defaults=True)
        files.write_text(folder / f"{card.name}.yaml", yaml.safe_dump(fields, sort_keys=False, allow_unicode=True))


def _complete(job: Job, made: ModelCard, digest: str) -> ModelCard:
    """Return a card with its name, its file, and the data set of the run among what its weights have seen."""
    seen = dict.fromkeys([*job.model.pretraining.data, *made.pretraining.data, job.dataset.card.name])
    changes = {
        "name": made_name(job.model.name, job.protocol.name),
        "title": f"{job.model.name}, trained further by {job.protocol.name} on {job.dataset.card.name}",
        "notes": "Training started from random weights: a sanity check, not a result."
        if job.origin == "random"
        else "",
        "weights": (made.weights or Weights()).model_copy(update={"file": store.WEIGHTS, "sha256": digest}),
        "pretraining": made.pretraining.model_copy(update={"data": list(seen), "method": job.protocol.name}),
    }
    return made.model_copy(update=changes)
