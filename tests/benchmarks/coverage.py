"""How often the 95 % interval holds the truth, on SIMULATED test splits whose truth is known."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.row import Row
from medbench.metrics import score
from medbench.stats import bootstrap

SPLITS, DRAWS, MANY = 2000, 1000, 200_000
LOW, HIGH = 0.93, 0.97
Drawn = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""Scores (s, n, c), targets, patients."""


@dataclass(frozen=True)
class Case:
    """One kind of test split: `draw(rng, n)` gives one of n images (or patients), of the same make-up each time."""

    what: str
    metric: str
    n: int
    draw: Callable[[np.random.Generator, int], Drawn]


def two(rng: np.random.Generator, n: int, apart: float, share: float, images: int = 1, patient: float = 0.0) -> Drawn:
    """Two classes a distance apart; `patient` is the share of the variance that a patient's images have in common."""
    y = np.repeat((np.arange(n) < share * n).astype(int), images)
    common = np.repeat(rng.normal(size=n), images)
    x = patient**0.5 * common + (1 - patient) ** 0.5 * rng.normal(size=n * images) + apart * y
    p = 1 / (1 + np.exp(apart / 2 - x))
    return np.stack([1 - p, p], -1)[None], y, np.repeat(np.arange(n), images) if images > 1 else None


def grades(rng: np.random.Generator, n: int) -> Drawn:
    """Five grades as often as in IDRiD's test split, guessed with an error of 0.7 grades."""
    y = np.sort(np.resize(np.repeat(np.arange(5), [34, 5, 32, 19, 13]), n))
    guess = np.clip(np.round(y + 0.7 * rng.normal(size=n)), 0, 4).astype(int)
    return np.eye(5)[guess][None], y, None


def findings(rng: np.random.Generator, n: int) -> Drawn:
    """Five findings that occur together in the same shares of every split, the rarest in 4 %."""
    fixed = np.random.default_rng(5)
    y = np.resize((fixed.random((200, 5)) < [0.5, 0.3, 0.2, 0.1, 0.04]).astype(np.uint8), (n, 5))
    return (1 / (1 + np.exp(-(rng.normal(size=(n, 5)) + 1.2 * y - 0.6))))[None], y, None


CASES = (
    Case("accuracy, 100 images", "accuracy", 100, partial(two, apart=1.7, share=0.5)),
    Case("AUROC near 1, 20 of 100 positive", "auroc", 100, partial(two, apart=3.0, share=0.2)),
    Case("AUROC, 400 images", "auroc", 400, partial(two, apart=1.2, share=0.3)),
    Case("AUROC, 80 patients of 3 images", "auroc", 80, partial(two, apart=1.5, share=0.4, images=3, patient=0.6)),
    Case("quadratic κ, 103 images", "kappa_quadratic", 103, grades),
    Case("macro AUROC, 5 findings, 200 images", "auroc_macro", 200, findings),
)


def run(folder: Path, device: str) -> list[Row]:
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return [row(case, list(pool.map(partial(covers, case, truth_of(case)), range(SPLITS)))) for case in CASES]


def truth_of(case: Case) -> float:
    """The metric on a split so large that its own error is a fiftieth of a small one's."""
    scores, targets, _ = case.draw(np.random.default_rng(1), MANY)
    return score(case.metric, scores[0], targets)


def covers(case: Case, truth: float, split: int) -> bool:
    scores, targets, patients = case.draw(np.random.default_rng([2, split]), case.n)
    found = bootstrap(case.metric, scores, targets, patients, draws=DRAWS, seed=split).interval()
    return found.low <= truth <= found.high


def row(case: Case, covered: list[bool]) -> Row:
    share = float(np.mean(covered))
    error = (share * (1 - share) / len(covered)) ** 0.5
    what = f"95 % interval of {case.what}: share of {len(covered):,} simulated splits with the truth in it"
    return Row(what, f"{share:.3f}", f"± {error:.3f}", None, f"{LOW} to {HIGH}", LOW <= share <= HIGH)
