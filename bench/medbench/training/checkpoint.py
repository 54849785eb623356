"""Saved states of unfinished training: tensors, arrays and facts in one safetensors file, by atomic rename."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from medbench.storage import files

log = logging.getLogger(__name__)


def save_state(
    file: Path, tensors: dict[str, Tensor], arrays: dict[str, NDArray[np.generic]], facts: dict[str, Any]
) -> None:
    """Write a state; the file appears whole or not at all."""
    content = {f"tensor.{name}": value.detach().cpu().contiguous() for name, value in tensors.items()}
    content |= {f"array.{name}": torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}
    with files.atomic(file) as part:
        save_file(content, part, metadata={"facts": json.dumps(facts)})


def load_state(
    file: Path, expected: dict[str, Any]
) -> tuple[dict[str, Tensor], dict[str, NDArray[Any]], dict[str, Any]] | None:
    """Return (tensors, arrays, facts) of a saved state, or None if there is none that has the `expected` facts."""
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="pt") as opened:
            facts = json.loads((opened.metadata() or {}).get("facts", "{}"))
            content = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, ValueError) as error:
        log.warning("%s is not a saved state and is passed over: %s", file, error)
        return None
    if any(facts.get(name) != value for name, value in expected.items()):
        return None
    tensors = {name[7:]: value for name, value in content.items() if name.startswith("tensor.")}
    arrays = {name[6:]: value.numpy() for name, value in content.items() if name.startswith("array.")}
    return tensors, arrays, facts
