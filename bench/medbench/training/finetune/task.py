"""What a fine-tuning is given: its data, its targets and its recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from medbench.cards.recipes import FinetuneRecipe
from medbench.training.machine import Machine


@dataclass(frozen=True)
class FitData:
    """The inputs of a training.

    Attributes:
        train: Takes a list of (view, index), gives (b, …) for `prepare`, or an `Undrawn` that gives it on the device.
        val: Takes a list of indices, gives the same.
        test: As `val`.
        prepare: Turns that, on the device, into the network's input.
    """

    train: Dataset[Any]
    val: Dataset[Tensor]
    test: Dataset[Tensor]
    prepare: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class FitTask:
    """What all trainings of a job share.

    Attributes:
        settings: The recipe.
        train_targets: (n,) int64, or (n, c) float32 zeros and ones.
        val_targets: (m,) or (m, c), numpy.
        classes: Number of classes c.
        metric: Id of the metric that epochs are chosen by.
        machine: Where to compute.
    """

    settings: FinetuneRecipe
    train_targets: Tensor
    val_targets: NDArray[np.integer]
    classes: int
    metric: str
    machine: Machine

    @property
    def multilabel(self) -> bool:
        """Whether a sample can have several classes."""
        return self.train_targets.ndim == 2
