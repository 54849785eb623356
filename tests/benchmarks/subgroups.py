"""Gaps between subgroups, on SIMULATED test splits: how often the interval has the truth, how often the test errs."""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy.stats import norm

from benchmarks.coverage import DRAWS, HIGH, LOW
from benchmarks.row import Row
from medbench.metrics.weighted import weighted
from medbench.stats.bootstrap import evaluate_many
from medbench.stats.subgroups import Gap, gap, group_design, permutation_p

SPLITS, NULLS, PERMUTATIONS = 2000, 4000, 400
MOST_ERRORS = 0.06
SECONDS = 10.0


@dataclass(frozen=True)
class Case:
    """One kind of test split.

    Attributes:
        what: Its name.
        units: Patients of each group.
        apart: Distance of the two classes in each group, in standard deviations of a class.
        shares: Share of positive patients in each group.
        images: Of each patient; they have half of their variance in common.
        luck: Standard deviation of what a training seed adds to all distances; none: there is one seed.
        within: Whether each image of a patient has a group of its own.
    """

    what: str
    units: tuple[int, ...]
    apart: tuple[float, ...]
    shares: tuple[float, ...]
    images: int = 1
    luck: float = 0.0
    within: bool = False

    @property
    def truth(self) -> float:
        """The largest AUROC of a group minus the smallest: the AUROC is the normal distribution at distance / √2."""
        return float(np.ptp(norm.cdf(np.array(self.apart) / 2**0.5)))

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return (s, n, 2) scores, (n,) classes, (n,) groups and (n,) patients."""
        group = np.repeat(np.arange(len(self.units)), self.units)
        place = np.concatenate([np.arange(n) for n in self.units])
        y = place < np.array(self.shares)[group] * np.array(self.units)[group]
        patient, y, group = (np.repeat(one, self.images) for one in (np.arange(len(group)), y.astype(int), group))
        if self.within:
            group = rng.integers(0, len(self.units), len(group))
        n, shared = len(y), 0.5 * (self.images > 1)
        x = shared**0.5 * rng.normal(size=patient[-1] + 1)[patient] + (1 - shared) ** 0.5 * rng.normal(size=n)
        seeds = [self.luck * rng.normal() for _ in range(3)] if self.luck else [0.0]
        logits = np.stack([x + (np.array(self.apart)[group] + more) * y for more in seeds])
        p = 1 / (1 + np.exp(1 - logits))
        return np.stack([1 - p, p], -1), y, group, patient


EQUAL = (1.5, 1.5)
GAPS = (
    Case("AUROC, 2 groups of 300 images that differ", (300, 300), (1.2, 1.6), (0.3, 0.5)),
    Case("AUROC, 2 equal groups of 400 and 100 images", (400, 100), EQUAL, (0.3, 0.3)),
    Case("AUROC, 2 groups of 100 patients of 3 images that differ", (100, 100), (1.2, 1.8), (0.3, 0.5), 3),
    Case("AUROC, 2 groups of 200 images that differ, 3 seeds", (200, 200), (1.2, 1.6), (0.4, 0.4), luck=0.15),
    Case("AUROC, 3 groups of 150 images that differ", (150, 150, 150), (1.0, 1.5, 2.0), (0.4, 0.4, 0.4)),
    Case("AUROC, 3 groups, one differs, 80 patients of 3 images", (80,) * 3, (1.5, 1.5, 0.9), (0.4,) * 3, 3),
    Case("AUROC, 5 equal groups of 80 images", (80,) * 5, (1.5,) * 5, (0.4,) * 5),
)
EQUALS = (
    Case("2 groups of 150 images, 20 and 60 % positive", (150, 150), EQUAL, (0.2, 0.6)),
    Case("2 groups of 120 and 40 patients of 3 images, 20 and 50 % positive", (120, 40), EQUAL, (0.2, 0.5), 3),
    Case("4 groups of 40 patients of 3 images", (40,) * 4, EQUAL * 2, (0.4,) * 4, 3),
    Case("2 groups within 100 patients of 4 images", (50, 50), EQUAL, (0.4, 0.4), 4, within=True),
)


def run(folder: Path, device: str) -> list[Row]:
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        rows = [_coverage(case, list(pool.map(partial(covers, case), range(SPLITS), chunksize=20))) for case in GAPS]
        rows += [_errors(case, list(pool.map(partial(errs, case), range(NULLS), chunksize=20))) for case in EQUALS]
    return [*rows, cost()]


def gap_of(scores: np.ndarray, targets: np.ndarray, group: np.ndarray, patient: np.ndarray, seed: int) -> Gap:
    rows = [np.flatnonzero(group == g) for g in range(group.max() + 1)]
    order = np.concatenate(rows)
    plan = group_design(targets[order], group[order], patient[order])
    parts = [weighted("auroc", scores[:, own], targets[own]) for own in rows]
    ends = np.cumsum([len(own) for own in rows])[:-1]
    terms = evaluate_many(
        lambda weights: np.stack([part(w) for part, w in zip(parts, np.split(weights, ends), strict=True)]),
        plan,
        DRAWS,
        seed,
    )
    return gap(terms, plan, seed)


def covers(case: Case, split: int) -> bool:
    """Whether the interval has the truth; of two groups, in the order that the split shows."""
    scores, targets, group, patient = case.draw(np.random.default_rng([8, split]))
    found = gap_of(scores, targets, group, patient, split)
    truth = case.truth
    if len(case.units) == 2:
        truth = float(np.subtract(*norm.cdf(np.array(case.apart)[[found.highest, found.lowest]] / 2**0.5)))
    return found.low - 1e-9 <= truth <= found.high


def errs(case: Case, split: int) -> bool:
    """Whether the test finds a difference that is not there."""
    scores, targets, group, patient = case.draw(np.random.default_rng([9, split]))
    values = weighted("auroc", scores, targets)
    return permutation_p(lambda w: values(w).mean(axis=0), group, targets, patient, PERMUTATIONS, split) <= 0.05


def _coverage(case: Case, covered: list[bool]) -> Row:
    share, several = float(np.mean(covered)), len(case.units) > 2
    error = (share * (1 - share) / len(covered)) ** 0.5
    what = f"95 % interval of the gap, {case.what}: share of {len(covered):,} simulated splits with the truth in it"
    aim, met = (f"≥ {LOW}", share >= LOW) if several else (f"{LOW} to {HIGH}", LOW <= share <= HIGH)
    return Row(what, f"{share:.3f}", f"± {error:.3f}", None, aim, met)


def _errors(case: Case, wrong: list[bool]) -> Row:
    share = float(np.mean(wrong))
    error = (share * (1 - share) / len(wrong)) ** 0.5
    what = f"permutation test of equal groups, {case.what}: share of {len(wrong):,} simulated splits with p ≤ 0.05"
    return Row(what, f"{share:.3f}", f"± {error:.3f}", None, f"≤ {MOST_ERRORS}", share <= MOST_ERRORS)


def cost() -> Row:
    """A gap with its interval and its p, as a table computes them, in seconds of one processor core."""
    case = Case("", (1250, 1250), (1.2, 1.6), (0.3, 0.3), 2, luck=0.15)
    scores, targets, group, patient = case.draw(np.random.default_rng(0))
    start = time.process_time()
    gap_of(scores, targets, group, patient, 0)
    values = weighted("auroc", scores, targets)
    permutation_p(lambda w: values(w).mean(axis=0), group, targets, patient, DRAWS)
    spent = time.process_time() - start
    what = f"AUROC of two subgroups: intervals, gap and {DRAWS:,} permutations, 5,000 images of 2,500 patients, 3 seeds"
    return Row(what, f"{spent:.1f} s of one core", "no other", None, f"≤ {SECONDS:.0f} s", spent <= SECONDS)
