"""What is kept of a training on disk: an unfinished one's state, and a finished one until its records are there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from medbench.training.checkpoint import load_state, save_state
from medbench.training.machine import trained_state
from medbench.training.optimizer import optimizer_arrays, restore_optimizer
from medbench.training.task import Curve, Fitted

if TYPE_CHECKING:
    from medbench.training.loop import Fit

CURVE = ("val", "loss", "rate", "step")
PLATEAU = ("scale", "best", "bad")


def save_fit(file: Path, fit: Fit) -> float:
    """Write the state of an unfinished training (the first process does); returns the seconds that took."""
    began = time.monotonic()
    if fit.machine.rank == 0:
        fit.network.train()
        tensors = {f"now.{name}": value for name, value in trained_state(fit.network).items()}
        tensors |= {f"best.{name}": value for name, value in fit.best_state.items()}
        tensors |= {f"optimizer.{name}": value for name, value in optimizer_arrays(fit.optimizer).items()}
        plateau = {f"plateau_{name}": np.asarray(getattr(fit.plateau, name)) for name in PLATEAU}
        save_state(file, tensors, {"scores": fit.best_scores, **_arrays(fit.curve), **plateau}, _numbers(fit))
    return time.monotonic() - began


def _numbers(fit: Fit) -> dict[str, Any]:
    scaler = fit.machine.accelerator.scaler
    return {
        "seed": fit.seed,
        "rate": float(fit.base),
        "done": fit.done,
        "running": float(fit.running),
        "best": repr(float(fit.best)),  # JSON has no infinity
        "best_epoch": fit.best_epoch,
        "held": repr(float(fit.held)),
        "stale": fit.stale,
        "micro": fit.micro,
        "scaler": scaler.state_dict() if scaler is not None else {},
    }


def load_fit(file: Path, fit: Fit) -> None:
    """Take up the state of an unfinished training, if there is one of this seed and rate."""
    state = load_state(file, {"seed": fit.seed, "rate": float(fit.base)})
    if state is None:
        return
    tensors, arrays, facts = state
    parts: dict[str, dict[str, Tensor]] = {"now": {}, "best": {}, "optimizer": {}}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = value
    fit.load(parts["now"])
    fit.best_state, fit.best_scores = parts["best"], arrays["scores"]
    restore_optimizer(fit.optimizer, parts["optimizer"])
    fit.curve = _curve(arrays)
    for name in PLATEAU:
        setattr(fit.plateau, name, arrays[f"plateau_{name}"].reshape(()))  # files have no arrays without axes
    fit.done, fit.stale, fit.best_epoch = facts["done"], facts["stale"], facts["best_epoch"]
    fit.running += facts["running"]
    fit.best, fit.held = float(facts["best"]), float(facts["held"])
    fit.micro = min(facts["micro"], fit.micro)
    if fit.machine.accelerator.scaler is not None and facts["scaler"]:
        fit.machine.accelerator.scaler.load_state_dict(facts["scaler"])


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
