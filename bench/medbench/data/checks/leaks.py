"""What makes a split's numbers better than they are, or a class unknown. `data check` says it, and every run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medbench.cards.dataset import SPLITS, DatasetCard, Split
from medbench.data.checks.findings import Finding, duplicates_across
from medbench.data.dataset import Dataset
from medbench.data.splits.rules import hot_of
from medbench.errors import few

if TYPE_CHECKING:
    import pandas as pd


def leaks_of(data: Dataset) -> list[Finding]:
    """Return what a data set's split does wrong: groups or identical images in two splits, classes that one lacks."""
    samples = data.samples
    return [
        *groups_across(samples),
        *duplicates_across(data.card, samples, data.content),
        *absent_classes(data.card, samples),
    ]


def groups_across(samples: pd.DataFrame) -> list[Finding]:
    """Find groups (patients, lesions) that are in more than one split.

    Args:
        samples: As in `Dataset`; rows in no split do not count.
    """
    used = samples[samples["split"] != ""]
    splits = used.groupby("group", sort=False)["split"].nunique()
    cut = splits.index[splits > 1].tolist()
    if not cut:
        return []
    ids = used.loc[used["group"].isin(cut), "id"].tolist()
    what = "1 group is" if len(cut) == 1 else f"{len(cut)} groups are"
    text = f"{what} in more than one split: {few(cut)}; --set split=grouped keeps them together"
    return [Finding("groups-across", "warning", text, ids)]


def absent_classes(card: DatasetCard, samples: pd.DataFrame) -> list[Finding]:
    """Find classes that a split does not hold, and labels that all training images have.

    What train lacks cannot be learned: a warning. What val or test lacks is left out by the metrics there: a note.
    A part that the split does not have at all lacks nothing.
    """
    hot, assigned = hot_of(card, samples), samples["split"].to_numpy()
    counts = {name: hot[assigned == name].sum(axis=0) for name in SPLITS}
    found, learned = [], int((assigned == "train").sum())
    if learned and (gone := _named(card, counts["train"] == 0)):
        found.append(Finding("absent-train", "warning", f"train has no image of {_classes(gone)}"))
    if learned and card.task == "multilabel" and (every := _named(card, counts["train"] == learned)):
        found.append(Finding("absent-train", "warning", f"all images of train have {_classes(every)}"))
    effects: dict[Split, str] = {
        "val": "hyper-parameters are chosen without these",
        "test": "metrics are computed without these",
    }
    for name, effect in effects.items():
        if (assigned == name).any() and (gone := _named(card, counts[name] == 0)):
            text = f"{name} has no image of {_classes(gone)}: {effect}"
            found.append(Finding(f"absent-{name}", "note", text))
    return found


def _named(card: DatasetCard, chosen: npt.NDArray[np.bool_]) -> list[str]:
    return [name for name, holds in zip(card.class_names, chosen.tolist(), strict=True) if holds]


def _classes(names: list[str]) -> str:
    return f"class{'es' * (len(names) > 1)} {few(names, 8)}"
