"""What a fine-tuning gives: its curve and its best epoch, kept on disk until the records are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from medbench.training.checkpoint import State


@dataclass
class Curve:
    """One training, epoch by epoch.

    Attributes:
        val: Validation metric after the epoch.
        loss: Mean training loss of the epoch.
        rate: Learning rate at its end.
        step: Steps up to its end.
    """

    val: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    step: list[int] = field(default_factory=list)

    def add(self, val: float, loss: float, rate: float, step: int) -> None:
        """Add an epoch."""
        self.val.append(val)
        self.loss.append(loss)
        self.rate.append(rate)
        self.step.append(step)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return one array (e,) for each column."""
        return {column.name: np.asarray(getattr(self, column.name)) for column in fields(self)}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> Curve:
        """Return the curve that `arrays` was called on; other arrays are ignored."""
        return cls(*(arrays[column.name].tolist() for column in fields(cls)))


@dataclass(frozen=True)
class Fitted:
    """A finished training.

    Attributes:
        best: Validation metric of the best epoch; nan if the training failed.
        epoch: That epoch, from 0.
        step: Steps up to its end.
        log_odds: Of the validation images there, (m, c).
        state: Trained tensors there.
        curve: Every epoch.
        facts: Trainable parameters, size of the micro-batch, images and seconds.
        failed: Why it failed, or empty.
    """

    best: float
    epoch: int
    step: int
    log_odds: NDArray[np.float64]
    state: dict[str, Tensor]
    curve: Curve
    facts: dict[str, Any]
    failed: str = ""

    def save(self, file: Path) -> None:
        """Write the finished training."""
        names = ("epoch", "step", "facts", "failed")
        facts = {"best": repr(self.best), **{name: getattr(self, name) for name in names}}  # JSON has no nan
        State(self.state, {"log_odds": self.log_odds, **self.curve.arrays()}, facts).save(file)

    @classmethod
    def load(cls, file: Path) -> Fitted | None:
        """Return the finished training in `file`, or None if there is none."""
        state = State.load(file)
        if state is None:
            return None
        facts, arrays = state.facts, state.arrays
        best, curve = float(facts["best"]), Curve.of(arrays)
        return cls(
            best,
            facts["epoch"],
            facts["step"],
            arrays["log_odds"],
            state.tensors,
            curve,
            facts["facts"],
            facts["failed"],
        )
