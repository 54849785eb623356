"""What a training is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from medbench.cards.recipes import FinetuneRecipe
from medbench.training.machine import Machine


@dataclass(frozen=True)
class FitData:
    """Where a training's inputs come from.

    Attributes:
        train: Takes a list of (view, index), gives what `prepare` takes, (b, …).
        val: Takes a list of indices.
        test: Likewise.
        prepare: From that, on the device, to the network's input.
    """

    train: Dataset[Tensor]
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
        classes: c.
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


@dataclass
class Curve:
    """One training, epoch by epoch."""

    val: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    step: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Fitted:
    """A finished training.

    Attributes:
        best: Validation metric of the best epoch; nan if the training broke.
        epoch: That epoch, from 0.
        step: Iterations up to its end.
        scores: Validation scores there, (m, c).
        state: Trained tensors there.
        curve: Every epoch.
        facts: Trainable parameters, micro-batch, images/s.
        failed: Why it broke, or empty.
    """

    best: float
    epoch: int
    step: int
    scores: NDArray[np.float32]
    state: dict[str, Tensor]
    curve: Curve
    facts: dict[str, Any]
    failed: str = ""
