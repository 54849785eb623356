"""The state of an unfinished pre-training on disk."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from medbench.training.checkpoint import load_state, save_state
from medbench.training.optimizer import optimizer_arrays, restore_optimizer

if TYPE_CHECKING:
    from medbench.training.pretrain import Pretraining


def save_pretraining(file: Path, work: Pretraining) -> float:
    """Write the state (the first process does); returns the seconds that took."""
    began = time.monotonic()
    if work.machine.rank == 0:
        tensors = {f"student.{name}": value for name, value in work.student.state_dict().items()}
        tensors |= {f"teacher.{name}": value for name, value in work.teacher.state_dict().items()}
        tensors |= {f"optimizer.{name}": value for name, value in optimizer_arrays(work.optimizer).items()}
        tensors |= {"own.centre": work.centre, "own.running": work.running}
        scaler = work.machine.accelerator.scaler
        facts = {"seed": work.seed, "done": work.done, "micro": work.micro}
        facts["scaler"] = scaler.state_dict() if scaler is not None else {}
        arrays: dict[str, NDArray[Any]] = {name: np.asarray(values) for name, values in work.curve.items()}
        save_state(file, tensors, arrays, facts)
    return time.monotonic() - began


def load_pretraining(file: Path, work: Pretraining) -> None:
    """Take up the state of an unfinished pre-training, if there is one of this seed."""
    state = load_state(file, {"seed": work.seed})
    if state is None:
        return
    tensors, arrays, facts = state
    parts: dict[str, dict[str, Tensor]] = {"student": {}, "teacher": {}, "optimizer": {}, "own": {}}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = value
    work.student.load_state_dict(parts["student"])
    work.teacher.load_state_dict(parts["teacher"])
    restore_optimizer(work.optimizer, parts["optimizer"])
    work.centre, work.running = (parts["own"][name].to(work.machine.device) for name in ("centre", "running"))
    work.curve = {name: arrays[name].tolist() for name in work.curve}
    work.done, work.micro = facts["done"], min(facts["micro"], work.micro)
    if work.machine.accelerator.scaler is not None and facts["scaler"]:
        work.machine.accelerator.scaler.load_state_dict(facts["scaler"])
