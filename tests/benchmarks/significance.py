"""How often paired tests err and find, on SIMULATED test splits: two equal models, and one that is better.

Both tests see the same splits. A null is a pair of models that differ by nothing but chance; power is the share of
splits on which a true difference gets a p of 0.05 or less. With several training seeds the two tests ask different
questions: the bootstrap's is about other seeds, too, so luck of a seed is chance to it and a difference to the other.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.row import Row
from medbench.stats import holm, paired, permutation
from medbench.stats.bootstrap import evaluate
from medbench.stats.paired import difference
from medbench.stats.resampling import design

NULLS, REALS, FAMILIES = 1500, 500, 300
SWAPPED = 20
"""Families that are also tested by permutation, with so many permutations that its own floor does not bind."""
DRAWS, PERMUTATIONS, MANY = 1000, 400, 5000
LEVEL = 0.05


@dataclass(frozen=True)
class Case:
    """One kind of test split.

    Attributes:
        units: Patients.
        images: Of each patient.
        classes: Of them one is rare (a tenth of the patients), the others equally common.
        seeds: Training seeds of each model.
        noise: Of the worse model in the case with a difference; the better one's is 0.8.
        luck: Standard deviation of a training seed's own separation of the classes, which is 1.5 on the mean.
    """

    units: int
    images: int = 1
    classes: int = 2
    seeds: int = 1
    noise: float = 1.5
    luck: float = 0.0

    @property
    def metric(self) -> str:
        return "auroc" if self.classes == 2 else "auroc_macro"

    @property
    def what(self) -> str:
        luck = "whose luck differs" if self.luck else "that differ by noise alone"
        seeds = f", {self.seeds} seeds {luck}" if self.seeds > 1 else ""
        each = f" of {self.images} images" if self.images > 1 else ""
        strata = f", {self.classes} classes, one rare" if self.classes > 2 else ""
        return f"{self.units} patients{each}{strata}{seeds}"


CASES = (
    Case(20, 3, noise=2.6),
    Case(50, 3, noise=1.9),
    Case(150, 3, noise=1.4),
    Case(500, noise=1.3),
    Case(58, noise=2.2),
    Case(200, classes=5, noise=1.3),
    Case(100, 2, seeds=2, noise=1.4),
    Case(100, 2, seeds=5, noise=1.6),
    Case(100, 2, seeds=2, noise=1.6, luck=0.25),
    Case(100, 2, seeds=3, noise=1.6, luck=0.25),
    Case(100, 2, seeds=5, noise=1.6, luck=0.25),
)


def run(folder: Path, device: str) -> list[Row]:
    rows = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for case in CASES:
            null = np.array(list(pool.map(partial(both, case, False), range(NULLS), chunksize=10)))
            real = np.array(list(pool.map(partial(both, case, True), range(REALS), chunksize=10)))
            rows += [errors(case, null), power(case, null, real)]
        for m in (10, 26, 50):
            found = np.array(list(pool.map(partial(family, m), range(FAMILIES), chunksize=4)))
            rows += families(m, found)
    return rows


def split(case: Case, rng: np.random.Generator, noises: list[float]) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return the scores (s, n, c) of models with these noises, the targets and the patients.

    Models share what makes a patient and an image easy; the noise is each model's and seed's own.
    """
    n, c = case.units, case.classes
    rare = max(n // 10, 2) if c > 2 else 0
    y = np.concatenate([np.zeros(rare, int), np.arange(n - rare) % (c - bool(rare)) + bool(rare)])
    y = np.repeat(y, case.images)
    patient = np.repeat(np.arange(n), case.images)
    shared = rng.normal(size=(n, c))[patient] * 0.7 + rng.normal(size=(len(y), c)) * 0.7
    made = []
    for noise in noises:
        luck = case.luck * rng.normal(size=(case.seeds, 1, 1))
        own = noise * rng.normal(size=(case.seeds, len(y), c))
        z = (1.5 + luck) * np.eye(c)[y] + shared + own
        odds = np.exp(z - z.max(axis=2, keepdims=True))
        made.append(odds / odds.sum(axis=2, keepdims=True))
    return made, y, patient


def both(case: Case, different: bool, repeat: int) -> tuple[float, float]:
    """The p of the bootstrap and of the permutation test on one split."""
    rng = np.random.default_rng([3, different, repeat, case.units, case.seeds])
    (a, b), y, patient = split(case, rng, [0.8, case.noise if different else 0.8])
    drawn = paired(case.metric, a, b, y, patient, draws=DRAWS, seed=repeat, same_seeds=False)
    return drawn.p(), permutation(case.metric, a, b, y, patient, permutations=PERMUTATIONS, seed=repeat)


def errors(case: Case, p: np.ndarray) -> Row:
    ours, other = (p <= LEVEL).mean(axis=0)
    what = f"type-I error at 5 %, {case.what}: share of {len(p):,} simulated splits"
    return Row(what, f"{ours:.3f}", f"permutation {other:.3f}", None, "0.04 to 0.06", 0.04 <= ours <= 0.06)


def power(case: Case, null: np.ndarray, real: np.ndarray) -> Row:
    """The power as it is, and where both tests reject 5 % of the nulls: one that errs more often finds more, too."""
    ours, other = (real <= LEVEL).mean(axis=0)
    fair, fair_other = (real <= np.quantile(null, LEVEL, axis=0)).mean(axis=0)
    what = f"power at 5 %, {case.what}: share of {len(real):,} simulated splits (at a true 5 %)"
    aim, met = ("–", True) if case.seeds > 1 else ("≥ permutation − 0.03 at a true 5 %", fair >= fair_other - 0.03)
    return Row(what, f"{ours:.3f} ({fair:.3f})", f"permutation {other:.3f} ({fair_other:.3f})", None, aim, met)


def family(m: int, repeat: int) -> tuple[float, float, float]:
    """Compare the best of a column with `m` rows, half of them equal to it, after Holm.

    Returns:
        Whether an equal row was told from it; the shares of the worse rows told from it, by the bootstrap and by the
        permutation test.
    """
    rng = np.random.default_rng([4, m, repeat])
    case = Case(150)
    equal = m // 2
    models, y, patient = split(case, rng, [0.8] * (1 + equal) + [2.6] * (m - equal))
    plan = design(y, patient)
    terms = [evaluate(case.metric, scores, y, plan, DRAWS, repeat) for scores in models]
    p = holm(difference(terms[0], term, plan, repeat).p() for term in terms[1:])
    swaps = permutation_family(case, models, y, repeat) if repeat < SWAPPED else np.full(m, np.nan)
    return float((p[:equal] <= LEVEL).any()), float((p[equal:] <= LEVEL).mean()), float((swaps[equal:] <= LEVEL).mean())


def permutation_family(case: Case, models: list[np.ndarray], y: np.ndarray, repeat: int) -> np.ndarray:
    """The p of the permutation test after Holm."""
    return holm(permutation(case.metric, models[0], b, y, permutations=MANY, seed=repeat) for b in models[1:])


def families(m: int, found: np.ndarray) -> list[Row]:
    wrong, ours = found[:, :2].mean(axis=0)
    other = found[:SWAPPED, 2].mean()
    part = found[:SWAPPED, 1].mean()
    of = f"Holm over {m} rows, half of them equal to the best, 150 patients"
    return [
        Row(
            f"{of}: any equal row told apart, share of {FAMILIES} columns",
            f"{wrong:.3f}",
            "–",
            None,
            "≤ 0.06",
            wrong <= 0.06,
        ),
        Row(
            f"{of}: worse rows (Δ AUROC about 0.14) told apart",
            f"{ours:.3f} ({part:.3f} on the columns of the other side)",
            f"permutation {other:.3f}",
            None,
            "≥ permutation − 0.03",
            part >= other - 0.03,
        ),
    ]
