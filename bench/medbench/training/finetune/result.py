"""What is kept of a training on disk: an unfinished one's state, and a finished one until its records are there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medbench.training.checkpoint import load_state, save_state
from medbench.training.finetune.task import Curve, Fitted

if TYPE_CHECKING:
    pass

CURVE = ("val", "loss", "rate", "step")


def save_fitted(file: Path, fitted: Fitted) -> None:
    """Write a finished training."""
    facts = {
        "best": repr(fitted.best),
        "epoch": fitted.epoch,
        "step": fitted.step,
        "facts": fitted.facts,
        "failed": fitted.failed,
    }
    save_state(file, fitted.state, {"scores": fitted.scores, **_arrays(fitted.curve)}, facts)


def load_fitted(file: Path) -> Fitted | None:
    """Return a finished training, or None where there is none."""
    state = load_state(file, {})
    if state is None:
        return None
    tensors, arrays, facts = state
    best, epoch, step = float(facts["best"]), facts["epoch"], facts["step"]
    return Fitted(best, epoch, step, arrays["scores"], tensors, _curve(arrays), facts["facts"], facts["failed"])


def _arrays(curve: Curve) -> dict[str, Any]:
    return {name: np.asarray(getattr(curve, name)) for name in CURVE}


def _curve(arrays: dict[str, Any]) -> Curve:
    return Curve(*(arrays[name].tolist() for name in CURVE))
