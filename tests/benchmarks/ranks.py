"""Studies: how often the interval of a mean rank contains its expectation, on SIMULATED studies, and the cost."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.coverage import HIGH, LOW
from benchmarks.row import Row
from medbench.metrics import score
from medbench.report.inference import Predicted
from medbench.report.ranks.ranking import drawn
from medbench.report.weighted_metric import of_records
from medbench.stats.ranks import Repeats, friedman, ranks

STUDIES, OTHERS = 1000, 4000
PATIENTS, IMAGES, SEEDS = 80, 2, 2
EQUAL = np.full((5, 4), 1.2)
ORDER = np.linspace(1.0, 1.5, 4)[None].repeat(5, 0)
MIXED = np.concatenate([EQUAL[:3], np.linspace(0.8, 2.2, 4)[None].repeat(2, 0)])
CASES = {"equal": EQUAL, "in one order on all data sets": ORDER, "equal on 3 data sets, far apart on 2": MIXED}
"""(N, k): how far apart an entrant puts the two classes of a data set."""
WIDE = (12, 10, 5)
"""Data sets, entrants and training seeds of a large study."""
SECONDS = 30.0


def run(folder: Path, device: str) -> list[Row]:
    rows = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for what, apart in CASES.items():
            others = np.array(list(pool.map(partial(seen, apart), range(OTHERS), chunksize=50)))
            truth = ranks(others).mean(axis=(0, 1))
            covered = np.array(list(pool.map(partial(covers, apart, truth), range(STUDIES), chunksize=10)))
            rows.append(row(what, covered))
    return [*rows, cost()]


def row(what: str, covered: np.ndarray) -> Row:
    share = float(covered.mean())
    error = float(covered.mean(axis=1).std() / len(covered) ** 0.5)
    text = f"95 % interval of the mean rank of 4 entrants, {what}: share of {len(covered):,} simulated studies"
    return Row(f"{text} with the expected mean rank in it", f"{share:.3f}", f"± {error:.3f}", None, f"{LOW} to {HIGH}",
               LOW <= share <= HIGH)  # fmt: skip


def entrants(rng: np.random.Generator, apart: Sequence[float], seeds: int = SEEDS) -> list[Predicted]:
    """Entrants on one data set: patients of several images; what makes an image hard is half common to all."""
    n = PATIENTS * IMAGES
    y = np.repeat(np.arange(PATIENTS) % 2, IMAGES)
    patient = np.repeat(rng.normal(size=PATIENTS), IMAGES)
    found = []
    for distance in apart:
        own = np.repeat(rng.normal(size=PATIENTS), IMAGES)
        noise = 0.5 * patient + 0.5 * own + 0.5 * rng.normal(size=n) + 0.5 * rng.normal(size=(seeds, n))
        p = 1 / (1 + np.exp(-(noise + distance * y)))
        found.append(Predicted(tuple(map(str, range(n))), np.stack([1 - p, p], 2), y, np.arange(n) // IMAGES))
    return found


def auroc(one: Predicted) -> float:
    return float(np.mean([score("auroc", scores, one.targets) for scores in one.scores]))


def seen(apart: np.ndarray, study: int) -> list[list[float]]:
    """The metrics of one of many studies, which tell the expected mean rank."""
    rng = np.random.default_rng([1, study])
    return [[auroc(one) for one in entrants(rng, row)] for row in apart]


def draws(row: list[Predicted], dataset: str) -> np.ndarray:
    """The draws of the entrants on one data set."""
    return np.stack([drawn(of_records(one, "auroc"), dataset) for one in row], axis=1)


def covers(apart: np.ndarray, truth: np.ndarray, study: int) -> list[bool]:
    """Whether the interval of each entrant contains its expected mean rank."""
    rng = np.random.default_rng([2, study])
    data = [entrants(rng, row) for row in apart]
    noise = [
        np.stack([drawn(of_records(one, "auroc"), f"{study} {j}") for one in row], axis=1) for j, row in enumerate(data)
    ]
    found = Repeats(np.array([[auroc(one) for one in row] for row in data]), np.stack(noise)).intervals()
    return [low - 1e-9 <= mean <= high + 1e-9 for (low, high), mean in zip(found, truth, strict=True)]


def cost() -> Row:
    n, k, seeds = WIDE
    rng = np.random.default_rng(3)
    data = [entrants(rng, np.linspace(1, 2, k), seeds) for _ in range(n)]
    start = time.perf_counter()
    noise = [draws(row, str(j)) for j, row in enumerate(data)]
    study = Repeats(np.array([[auroc(one) for one in row] for row in data]), np.stack(noise))
    study.intervals(), study.first, study.alike(), friedman(ranks(study.values))
    seconds = time.perf_counter() - start
    what = f"ranking of {k} entrants on {n} data sets of {PATIENTS * IMAGES} images, {seeds} seeds, 1,000 draws"
    return Row(what, f"{seconds:.1f} s", "", None, f"≤ {SECONDS:.0f} s", seconds <= SECONDS)
