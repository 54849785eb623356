"""Reads weights files of any layout safely, and loads them into a network strictly.

After the card's mapping, each tensor of the file must be one of the network's or match a `drop` pattern, and each
parameter and stored buffer of the network must be in the file. Otherwise an error lists the names.
"""

from __future__ import annotations

import argparse
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from medbench.cards.model import Weights
from medbench.errors import DataError, WeightsError, few, first_line
from medbench.models.weights.torchscript import is_torchscript, read_torchscript
from medbench.storage.archives import require_sound
from medbench.storage.arrays.tensors import load_tensors
from medbench.storage.patterns import Expression

GET_ANOTHER = "get the file again; to check it: medbench weights check"
COUNTER = "num_batches_tracked"  # a batch norm's counter: old torchvision files lack it, and inference does not use it

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)

DAMAGED = (
    RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError, ImportError, TypeError, AssertionError,
    ArithmeticError, MemoryError, struct.error, zipfile.BadZipFile, SafetensorError,
)  # fmt: skip
"""Errors of torch.load on damaged files, found by damaging files at random."""


def read_state(path: Path, weights: Weights) -> dict[str, Tensor]:
    """Return the encoder's tensors of a weights file under the network's names.

    Raises:
        WeightsError: The file is damaged, contains code, or does not have the layout in the card.
    """
    return map_names(select(read_file(path), weights.key, path), weights, path)


def read_file(path: Path) -> Any:
    """Return the content of a weights file. Code in it never runs.

    Raises:
        WeightsError: The file is truncated, not a weights file, or a pickle with code.
    """
    if path.stat().st_size == 0:
        raise WeightsError(f"{path} is empty", GET_ANOTHER)
    if _is_safetensors(path):
        try:
            return load_tensors(path, foreign=True)[0]
        except (SafetensorError, OSError, ValueError) as error:
            raise WeightsError(f"{path} is truncated or damaged: {error}", GET_ANOTHER) from error
    zipped = zipfile.is_zipfile(path)
    try:
        if zipped:
            with zipfile.ZipFile(path) as archive:
                require_sound(archive, path.stat().st_size)
        if zipped and is_torchscript(path):
            return read_torchscript(path)
        # Official files (RETFound, MAE) also store their command line: a Namespace of plain values.
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")  # about old protocols, and kinds of tensors that `fill` refuses
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise _refused(path, str(error)) from error
    except DataError as error:
        raise WeightsError(f"{path} is not a weights file: {error.message}", GET_ANOTHER) from error
    except DAMAGED as error:
        raise WeightsError(f"{path} is truncated or not a weights file: {first_line(error)}", GET_ANOTHER) from error


def _refused(path: Path, text: str) -> WeightsError:
    """Return the error for code in a pickle, or for bytes that are no pickle."""
    found = re.search(r"(?:GLOBAL|class) ([\w.]+)", text)
    if found or "Unsupported operand" in text:
        what = f"code ({found[1]})" if found else "code, or is damaged"
        return WeightsError(
            f"{path} contains {what}; it was not loaded, and no code was run",
            "ask its authors for a plain state dict or a safetensors file; if it is damaged, get it again",
        )
    return WeightsError(f"{path} is truncated or not a weights file", GET_ANOTHER)


def _is_safetensors(path: Path) -> bool:
    """Return whether the content is a little-endian header length, then a JSON object."""
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 30


def select(content: Any, key: str | None, path: Path) -> dict[str, Any]:
    """Return the state dict at the dotted `key` of a file's content."""
    for step in (key or "").split(".") if key else ():
        if not isinstance(content, dict) or step not in content:
            listed = few(content, 4) if isinstance(content, dict) else type(content).__name__
            raise WeightsError(
                f"{path} has nothing under the key '{key}'; it contains {listed}", "fix weights.key in the card"
            )
        content = content[step]
    if not isinstance(content, dict) or not any(isinstance(value, Tensor) for value in content.values()):
        listed = few(content, 4) if isinstance(content, dict) else type(content).__name__
        raise WeightsError(
            f"{path} contains no named tensors, but {listed}",
            "set weights.key in the card to the key of the tensors in the file",
        )
    if odd := [name for name in content if not isinstance(name, str)]:
        raise WeightsError(f"{path} contains tensors without a name: {few(odd, 4)}", "this is not a state dict")
    return content


def map_names(state: dict[str, Any], weights: Weights, path: Path) -> dict[str, Tensor]:
    """Apply a card's prefix, renames, drops and transposes; the rest must be tensors with different names."""
    found: dict[str, Tensor] = {}
    prefix = _prefix(state, weights, path)
    for name, value in state.items():
        if not name.startswith(prefix):
            continue
        short = _renamed(name[len(prefix) :], weights)
        if dropped(short, weights) and not (weights.convert and isinstance(value, Tensor)):
            continue  # libraries recognise layouts by tensors that are dropped later (DINOv2's mask token)
        if not isinstance(value, Tensor):
            raise WeightsError(f"{path}: '{name}' is not a tensor but {type(value).__name__}", "drop it in the card")
        if value.layout != torch.strided or value.is_quantized or value.nbytes > value.untyped_storage().nbytes():
            raise WeightsError(
                f"{path}: '{name}' is a sparse, packed or repeated tensor, not a plain one", "drop it in the card"
            )
        if short in found:
            raise WeightsError(f"{path}: two tensors become '{short}'", "fix weights.rename in the card")
        found[short] = value.T if short in weights.transpose and value.ndim == 2 else value
    return found


def dropped(name: str, weights: Weights) -> bool:
    """Return whether a tensor of this name is dropped."""
    return any(Expression(pattern).fullmatch(name) for pattern in weights.drop)


def _prefix(state: dict[str, Any], weights: Weights, path: Path) -> str:
    """Return the first of the card's prefixes that the name of a tensor starts with."""
    known = [weights.prefix] if isinstance(weights.prefix, str) else weights.prefix
    for prefix in known:
        if not prefix or any(name.startswith(prefix) for name in state):
            return prefix
    listed = "' or '".join(known)
    raise WeightsError(
        f"{path}: no tensor's name starts with '{listed}'; it contains {few(state, 4)}",
        "this is another model's file, or weights.prefix of the card is wrong",
    )


def _renamed(name: str, weights: Weights) -> str:
    for pattern, replacement in weights.rename.items():
        name = Expression(pattern).sub(replacement, name)
    return name


def fill(
    network: nn.Module, state: dict[str, Tensor], path: Path, *, absent: Mapping[str, float] | None = None
) -> None:
    """Load `state` into `network`, in float32, strictly.

    Args:
        network: The network.
        state: Name -> tensor, after the card's mapping.
        path: The file, for errors.
        absent: Parameters that files of this layout do not have -> the value of all their elements.

    Raises:
        WeightsError: Tensors are missing, unknown, of another shape, or not finite. The error lists them.
    """
    wanted = network.state_dict()
    for name, value in wanted.items():
        if name.endswith(COUNTER) and name not in state:
            state[name] = torch.zeros_like(value)
        if name in (absent or {}) and name not in state:
            state[name] = torch.full_like(value, (absent or {})[name])
    missing = [name for name in wanted if name not in state]
    extra = [name for name in state if name not in wanted]
    odd = [
        f"{name} {tuple(state[name].shape)} for {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in state and state[name].shape != value.shape
    ]
    if missing or extra or odd:
        parts = [
            f"{len(m)} {what}: {few(m, 4)}"
            for m, what in ((missing, "missing"), (extra, "unknown"), (odd, "of another shape"))
            if m
        ]
        raise WeightsError(
            f"{path} does not fit {type(network).__name__}; {'; '.join(parts)}",
            "the file is for another architecture, or the card's prefix, rename or drop is incomplete",
        )
    kinds = [
        f"{name} ({str(state[name].dtype).removeprefix('torch.')} for {str(value.dtype).removeprefix('torch.')})"
        for name, value in wanted.items()
        if state[name].dtype not in (FLOATS if value.is_floating_point() else (*INTEGERS, value.dtype))
    ]
    if kinds:
        raise WeightsError(
            f"{path} contains tensors of a type that {type(network).__name__} does not have: {few(kinds, 4)}",
            "get weights in float32, float16, bfloat16 or float64; quantised weights are not supported",
        )
    network.load_state_dict(
        {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    )
    bad = [name for name, value in network.named_parameters() if not torch.isfinite(value.sum())]
    if bad:
        raise WeightsError(f"{path}: {len(bad)} tensors hold NaN or infinity: {few(bad, 4)}", GET_ANOTHER)
