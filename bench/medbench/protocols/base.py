"""What a protocol is given and what it gives back. It never sees a test label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medbench.cards import Settings

if TYPE_CHECKING:
    import torch


class Inputs(Protocol):
    """The frozen encoder's view of the data."""

    def clean(self, split: str) -> NDArray[np.float32]:
        """Return the features of a split's images under the evaluation transform, (n, d)."""

    def views(self) -> Sequence[NDArray[np.float32]]:
        """Return the features of each augmented view of the training images, (n, d); the clean pass if there are none.

        They may be maps of files.
        """


@dataclass(frozen=True)
class Context:
    """One job: all its seeds at once.

    Attributes:
        settings: The resolved recipe.
        seeds: The repeats.
        classes: Number of classes c.
        multilabel: Whether a sample can have several.
        metric: Id of the metric that decides.
        train_targets: (n,) int64 or (n, c) 0/1.
        val_targets: (m,) or (m, c).
        val_groups: Patient of each validation image, (m,), or None where no groups are known.
        inputs: Features of all splits; labels of train and validation only.
        device: Where to compute.
        partial: Folder for the state of unfinished work; removed when the records are written.
    """

    settings: Settings
    seeds: list[int]
    classes: int
    multilabel: bool
    metric: str
    train_targets: NDArray[np.integer]
    val_targets: NDArray[np.integer]
    val_groups: NDArray[np.generic] | None
    inputs: Inputs
    device: torch.device
    partial: Path


@dataclass(frozen=True)
class Outcome:
    """What one seed gave.

    Attributes:
        scores_val: Class scores on validation, (m, c).
        scores_test: Class scores on test, (t, c).
        chosen: Hyper-parameters chosen on validation.
        selection: Every candidate with its validation curve.
        history: Column -> values, one row per epoch and candidate.
        warnings: What a reader must know.
    """

    scores_val: NDArray[np.float32]
    scores_test: NDArray[np.float32]
    chosen: dict[str, Any] = field(default_factory=dict)
    selection: dict[str, Any] = field(default_factory=dict)
    history: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
