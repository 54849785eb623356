"""The model card of weights that a run keeps: a `README.md` as the Hugging Face hub reads it."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from medbench.records import Record
from medbench.runs.jobs import Job
from medbench.storage import files

README = "README.md"
TASK = "image-classification"
UNFIT = {
    "toy": "The data are generated images, so the numbers say nothing about medicine.",
    "random": "Training started from random weights: a sanity check, not a result.",
}


def write_model_card(job: Job, record: Record, folder: Path) -> None:
    """Write the card next to the weights: test metrics (the primary one first), data set, licences, command.

    Args:
        job: The run.
        record: Of the unit whose weights are kept.
        folder: Where they are.

    Raises:
        OutputError: The folder is read-only or full.
    """
    unit, data = record.unit, job.dataset.card
    name = f"{unit.model} · {unit.protocol} · {unit.dataset}"
    licence = job.model.weights.licence if job.model.weights else ""
    results = [
        EvalResult(TASK, unit.dataset, data.title or unit.dataset, metric, value, dataset_split="test")
        for metric, value in sorted(record.metrics.items(), key=lambda item: item[0] != record.metric)
        if value is not None
    ]
    front = ModelCardData(
        library_name="medbench",
        license="other",  # licences of weights are free text here; the hub takes only names of its own list
        license_name=licence or "unknown",
        pipeline_tag=TASK,
        tags=["medbench", *(["toy"] if unit.toy else [])],
        model_name=name,
        eval_results=results or None,
    )
    files.write_text(folder / README, f"---\n{front.to_yaml()}\n---\n\n{_text(job, record, name, licence)}")


def _text(job: Job, record: Record, name: str, licence: str) -> str:
    unit, data, code = record.unit, job.dataset.card, record.provenance
    unfit = [text for text, holds in zip(UNFIT.values(), (unit.toy, unit.weights == "random"), strict=True) if holds]
    test = record.n.get("test")
    about = [
        f"`{unit.model}` after `{unit.protocol}` on {data.title or unit.dataset} (`{unit.dataset}`), seed {unit.seed}.",
        *unfit,
        f"Classes: {', '.join(data.class_names)}. Test images: {test.images if test else 0}.",
        "Metrics are for the test split. The model is not for clinical use.",
    ]
    facts = {
        "preset": unit.preset,
        "licence of the initial weights": licence or "unknown",
        "licence of the data": data.licence or "unknown",
        "digest of the data": job.dataset.digest,
        "split": job.dataset.split_name,
        "medbench": f"{code.get('medbench')} {str(code.get('commit') or '')[:12]}".strip(),
        "command": code.get("command"),
        "key": record.key,
    }
    lines = [f"# {name}", "", *about, "", *(f"- {what}: {value}" for what, value in facts.items() if value)]
    warnings = ["", "Warnings:", "", *(f"- {text}" for text in record.warnings)] if record.warnings else []
    return "\n".join([*lines, *warnings]) + "\n"
