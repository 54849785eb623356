"""Checkpoints of unfinished work: tensors, arrays and facts in one safetensors file, written by atomic rename."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from medbench.progress import say
from medbench.storage.arrays.tensors import load_tensors, save_tensors


@dataclass
class State:
    """What a checkpoint holds.

    Attributes:
        tensors: Name -> tensor; the names of a part (such as a network's) start with `PART.`.
        arrays: Name -> array of at least one axis.
        facts: Name -> anything that JSON can hold.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, part: str, tensors: Mapping[str, Tensor]) -> None:
        """Add the tensors of a part, as `part.NAME`."""
        self.tensors |= {f"{part}.{name}": value for name, value in tensors.items()}

    def part(self, part: str) -> dict[str, Tensor]:
        """Return the tensors of a part under the names that `add` was given."""
        start = f"{part}."
        return {name[len(start) :]: value for name, value in self.tensors.items() if name.startswith(start)}

    def save(self, file: Path) -> None:
        """Write the state; after a kill the file is complete or is still the previous one."""
        content = {f"tensor.{name}": value for name, value in self.tensors.items()}
        content |= {
            f"array.{name}": torch.from_numpy(np.ascontiguousarray(value)) for name, value in self.arrays.items()
        }
        save_tensors(file, content, self.facts)

    @classmethod
    def load(cls, file: Path, expected: Mapping[str, Any] | None = None) -> State | None:
        """Return the state in `file`; None if there is no file, it is damaged, or its facts differ from `expected`."""
        if not file.is_file():
            return None
        try:
            content, facts = load_tensors(file)
        except (SafetensorError, ValueError) as error:
            say(f"{file} is not a valid checkpoint and is ignored: {error}")
            return None
        if any(facts.get(name) != value for name, value in (expected or {}).items()):
            return None
        found = cls(content, facts=facts)
        return cls(found.part("tensor"), {name: value.numpy() for name, value in found.part("array").items()}, facts)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's moments and counters under names that stay the same for the same network."""
    found = {}
    for i, parameter in enumerate(_parameters(optimizer)):
        for key, value in optimizer.state.get(parameter, {}).items():
            found[f"{i}.{key}"] = value
    return found


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` returned."""
    parameters = _parameters(optimizer)
    for name, value in tensors.items():
        i, _, key = name.partition(".")
        parameter = parameters[int(i)]
        # A fused optimizer keeps its counters on the parameters' device, and reads parameters and moments in the order
        # of memory: a moment needs the memory format of its parameter (channels last, in a convolution).
        moment = value.shape == parameter.shape
        place = torch.empty_like(parameter) if moment else torch.empty_like(value, device=parameter.device)
        optimizer.state[parameter][key] = place.copy_(value).detach()


def _parameters(optimizer: torch.optim.Optimizer) -> list[Any]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
