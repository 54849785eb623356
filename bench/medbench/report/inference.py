"""Intervals and ties of a table's cells, from the predictions that stand beside the records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medbench import stats
from medbench.records.store import PREDICTIONS
from medbench.report.groups import Group

if TYPE_CHECKING:
    from medbench.stats import Interval

LEVEL = 0.05
DRAWS = 1000
NEEDED = {"id", "group", "split"}
"""Columns of predictions besides targets and scores."""


@dataclass(frozen=True)
class Predicted:
    """A group's predictions on the test split.

    Attributes:
        ids: (n,) of the samples.
        scores: (s, n, c), one a seed.
        targets: (n,) or (n, c).
        groups: (n,) patients, or None where no sample shares one.
    """

    ids: tuple[str, ...]
    scores: NDArray[np.float64]
    targets: NDArray[np.generic]
    groups: NDArray[np.generic] | None


def predicted(group: Group) -> Predicted | None:
    """Return a group's test predictions; None where a seed's are missing or the seeds were tested on other samples."""
    import pandas as pd

    frames = []
    for record in group.records:
        file = None if record.path is None else record.path / PREDICTIONS
        if file is None or not file.is_file():
            return None
        frame = pd.read_parquet(file)
        if not set(frame.columns) >= NEEDED:
            return None
        frames.append(frame[frame["split"] == "test"])
    first = frames[0]
    ids = tuple(first["id"].astype(str))
    if not ids or any(tuple(frame["id"].astype(str)) != ids for frame in frames[1:]):
        return None
    columns = [name for name in first.columns if name == "target" or name.startswith("target_")]
    targets = first[columns].to_numpy()
    members = first["group"].astype(str).to_numpy()
    scores = np.stack([frame.filter(regex="^score_").to_numpy(np.float64) for frame in frames])
    shared = len(set(members)) < len(members)
    return Predicted(ids, scores, targets[:, 0] if columns == ["target"] else targets, members if shared else None)


def interval_of(group: Group, metric: str) -> Interval | None:
    """Return the 95 % interval of a cell: bootstrap over test patients (or images), seeds as a second level."""
    found = predicted(group)
    if found is None:
        return None
    return stats.bootstrap(metric, found.scores, found.targets, found.groups, draws=DRAWS).interval()


def ties(groups: Sequence[Group], metric: str) -> set[int]:
    """Return the places that a paired test does not separate from the best one, itself not among them.

    Each is compared with the group of the best mean, on the same test samples, by the paired bootstrap's two-sided p;
    Holm's method adjusts over all of them. Groups without predictions, or on other samples, are not compared.
    """
    means = [group.summary(metric)[0] for group in groups]
    known = [i for i, mean in enumerate(means) if mean is not None]
    if len(known) < 2:
        return set()
    best = max(known, key=lambda i: (means[i], -i))
    top = predicted(groups[best])
    if top is None:
        return set()
    places, values = [], []
    for i in known:
        other = predicted(groups[i]) if i != best else None
        if other is None or other.ids != top.ids:
            continue
        same = len(other.scores) == len(top.scores)
        drawn = stats.paired(metric, top.scores, other.scores, top.targets, top.groups, draws=DRAWS, same_seeds=same)
        places.append(i)
        values.append(drawn.p())
    adjusted = stats.holm(values)
    return {i for i, p in zip(places, adjusted.tolist(), strict=True) if not p <= LEVEL}
