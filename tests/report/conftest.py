"""SYNTHETIC records: made-up numbers that no model was run for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from medbench.records.store import PREDICTIONS, read_all

from ..records.made import save, synthetic

N = 160
TRUTH = np.arange(N) % 2


@pytest.fixture(name="synthetic")
def _synthetic():
    return synthetic


@pytest.fixture(name="save")
def _save():
    return save


@pytest.fixture
def shipped(monkeypatch, tmp_path):
    """Only the paper card of the checkout, from a folder without cards of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEDBENCH_CARDS", raising=False)


@pytest.fixture
def put(tmp_path, synthetic, save):
    """Write records of a model that is right on a share of the images, drawn by the model's name and the seed."""
    place = tmp_path / "runs"

    def write(model, right, seeds=(0, 1, 2), *, ids=None, truth=TRUTH, shuffled=False, metric="accuracy", **how):
        ids = np.arange(len(truth)) if ids is None else ids
        guesses = []
        for seed in seeds:
            source = np.random.default_rng([*model.encode(), seed])
            guesses.append(np.where(source.random(len(truth)) < right, truth, 1 - truth))
        value = {"accuracy": [float((g == truth).mean()) for g in guesses]}
        value["log_loss"] = [float(-np.log(np.where(g == truth, 0.8, 0.2)).mean()) for g in guesses]
        value = {metric: value.pop(metric), **value}
        records = synthetic(model=model, seeds=tuple(seeds), values=value, images=len(truth), **how)
        save(place, records)
        written = {record.key: record.path for record in read_all(place)}
        for record, guess in zip(records, guesses, strict=True):
            frame = pd.DataFrame({"id": ids, "group": ids, "split": "test", "target": truth})
            for k in range(2):
                frame[f"score_{k}"] = np.where(guess == k, 0.8, 0.2)
            order = np.random.default_rng(0).permutation(len(frame)) if shuffled else np.arange(len(frame))
            frame.iloc[order].to_parquet(written[record.key] / PREDICTIONS)
        return value

    write.runs = place
    return write
