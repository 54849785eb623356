"""A run store of SYNTHETIC predictions: two, three and several classes, patients of three images, two seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medbench.metrics import log_odds, probabilities
from medbench.records import SplitCount, store
from medbench.report.figures.predictions.runs import Selection, shown

from ...conftest import synthetic

N = 150
NAMES = {
    "binary": ["healthy", "ill"],
    "multiclass": ["none", "mild", "severe"],
    "multilabel": ["effusion", "nodule", "mass"],
}


def predicted(task: str, skill: float, seed: int, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Targets of a split, and log-odds of a seed."""
    names, source = NAMES[task], np.random.default_rng([len(split), 0])
    truth = source.random((N, 3)) < 0.3 if task == "multilabel" else np.arange(N) * 7 % len(names)
    hot = truth.astype(float) if task == "multilabel" else np.eye(len(names))[truth]
    logits = skill * (hot - 0.5) + source.normal(size=hot.shape)
    logits += np.random.default_rng([seed, 1, round(10 * skill)]).normal(size=hot.shape) / 2
    return truth.astype(np.int64), log_odds(logits, multilabel=task == "multilabel")


def put(
    runs: Path, model: str, skill: float, task: str = "binary", parts=("val", "test"), seeds=(0, 1), **more
) -> None:
    """Write a group's records with their predictions; `val` is its primary metric on validation."""
    names, val = NAMES[task], more.pop("val", skill / 10)
    n = {split: SplitCount(images=N, classes=dict.fromkeys(names, N // len(names))) for split in parts}
    material = {"dataset": {"task": task}, **more.pop("material", {})}
    values = {"auroc" if task == "binary" else "auroc_macro": [0.8 + 0.01 * seed for seed in seeds]}
    about = {"dataset": task, "seeds": seeds, "n": n, "material": material, "values": values, **more}
    for record in synthetic(model=model, **about):
        record.metrics_val[record.metric] = val
        frames = []
        for split in parts:
            truth, x = predicted(task, skill, record.unit.seed, split)
            frame = pd.DataFrame({"id": [f"{split}{i}" for i in range(N)], "group": np.arange(N) // 3, "split": split})
            targets = {f"target_{name}": truth[:, k] for k, name in enumerate(names)} if truth.ndim == 2 else {}
            columns = {f"score_{name}": probabilities(x[:, k]) for k, name in enumerate(names)}
            columns |= {f"log_odds_{name}": x[:, k] for k, name in enumerate(names)}
            frames.append(frame.assign(**(targets or {"target": truth}), **columns))
        store.write(runs, record, pd.concat(frames), pd.DataFrame())


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("predictions") / "results" / "runs"
    put(place, "good", 2.0)
    put(place, "poor", 0.5, protocol="knn", seeds=(0,))
    put(place, "poor", 0.7, parts=("test",), val=None)
    put(place, "random", 0.1, weights="random", val=0.99)
    put(place, "good", 2.0, "multiclass")
    put(place, "good", 1.5, "multilabel")
    return place


@pytest.fixture
def show(runs):
    """Return the runs of a task that a selection shows."""

    def _show(task: str = "binary", random: bool = False, **selection: str):
        return shown(task, store.read_all(runs), random, Selection(**selection))

    return _show


def of(data, series: str, kind: object) -> list:
    """The points of one kind of a series."""
    return [point for point in data.points if point.series == series and point.y == kind]
