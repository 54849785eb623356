"""Which test images of a run are in which group: from texts next to its predictions, or from the labels of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from medbench.cards.dataset import SUBGROUP
from medbench.errors import CardError, DataError
from medbench.records.groups import Group
from medbench.records.store import PREDICTIONS
from medbench.report.subgroups.by import By, Members

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Membership:
    """Finds the groups of each run's test images; the labels of the data are read once, if a run needs them."""

    by: By

    @cached_property
    def labels(self) -> pd.DataFrame:
        """The labels of the data, by the images' ids."""
        try:
            found = self.by.labels(self.by.columns)
        except CardError as error:
            raise CardError(error.message, "name the labels: --labels DATASET, a card file or a CSV") from error
        return found.set_index(found["id"].astype(str))

    def of(self, group: Group) -> list[Members]:
        """Return who is in which group, for each grouping.

        Args:
            group: A run whose predictions are stored.

        Raises:
            DataError: The labels lack test images, or have another label or patient for one; or a column makes no
                groups.
        """
        rows = _predictions(group)
        wanted = [SUBGROUP + column for column in self.by.columns]
        if not (self.by.stored and set(wanted) <= set(rows.columns)):
            rows = self._joined(rows, wanted)
        cells = {name: rows[SUBGROUP + name].astype(str).tolist() for name in self.by.columns}
        return [one.of([cells[column] for column in one.columns]) for one in self.by.groupings]

    def _joined(self, rows: pd.DataFrame, wanted: Sequence[str]) -> pd.DataFrame:
        """Return rows of predictions with columns of the labels."""
        ids, labels = rows["id"], self.labels
        hint = "the labels are not those of the run: give the right ones with --labels, or run again on these data"
        if len(lone := ids[~ids.isin(labels.index)]):
            raise DataError(f"the labels lack {len(lone)} of {len(ids)} test images, such as '{lone.iloc[0]}'", hint)
        found = labels.loc[ids]
        differ = {"patient": found["group"].astype(str).to_numpy() != rows["group"].astype(str).to_numpy()}
        targets = [name for name in rows.columns if name == "target" or name.startswith("target_")]
        same = set(targets) <= set(found.columns)
        differ["label"] = (
            (found[targets].to_numpy() != rows[targets].to_numpy()).any(axis=1) if same else np.ones(len(ids), bool)
        )
        for what, places in differ.items():
            if places.any():
                image = ids[places].iloc[0]
                raise DataError(
                    f"for the test image '{image}', the labels and the run have different values: {what}", hint
                )
        return rows.assign(**{name: found[name].to_numpy() for name in wanted})


def stored_texts(group: Group) -> dict[str, list[str]]:
    """Return the columns that are stored next to a run's predictions, each with the texts of the test images."""
    rows = _predictions(group)
    names = [name for name in rows.columns if name.startswith(SUBGROUP)]
    return {name.removeprefix(SUBGROUP): rows[name].astype(str).tolist() for name in names}


def _predictions(group: Group) -> pd.DataFrame:
    """Return id, group, targets and texts of a run's test images; all seeds have the same."""
    import pandas as pd
    from pyarrow import parquet

    assert group.first.path is not None
    file = group.first.path / PREDICTIONS
    kept = ("target", SUBGROUP)
    names = [
        name for name in parquet.read_schema(file).names if name in ("id", "group", "split") or name.startswith(kept)
    ]
    frame = pd.read_parquet(file, columns=names)
    found = frame[frame["split"] == "test"].reset_index(drop=True)
    return found.assign(id=found["id"].astype(str))
