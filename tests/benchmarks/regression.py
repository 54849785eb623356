"""Logistic regression at ten strengths against scikit-learn's, at HAM10000's size."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from benchmarks.row import Row
from medbench import progress
from medbench.training.heads.logistic import fit_logistic

N, DIM, STRENGTHS = 7012, 512, np.logspace(-3, 2, 10)
SHARE = np.array([6705, 1113, 1099, 514, 327, 142, 115]) / 10015  # of HAM10000's seven classes


def run(folder: Path, device: str) -> list[Row]:
    source = np.random.default_rng(0)
    y = source.choice(len(SHARE), N, p=SHARE)
    mixed = np.eye(DIM) + source.normal(size=(DIM, DIM)) * 0.5 / np.sqrt(DIM)
    centres, spread = source.normal(size=(len(SHARE), DIM)) * 0.25, np.exp(source.normal(size=DIM)) * 0.3
    x = np.maximum((source.normal(size=(N, DIM)) + centres[y]) @ mixed, -0.5) * spread
    start = time.perf_counter()
    with progress.quiet():
        ours = fit_logistic(x, y, len(SHARE), list(STRENGTHS), balanced=True)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for C in STRENGTHS:
            LogisticRegression(C=C, class_weight="balanced", max_iter=1000).fit(x, y)
    plain = time.perf_counter() - start
    # Its L-BFGS stops far from the optimum at 1,000 steps, so the losses are compared with its slower, exact solver.
    exact = [
        LogisticRegression(C=C, class_weight="balanced", solver="newton-cg", tol=1e-8).fit(x, y) for C in STRENGTHS[::3]
    ]
    each = (N / (len(SHARE) * np.bincount(y)))[y]

    def loss(weight: np.ndarray, bias: np.ndarray) -> float:
        return float((each * -log_softmax(x @ weight.T + bias, axis=1)[np.arange(N), y]).mean())

    gap = max(abs(loss(a.weight, a.bias) - loss(b.coef_, b.intercept_)) for a, b in zip(ours[::3], exact, strict=True))
    what = f"linear probe, {N:,} x {DIM} x {len(SHARE)}, {len(STRENGTHS)} values of C"
    return [
        Row(what, f"{seconds:.1f} s", f"scikit-learn {plain:.1f} s", seconds / plain, "≤ 1", seconds <= plain),
        Row(
            "largest difference of their log loss", f"{gap:.1e}", "scikit-learn's newton-cg", None, "1e-4", gap <= 1e-4
        ),
    ]
