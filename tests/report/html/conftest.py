"""SYNTHETIC records with predictions: two classes, several labels, a failure, and names that try to be markup."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medbench import metrics
from medbench.records import Record, store
from medbench.records.groups import Group, collect
from medbench.report.html.report import write_report

from ..conftest import synthetic

N = 120
CLASSES = ("healthy", "<b>ill</b>")
LABELS = ("effusion", "nodule", "mass")
EVIL = "<script>alert(1)</script>"


def scores_of(skill: float, targets: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """Probabilities that are right as often as `skill` makes them."""
    source = np.random.default_rng(seed)
    has = targets != 0 if targets.ndim == 2 else targets[:, None] == np.arange(classes)
    logits = skill * has + source.normal(size=has.shape)
    odds = np.exp(logits)
    return odds / (1 + odds) if targets.ndim == 2 else odds / odds.sum(axis=1, keepdims=True)


def targets_of(task: str) -> np.ndarray:
    source = np.random.default_rng(7)
    return source.integers(0, 2, (N, len(LABELS))) if task == "multilabel" else source.integers(0, 2, N)


def put(runs: Path, model: str, skill: float, task: str = "binary", seeds: tuple[int, ...] = (0, 1), **changes) -> None:
    """Write one group's records as a run leaves them: predictions and history, the record last."""
    names = changes.pop("names", LABELS if task == "multilabel" else CLASSES)
    targets = changes.pop("targets", targets_of(task))
    sets = [scores_of(skill, targets, len(names), seed) for seed in seeds]
    found = [metrics.compute(task, scores, targets)[0] for scores in sets]
    metric = "auroc_macro" if task == "multilabel" else "auroc"
    order = dict.fromkeys([metric, *found[0]])
    values = {name: [one[name] for one in found] for name in order}
    ids = changes.pop("ids", None) or [f"im/{i:03d}.png" for i in range(N)]
    about = {"dataset": "chexpert" if task == "multilabel" else "ddsm", "images": N, **changes}
    columns = dict(
        zip([f"target_{n}" for n in names] if targets.ndim == 2 else ["target"], np.atleast_2d(targets.T), strict=True)
    )
    for record, scores in zip(synthetic(model=model, seeds=seeds, values=values, **about), sets, strict=True):
        record.n["test"] = record.n["test"].model_copy(update={"classes": dict.fromkeys(names, N // 2)})
        record.n["train"] = record.n["test"].model_copy(update={"images": 2755})
        record.chosen = {"learning_rate": 0.1, "epoch": 2}
        frame = pd.DataFrame({"id": ids, "group": np.arange(N) // 2, "split": "test"})
        frame = frame.assign(**columns, **{f"score_{n}": scores[:, i] for i, n in enumerate(names)})
        epochs = pd.DataFrame({"candidate": [0.1] * 3 + [1.0] * 3, "epoch": [0, 1, 2] * 2, "val": np.arange(6) / 10})
        store.write(runs, record, frame, epochs)


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("report") / "results" / "runs"
    put(place, "dinov2", 2.5, warnings=[f"learning rate {EVIL} is at the edge of the grid"])
    put(place, "imagenet", 0.5, options={"text": EVIL})
    put(place, "toy-vit", -0.5, weights="random", toy=True, seeds=(3,))
    put(place, "sam", 1.5, task="multilabel")
    failed = Record.model_validate(synthetic(model="blip", dataset="ddsm", seeds=(0,))[0].model_dump())
    store.write_failure(place, failed.unit, failed.key, f"out of memory {EVIL}")
    return place


@pytest.fixture(scope="session")
def groups(runs: Path) -> dict[str, Group]:
    return {group.first.unit.model: group for group in collect(store.read_all(runs))}


@pytest.fixture(scope="session")
def report(runs: Path) -> Path:
    """The file that is written by default."""
    return write_report(runs)
