"""One grouping of one run, with its numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medbench.metrics.scores import Ints
from medbench.records.groups import Group
from medbench.report.measured import Loaded, lacking
from medbench.report.subgroups.by import Members
from medbench.report.subgroups.numbers import Compared, Curves


@dataclass(frozen=True)
class Part:
    """One grouping of one run.

    Attributes:
        group: The run.
        loaded: Its predictions.
        members: Who is in which group.
        measured: Places of the groups that are large enough.
        metrics: Metric -> its numbers; without those that this run lacks.
    """

    group: Group
    loaded: Loaded
    members: Members
    measured: tuple[int, ...]
    metrics: dict[str, Compared]

    def rows_of(self, place: int) -> Ints:
        """Return the test images of a group; -1: of those that are in none."""
        return np.flatnonzero(self.members.member == place)

    def units(self, rows: Ints) -> int:
        """Return the number of patients, or of images if no two share a patient."""
        return len(rows) if self.loaded.groups is None else len(set(self.loaded.groups[rows]))

    def lacking(self, metric: str) -> str:
        """Return why the run has no number for a metric; empty: it has."""
        curves = Curves(self.loaded, metric)
        return lacking(self.group, curves.on_demand) or curves.lacking
