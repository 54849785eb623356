"""SYNTHETIC predictions of patients whose sex and age are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from medbench.metrics import log_odds, probabilities
from medbench.records import SplitCount
from medbench.records.groups import collect
from medbench.records.store import PREDICTIONS, read_all
from medbench.report.subgroups.by import By

N = 240


def people() -> pd.DataFrame:
    """The labels: two images of each patient; women are better told apart; some ages are not known."""
    patient = np.arange(N) // 2
    sex = np.where(patient % 3 == 0, "F", "M")
    age = np.where(patient % 10 == 9, "", (20 + patient % 60).astype(str))
    return pd.DataFrame(
        {
            "id": [f"test{i}" for i in range(N)],
            "group": [f"p{k}" for k in patient],
            "target": (np.arange(N) // 4) % 2,
            "subgroup_sex": sex,
            "subgroup_age": age,
            "subgroup_site": "A",
            "subgroup_view": np.where(np.arange(N) % 2, "left", "right"),
        }
    )


def predictions(seed: int, task: str, stored: bool) -> pd.DataFrame:
    """Validation and test rows as a run writes them; `stored`: with the texts of the subgroups."""
    frames = []
    for split in ("val", "test"):
        frame = people().assign(split=split)
        if split == "val":
            frame["id"] = [f"val{i}" for i in range(N)]
        source = np.random.default_rng([seed, len(split)])
        apart = np.where(frame["subgroup_sex"] == "F", 3.0, 1.0)
        noise = source.normal(size=(N, 3)) + np.repeat(source.normal(size=(N // 2, 3)), 2, axis=0)
        if task == "binary":
            x = apart * (frame["target"] - 0.5) + noise[:, 0]
            values, names = log_odds(np.stack([np.zeros(N), x], 1), multilabel=False), ["healthy", "ill"]
        else:
            hot = (np.random.default_rng(len(split)).random((N, 3)) < [0.4, 0.3, 0.1]).astype(int)
            hot[(frame["subgroup_sex"] == "F").to_numpy(), 2] = 0  # a finding that no woman has
            values, names = log_odds(apart[:, None] * (hot - 0.5) + noise, multilabel=True), list("abc")
            frame = frame.drop(columns="target").assign(**{f"target_{name}": hot[:, k] for k, name in enumerate("abc")})
        for k, name in enumerate(names):
            frame[f"score_{name}"], frame[f"log_odds_{name}"] = probabilities(values)[:, k], values[:, k]
        frames.append(frame)
    found = pd.concat(frames)
    return found if stored else found.drop(columns=[name for name in found if name.startswith("subgroup_")])


@pytest.fixture
def put(tmp_path, synthetic, save, monkeypatch):
    """Save a run of two seeds and return its records."""
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))

    def _put(task="binary", stored=False, model="dino", metric="auroc", seeds=(0, 1)):
        classes = ["healthy", "ill"] if task == "binary" else list("abc")
        counts = {split: SplitCount(images=N, classes=dict.fromkeys(classes, N // 2)) for split in ("val", "test")}
        values = {metric: [0.7 for _ in seeds]}
        records = synthetic(model=model, seeds=seeds, n=counts, material={"dataset": {"task": task}}, values=values)
        save(tmp_path / "runs", records)
        for record in read_all(tmp_path / "runs"):
            if record.unit.model == model:
                predictions(record.unit.seed, task, stored).to_parquet(record.path / PREDICTIONS)
        return [record for record in read_all(tmp_path / "runs") if record.unit.model == model]

    return _put


@pytest.fixture
def group_of(put):
    """Save a run and return its group of records."""

    def _group(**changes):
        (group,) = collect(put(**changes))
        return group

    return _group


@pytest.fixture
def by():
    """What the user asks for, with labels that count how often they are read."""

    def _by(text: str, labels: pd.DataFrame | None = None, **changes) -> By:
        def read(columns):
            read.times += 1
            return people() if labels is None else labels

        read.times = 0
        return By(text, read, **changes)

    return _by
