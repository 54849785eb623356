"""What the test predictions of one cell's seeds say: confusions, ROC curves, calibration, and the worst images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medbench.metrics import Sample
from medbench.metrics.sample import Array, Ints
from medbench.records import store

BINS = 15
"""Of the reliability diagram, as of `metrics.ece_15`."""

ROC_GRID = np.linspace(0, 1, 81) ** 2
"""False positive rates at which ROC curves are read: close together where the curve is steep."""

TINY = float(np.finfo(np.float64).eps)  # probabilities are kept this far from 0 and 1, as in `metrics.log_loss`


@dataclass(frozen=True)
class Worst:
    """One test image that the seeds, on average, got wrong most.

    Attributes:
        id: Its id.
        loss: Mean over the seeds of the negative log-likelihood in nats; for several labels, their sum.
        truth: Its class, or the findings it has.
        predicted: The class most seeds named, or the findings with a mean score of 0.5 or more.
        votes: Seeds that named that class; None for several labels.
        score: Mean score of its class; for several labels, of the label that costs most.
        label: That label; empty for one class.
    """

    id: str
    loss: float
    truth: tuple[str, ...]
    predicted: tuple[str, ...]
    votes: int | None
    score: float
    label: str = ""


@dataclass(frozen=True)
class Scores:
    """Test predictions of the seeds of one cell on the same images.

    Attributes:
        ids: Of the n images.
        classes: Names of the c classes or findings.
        targets: (n,) class numbers, or (n, c) zeros and ones.
        scores: (s, n, c) probabilities.
        left_out: Seeds whose predictions could not be read, or are of other images.
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    targets: NDArray[Any]
    scores: NDArray[np.floating]
    left_out: tuple[int, ...] = ()

    @property
    def multilabel(self) -> bool:
        """Whether an image may carry several findings, or none."""
        return self.targets.ndim == 2

    @cached_property
    def samples(self) -> list[Sample]:
        """Scores against truth, one per seed."""
        return [Sample(scores, self.targets) for scores in self.scores]

    @cached_property
    def positives(self) -> Ints:
        """(c,) images of each class."""
        return self.samples[0].positives

    @cached_property
    def confusion(self) -> Array:
        """(c, c) counts, truth by prediction, mean over the seeds; not for several labels."""
        return np.mean([sample.confusion for sample in self.samples], axis=0)

    @cached_property
    def aurocs(self) -> Array:
        """(s, c) areas under the ROC curves, one class against the rest; nan where undefined."""
        return np.array([sample.aurocs for sample in self.samples])

    @cached_property
    def aps(self) -> Array:
        """(s, c) average precisions, one class against the rest; nan where undefined."""
        return np.array([sample.aps for sample in self.samples])

    def roc(self, k: int) -> Array | None:
        """Return the ROC curve of class `k` against the rest, (m, 2) of false and true positive rates.

        Vertical average over the seeds (T. Fawcett, An introduction to ROC analysis, 2006, algorithm 3), read at
        `ROC_GRID`. None without positives or negatives.
        """
        has = self.targets[:, k] != 0 if self.multilabel else self.targets == k
        if has.all() or not has.any():
            return None
        curves = [np.interp(ROC_GRID, *_roc(scores[:, k], has)) for scores in self.scores]
        points = np.column_stack([ROC_GRID, np.mean(curves, axis=0)])
        return np.concatenate([[[0.0, 0.0]], points])

    def reliability(self) -> tuple[Array, Array, Ints]:
        """Return (mean confidence, share right, count) of each of `BINS` bins of equal width, (low, high].

        One class: of the predicted class. Several labels: the score of each (image, label) and the share of those that
        have it. The seeds' images are put together; nan in empty bins.
        """
        if self.multilabel:
            confidence = self.scores.reshape(-1)
            right = np.broadcast_to(self.targets != 0, self.scores.shape).reshape(-1)
        else:
            top = self.scores.argmax(axis=2)
            confidence = np.take_along_axis(self.scores, top[..., None], axis=2).reshape(-1)
            right = (top == self.targets).reshape(-1)
        confidence = confidence.astype(np.float64)
        bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
        count = np.bincount(bins, minlength=BINS)
        with np.errstate(invalid="ignore"):
            sums = (np.bincount(bins, weights=w, minlength=BINS) / count for w in (confidence, right))
            mean, share = sums
        return mean, share, count

    def worst(self, n: int) -> list[Worst]:
        """Return the `n` images of the highest loss that at least one seed got wrong, the worst first."""
        p = np.clip(self.scores.astype(np.float64), TINY, 1 - TINY)
        if self.multilabel:
            losses = -np.log(np.where(self.targets != 0, p, 1 - p)).mean(axis=0)  # (n, c)
            wrong = ((self.scores >= 0.5) != (self.targets != 0)).any(axis=(0, 2))
            loss = losses.sum(axis=1)
        else:
            rows = np.arange(len(self.ids))
            losses = -np.log(p[:, rows, self.targets])  # (s, n)
            wrong = (self.scores.argmax(axis=2) != self.targets).any(axis=0)
            loss = losses.mean(axis=0)
        order = [int(i) for i in np.argsort(-loss, kind="stable") if wrong[i]][:n]
        make = self._labels if self.multilabel else self._class
        return [make(i, float(loss[i]), losses) for i in order]

    def _class(self, i: int, loss: float, _: Array) -> Worst:
        votes = np.bincount(self.scores[:, i].argmax(axis=1), minlength=len(self.classes))
        true, called = int(self.targets[i]), int(votes.argmax())
        score = float(self.scores[:, i, true].mean())
        return Worst(self.ids[i], loss, (self.classes[true],), (self.classes[called],), int(votes[called]), score)

    def _labels(self, i: int, loss: float, losses: Array) -> Worst:
        mean = self.scores[:, i].mean(axis=0)
        k = int(losses[i].argmax())
        truth = tuple(name for name, t in zip(self.classes, self.targets[i], strict=True) if t)
        called = tuple(name for name, m in zip(self.classes, mean, strict=True) if m >= 0.5)
        return Worst(self.ids[i], loss, truth, called, None, float(mean[k]), self.classes[k])


def _roc(scores: NDArray[np.floating], has: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return (false positive rates, true positive rates), both rising from 0 to 1, one point per distinct score."""
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], has[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # of each run of equal scores
    true = np.cumsum(hits)[last]
    false = last + 1 - true
    return np.append(0, false / max(1, false[-1])), np.append(0, true / max(1, true[-1]))


def read_scores(folders: Iterable[tuple[int, Path | None]]) -> Scores | None:
    """Read the test predictions of some seeds, put in the order of the first one's images.

    Args:
        folders: (seed, folder of its record).

    Returns:
        None where no seed has any that can be read.
    """
    first: tuple[tuple[str, ...], tuple[str, ...], NDArray[Any]] | None = None
    found: list[NDArray[np.floating]] = []
    left_out: list[int] = []
    for seed, folder in folders:
        read = _read(folder / store.PREDICTIONS) if folder is not None else None
        if read is not None and first is None:
            first = read[:3]
        rows = _aligned(first, read) if first is not None and read is not None else None
        if read is None or rows is None:
            left_out.append(seed)
        else:
            found.append(read[3][rows])
    if first is None:
        return None
    return Scores(*first, np.stack(found), tuple(left_out))


_Read = tuple[tuple[str, ...], tuple[str, ...], NDArray[Any], NDArray[np.floating]]


def _aligned(first: tuple[tuple[str, ...], tuple[str, ...], NDArray[Any]], read: _Read) -> NDArray[np.intp] | None:
    """Return the rows of `read` in the order of the first one's images; None where images, classes or truth differ."""
    if read[1] != first[1] or len(read[0]) != len(first[0]) or set(read[0]) != set(first[0]):
        return None
    place = {name: i for i, name in enumerate(read[0])}
    rows = np.array([place[name] for name in first[0]], np.intp)
    return rows if np.array_equal(read[2][rows], first[2]) else None


def _read(file: Path) -> _Read | None:
    """Return (ids, classes, targets, scores) of the test rows; None where the file is not there or damaged."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(file, filters=[("split", "==", "test")])
        ids = tuple(map(str, table.column("id").to_pylist()))
        names = [name for name in table.column_names if name.startswith("score_")]
        classes = tuple(name.removeprefix("score_") for name in names)
        scores = np.column_stack([table.column(name).to_numpy() for name in names])
        if "target" in table.column_names:
            targets = table.column("target").to_numpy().astype(np.int64)
        else:
            targets = np.column_stack([table.column(f"target_{name}").to_numpy() for name in classes])
        Sample(scores, targets)  # refuses shapes that do not fit and classes out of range
    except (OSError, ValueError, KeyError, pyarrow.ArrowException):
        return None
    whole = len(ids) > 0 and len(set(ids)) == len(ids) and bool(np.isfinite(scores).all())
    return (ids, classes, targets, scores) if whole else None
