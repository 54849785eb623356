"""Means with their spread, and how sure a choice made on a validation set can be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from medbench.metrics import score_many
from medbench.metrics.scores import Floats


def summary(values: Iterable[float | None]) -> tuple[float | None, float | None, int]:
    """Return (mean, sample standard deviation, n) of the values that are defined.

    Args:
        values: Repeats of one number; None and nan stand for undefined and do not count.

    Returns:
        The mean (None without a value), the standard deviation with n - 1 in the denominator (None below two values)
        and the number of values.
    """
    known = np.array([v for v in values if v is not None and not np.isnan(v)], np.float64)
    if not known.size:
        return None, None, 0
    return float(known.mean()), float(known.std(ddof=1)) if known.size > 1 else None, int(known.size)


def paired_se(
    metric_id: str,
    scores_a: Floats,
    scores_b: Floats,
    targets: NDArray[np.generic],
    draws: int = 200,
    seed: int = 0,
    groups: NDArray[np.generic] | None = None,
) -> float:
    """Return the standard error of metric(a) - metric(b) on one set of samples, by a paired bootstrap.

    Each draw takes n samples with replacement (or whole groups, if told) and scores both candidates on them, so what
    makes a sample easy or hard for both cancels. A winner whose lead is below this was picked by the validation set's
    luck as much as by its merit.

    Args:
        metric_id: The metric.
        scores_a: (n, c) probabilities of one candidate, or (s, n, c) of its s seeds, whose metrics are averaged.
        scores_b: The same of the other candidate.
        targets: (n,) class numbers, or (n, c) zeros and ones.
        draws: Bootstrap draws; the result's own relative error is about 1 / sqrt(2 draws), 5 % for 200.
        seed: Of the draws: same arguments, same result.
        groups: (n,) patient or lesion of each sample; None: each sample stands for itself.

    Returns:
        The standard deviation of the difference over the draws in which it is defined; nan below two of those.
    """
    a, b = (scores[None] if scores.ndim == 2 else scores for scores in (scores_a, scores_b))
    both = np.concatenate([a, b])
    gaps = []
    for rows in _resamples(len(targets), draws, seed, groups):
        values = score_many(metric_id, both[:, rows], targets[rows])
        gaps.append(values[: len(a)].mean() - values[len(a) :].mean())
    spread = summary(gaps)[1]
    return float("nan") if spread is None else spread


def _resamples(n: int, draws: int, seed: int, groups: NDArray[np.generic] | None) -> Iterator[NDArray[np.int64]]:
    """Yield the row numbers of each bootstrap draw."""
    rng = np.random.default_rng(seed)
    if groups is None:
        for _ in range(draws):
            yield rng.integers(0, n, n)
        return
    _, member = np.unique(groups, return_inverse=True)
    rows = np.argsort(member, kind="stable")
    blocks = np.split(rows, np.cumsum(np.bincount(member))[:-1])
    for _ in range(draws):
        yield np.concatenate([blocks[i] for i in rng.integers(0, len(blocks), len(blocks))])
