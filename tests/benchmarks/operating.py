"""Metrics on demand: how often their 95 % interval contains the truth on SIMULATED test splits, and their cost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import logit
from scipy.stats import norm

from benchmarks.coverage import DRAWS, HIGH, LOW, SPLITS
from benchmarks.row import Row
from medbench.metrics.measures import Predictions, measure
from medbench.stats import Interval, bootstrap_many, gap_intervals

APART, SHARE = 1.5, 0.4
IMAGES, LABELS, SEEDS = 5000, 14, 5
ALL = (
    "sensitivity", "specificity", "ppv", "npv", "youden", "balanced_accuracy", "sensitivity@specificity=0.9",
    "specificity@sensitivity=0.9", "net_benefit@0.1", "auroc_partial", "ece", "ece:mass", "ece@temperature", "brier",
    "brier_reliability", "brier_resolution", "brier_uncertainty", "calibration_slope", "calibration_intercept",
)  # fmt: skip
OF_GAPS = ("ece", "ece:mass", "ece@temperature", "brier_reliability")
"""Those whose interval is that of a sum of gaps."""
BINNED = {"ece": "ECE", "brier_reliability": "Brier reliability"}
SECONDS = 10.0


def run(folder: Path, device: str) -> list[Row]:
    cases: dict[str, Callable[[int], bool]] = {
        "sensitivity at a threshold of validation, 120 of 300 images": partial(sensitivity, 300, 1),
        "the same, 100 patients of 3 images": partial(sensitivity, 100, 3),
    }
    for n in (300, 1000):
        for sharp in (1.0, 1.4, 2.0):
            for name, title in BINNED.items():
                truth = error_of(name, sharp)
                cases[f"{title} of {truth:.3g}, {n:,} images"] = partial(binned, name, n, sharp, truth)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        rows = [row(what, list(pool.map(case, range(SPLITS), chunksize=20))) for what, case in cases.items()]
    return [*rows, cost()]


def sensitivity(n: int, images: int, split: int) -> bool:
    """Whether the interval contains the true sensitivity at the threshold from a validation part of its own."""
    rng = np.random.default_rng([3, split])
    (validation, _), (test, patients) = (patients_of(rng, n, images) for _ in range(2))
    plan = measure("sensitivity@specificity=0.9").values(test, validation)
    found = bootstrap_many(lambda w: plan(w)[None], test.targets, patients, DRAWS, split)[0].interval()
    negative = np.sort(validation.log_odds[validation.targets == 0, 1])
    above = negative[int(np.ceil(0.9 * len(negative))) - 1]
    threshold = validation.log_odds[validation.log_odds[:, 1] > above, 1].min()
    return found.low <= norm.sf(threshold - APART) <= found.high


def patients_of(rng: np.random.Generator, n: int, images: int) -> tuple[Predictions, np.ndarray]:
    """Two classes at a distance; half of the variance is shared by the images of a patient."""
    y = np.repeat((np.arange(n) < SHARE * n).astype(int), images)
    common = np.repeat(rng.normal(size=n), images)
    x = APART * y + (common if images == 1 else 0.5**0.5 * (common + rng.normal(size=n * images)))
    return Predictions(np.stack([-x, x], 1), y), np.repeat(np.arange(n), images)


def drawn(rng: np.random.Generator, n: int, sharp: float) -> Predictions:
    """Two classes, with log-odds `sharp` times the true ones: 1 is perfectly calibrated."""
    y = (np.arange(n) < SHARE * n).astype(int)
    x = sharp * (APART * (rng.normal(size=n) + APART * y) - APART**2 / 2 + logit(SHARE))
    return Predictions(np.stack([-x, x], 1), y)


def error_of(name: str, sharp: float) -> float:
    """The calibration error, or the reliability, on so many images that their own noise is below a thousandth."""
    test = drawn(np.random.default_rng(1), 4_000_000, sharp)
    return float(measure(name).values(test)(np.ones((len(test.targets), 1), np.float32))[0, 0])


def binned(name: str, n: int, sharp: float, truth: float, split: int) -> bool:
    test = drawn(np.random.default_rng([4, split]), n, sharp)
    found, slack = interval_of(name, test, split), 1e-3 ** measure(name).power  # of a truth that is 0
    return found.low - slack * (truth < slack) <= truth <= found.high


def interval_of(name: str, test: Predictions, seed: int) -> Interval:
    one = measure(name)
    gaps = one.gaps(test)
    assert gaps is not None
    return gap_intervals(lambda w: gaps(w)[:, None], test.targets, draws=DRAWS, seed=seed, power=one.power)[0]


def cost() -> Row:
    """All metrics with their intervals, as a table computes them, in seconds of one processor core."""
    source = np.random.default_rng(0)
    test, *others = (part(source) for _ in range(1 + SEEDS))
    tests = [Predictions(noisy(source, test.targets), test.targets) for _ in range(SEEDS)]
    start = time.process_time()
    seeds = list(zip(tests, others, strict=True))
    plans = {name: [measure(name, "multilabel").values(*seed) for seed in seeds] for name in ALL if name not in OF_GAPS}
    bootstrap = bootstrap_many(
        lambda w: np.stack([np.concatenate([plan(w) for plan in row]) for row in plans.values()]),
        test.targets,
        draws=DRAWS,
    )
    found = [one.interval() for one in bootstrap]
    for name in OF_GAPS:
        one = measure(name, "multilabel")
        gaps = [one.gaps(*seed) for seed in seeds]
        found += gap_intervals(
            lambda w, gaps=gaps: np.stack([each(w) for each in gaps], 1), test.targets, draws=DRAWS, power=one.power
        )
    spent = time.process_time() - start
    assert len(found) == len(ALL)
    what = f"{len(ALL)} metrics on demand with intervals, {IMAGES:,} images × {LABELS} labels × {SEEDS} seeds"
    return Row(what, f"{spent:.1f} s of one core", "no other", None, f"≤ {SECONDS:.0f} s", spent <= SECONDS)


def part(source: np.random.Generator) -> Predictions:
    targets = (source.random((IMAGES, LABELS)) < np.linspace(0.02, 0.5, LABELS)).astype(np.uint8)
    return Predictions(noisy(source, targets), targets)


def noisy(source: np.random.Generator, targets: np.ndarray) -> np.ndarray:
    return 1.5 * (targets + source.normal(size=targets.shape) - 1)


def row(what: str, covered: list[bool]) -> Row:
    share = float(np.mean(covered))
    error = (share * (1 - share) / len(covered)) ** 0.5
    text = f"95 % interval of {what}: share of {len(covered):,} simulated splits with the truth in it"
    return Row(text, f"{share:.3f}", f"± {error:.3f}", None, f"{LOW} to {HIGH}", LOW <= share <= HIGH)
