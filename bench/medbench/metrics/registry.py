"""Metrics by id: the tasks each is for, its direction, and the functions that compute it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from medbench.errors import CardError, unknown
from medbench.metrics import formulas as f
from medbench.metrics.scores import Array, Floats, Ints, Scores, confusions

NOMINAL = ("binary", "multiclass", "ordinal")
RANKED = ("multiclass", "ordinal", "multilabel")


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        id: Its name in cards, records and tables; it says how the metric is averaged.
        tasks: Tasks whose records have it.
        function: Scores -> value, nan where undefined.
        higher_is_better: Its direction.
        counts: For metrics that need predictions alone: the same on stacked confusion counts (..., c, c).
        absent: Scores -> (c,) bool, the classes that its mean leaves out; None: it leaves out none.
    """

    id: str
    tasks: tuple[str, ...]
    function: Callable[[Scores], float]
    higher_is_better: bool = True
    counts: Callable[[Ints], Array] | None = None
    absent: Callable[[Scores], NDArray[np.bool_]] | None = None

    @property
    def sign(self) -> int:
        """1, or -1 where lower values are better: `sign * value` is higher for the better of two models."""
        return 1 if self.higher_is_better else -1


def _of_confusion(counts: Callable[[Ints], Array], sample: Scores) -> float:
    return float(counts(sample.confusion))


def _no_truth(sample: Scores) -> NDArray[np.bool_]:
    return np.equal(sample.positives, 0)


def _one_sided(sample: Scores) -> NDArray[np.bool_]:
    return np.equal(sample.positives, 0) | np.equal(sample.positives, sample.n)


def _f1_macro(sample: Scores) -> float:
    return f.f1_macro_labels(sample) if sample.multilabel else _of_confusion(f.f1_macro, sample)


def _hard(name: str, counts: Callable[[Ints], Array], tasks: tuple[str, ...] = NOMINAL) -> Metric:
    absent = _no_truth if name.endswith("_macro") else None
    return Metric(name, tasks, partial(_of_confusion, counts), counts=counts, absent=absent)


_ALL = (
    _hard("accuracy", f.accuracy),
    _hard("recall_macro", f.recall_macro),
    _hard("precision_macro", f.precision_macro),
    Metric("f1_macro", (*NOMINAL, "multilabel"), _f1_macro, counts=f.f1_macro, absent=_no_truth),
    _hard("f1_weighted", f.f1_weighted),
    _hard("kappa", f.kappa),
    _hard("kappa_linear", f.kappa_linear, ("ordinal",)),
    _hard("kappa_quadratic", f.kappa_quadratic, ("ordinal",)),
    _hard("mcc", f.mcc),
    Metric("auroc", ("binary",), f.auroc),
    Metric("auroc_macro", RANKED, f.auroc_macro, absent=_one_sided),
    Metric("auroc_weighted", RANKED, f.auroc_weighted, absent=_one_sided),
    Metric("ap", ("binary",), f.ap),
    Metric("ap_macro", RANKED, f.ap_macro, absent=_no_truth),
    Metric("f1_micro", ("multilabel",), f.f1_micro),
    Metric("accuracy_exact", ("multilabel",), f.accuracy_exact),
    Metric("accuracy_label", ("multilabel",), f.accuracy_label),
    Metric("log_loss", (*NOMINAL, "multilabel"), f.log_loss, higher_is_better=False),
    Metric("ece_15", NOMINAL, f.ece_15, higher_is_better=False),
)

METRICS: dict[str, Metric] = {metric.id: metric for metric in _ALL}
"""All metrics, in the order of tables."""


def ids_for(task: str) -> list[str]:
    """Return the ids of the metrics in a task's records, in the order of tables."""
    return [metric.id for metric in _ALL if task in metric.tasks]


def get(metric_id: str, task: str | None = None) -> Metric:
    """Return a metric by id.

    Raises:
        CardError: The id is unknown, or the metric is not for `task`.
    """
    if metric_id not in METRICS:
        raise unknown("metric", metric_id, ids_for(task) if task else METRICS)
    metric = METRICS[metric_id]
    if task is not None and task not in metric.tasks:
        raise CardError(f"the metric '{metric_id}' is not for {task} tasks", f"choose from: {', '.join(ids_for(task))}")
    return metric


def _fitting(metric_id: str, multilabel: bool) -> Metric:
    """Return the metric, or raise CardError if it is not for this form of targets (one class per sample, or labels)."""
    metric = get(metric_id)
    if multilabel and "multilabel" not in metric.tasks:
        return get(metric_id, "multilabel")
    if not multilabel and metric.tasks == ("multilabel",):
        return get(metric_id, "multiclass")
    return metric


def score(metric_id: str, scores: Floats, targets: NDArray[np.generic]) -> float:
    """Return one metric.

    Args:
        metric_id: Its id.
        scores: (n, c) probabilities: a softmax (c = 2 for binary tasks), or one sigmoid per label.
        targets: (n,) class numbers, or (n, c) zeros and ones.

    Returns:
        The value; nan if it is not defined here: no samples, a score that is not a number, or only one class.
    """
    sample = Scores(scores, targets)
    metric = _fitting(metric_id, sample.multilabel)
    return metric.function(sample) if sample.finite else float("nan")


def score_many(metric_id: str, scores: Floats, targets: NDArray[np.generic]) -> Array:
    """Return one metric for each of `m` sets of scores with the same targets.

    Args:
        metric_id: Its id.
        scores: (m, n, c) probabilities.
        targets: (n,) class numbers, or (n, c) zeros and ones.

    Returns:
        (m,) values: the `score` of each set.
    """
    multilabel = targets.ndim == 2
    metric = _fitting(metric_id, multilabel)
    if metric.counts is None or multilabel or not len(targets):
        return np.array([score(metric_id, one, targets) for one in scores], np.float64)
    Scores(scores[0], targets)  # the shapes and the range of the classes
    values = metric.counts(confusions(scores, targets))
    return np.where(np.isfinite(scores).all(axis=(1, 2)), values, np.nan)


def compute(
    task: str, scores: Floats, targets: NDArray[np.generic], ranks: Floats | None = None
) -> tuple[dict[str, float | None], dict[str, list[int]]]:
    """Return all metrics of a task.

    Args:
        task: `binary`, `multiclass`, `ordinal` or `multilabel`.
        scores: (n, c) probabilities.
        targets: (n,) class numbers, or (n, c) zeros and ones for multilabel tasks.
        ranks: (n, c) log-odds, by which ranking metrics order the images; None: by the probabilities.

    Returns:
        Metric id -> value (None: undefined here), and metric id -> the classes that its mean leaves out because the
        targets do not have them (AUROC: or have nothing else), if there are any.
    """
    sample = Scores(scores, targets, ranks)
    values: dict[str, float | None] = {}
    absent: dict[str, list[int]] = {}
    for name in ids_for(task):
        metric = METRICS[name]
        value = metric.function(sample) if sample.finite else float("nan")
        values[name] = None if np.isnan(value) else float(value)
        if metric.absent is not None and (left := np.flatnonzero(metric.absent(sample))).size:
            absent[name] = left.tolist()
    return values, absent
