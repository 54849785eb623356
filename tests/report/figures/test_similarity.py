"""Similarity of models to each other, from SYNTHETIC features."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest

from medbench import cards
from medbench.records import store
from medbench.report.figures.draw import figure_data, paper_figure

from ..made import DATASETS, MODELS
from .conftest import LABELS, by_place


def hsic1(x, y):
    """HSIC_1 of Song et al. (2012) by its definition, from Gram matrices with zero diagonals."""
    k, l_ = (z.astype(np.float64) @ z.astype(np.float64).T for z in (x, y))
    np.fill_diagonal(k, 0)
    np.fill_diagonal(l_, 0)
    n, one = len(k), np.ones(len(k))
    first = np.trace(k @ l_)
    second = (one @ k @ one) * (one @ l_ @ one) / ((n - 1) * (n - 2))
    return (first + second - 2 / (n - 2) * (one @ k @ l_ @ one)) / (n * (n - 3))


def _changed(record, **changes):
    found = record.model_copy(update=changes)
    found._folder = str(record.path)
    return found


def test_models_with_each_other(made):
    runs, known = made
    rows = by_place(figure_data("wacv2024/figure8", runs), "panel", "series", "x")
    assert len(rows) == 4 * 64
    for dataset in DATASETS:
        for a in MODELS:
            for b in MODELS:
                x, y = known["features"][a, dataset], known["features"][b, dataset]
                expected = hsic1(x, y) / math.sqrt(hsic1(x, x) * hsic1(y, y))
                assert rows[dataset, LABELS[a], LABELS[b]]["mean"] == pytest.approx(expected, abs=1e-9)


def test_features_of_other_images_are_not_compared(made):
    runs, _ = made
    records = [r for r in store.read_all(runs, "aptos") if r.unit.protocol == "cka-models"]
    records = [r if r.unit.model != "blip" else _changed(r, chosen={"images": 24, "ids": "other"}) for r in records]
    data = paper_figure(cards.find_paper("wacv2024"), "figure8", records)
    rows = {(p.series, p.x): p for p in data.of("aptos")}
    assert rows["BLIP", "Sam"].mean is None
    assert rows["BLIP", "BLIP"].mean is None
    assert rows["Sam", "Seem"].mean is not None
    assert any(note.startswith("BLIP on aptos: not compared, because most models") for note in data.notes)


def test_missing_files_are_said_and_not_invented(made, tmp_path):
    folder = tmp_path / "aptos/sam/cka-models"
    shutil.copytree(made[0] / "aptos/sam/cka-models", folder)
    for file in folder.rglob("features.npy"):
        file.unlink()
    data = figure_data("wacv2024/figure8", tmp_path)
    assert all(point.mean is None for point in data.points)
    assert any("Sam on aptos: no features.npy" in note for note in data.notes)
