"""Weights files: read safely, whatever their layout, and matched to a network without a key to spare.

After the card's mapping every tensor of the file is one of the network's or named by a `drop` pattern, and every
parameter and stored buffer of the network is filled. Anything else is an error that lists the keys.
"""

from __future__ import annotations

import argparse
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from medbench.cards.model import Weights
from medbench.errors import CardError, WeightsError
from medbench.models.weights.torchscript import is_torchscript, read_torchscript

GET_ANOTHER = "get the file again; medbench weights check tells whether one is whole"
COUNTER = "num_batches_tracked"  # a batch norm's counter, which old torchvision files lack and inference never reads

DAMAGED = (
    RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError, ImportError, TypeError, AssertionError,
    ArithmeticError, MemoryError, struct.error, zipfile.BadZipFile, SafetensorError,
)  # fmt: skip
"""What torch.load raises on bytes that are no weights file, found by damaging files at random."""


def read_state(path: Path, weights: Weights) -> dict[str, Tensor]:
    """Return the encoder's tensors of a weights file under the network's names.

    Raises:
        WeightsError: The file is damaged, holds code, or is not laid out as the card says.
    """
    return map_names(select(read_file(path), weights.key, path), weights, path)


def read_file(path: Path) -> Any:
    """Return the content of a weights file; no code in it is ever run.

    Raises:
        WeightsError: The file is truncated, not a weights file, or a pickle that would run code.
    """
    if path.stat().st_size == 0:
        raise WeightsError(f"{path} is empty", GET_ANOTHER)
    if _is_safetensors(path):
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path} is truncated or damaged: {error}", GET_ANOTHER) from error
    zipped = zipfile.is_zipfile(path)
    try:
        if zipped and is_torchscript(path):
            return read_torchscript(path)
        # Official files keep their command line beside the weights (RETFound, MAE): a Namespace of plain values.
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise _refused(path, str(error)) from error
    except DAMAGED as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path} is truncated or not a weights file: {first}", GET_ANOTHER) from error


def _refused(path: Path, text: str) -> WeightsError:
    """Tell code in a pickle from bytes that are no pickle; the reader stops at the first it does not know."""
    found = re.search(r"(?:GLOBAL|class) ([\w.]+)", text)
    if found or "Unsupported operand" in text:
        what = f"code ({found[1]})" if found else "code, or is damaged"
        return WeightsError(
            f"{path} holds {what}; nothing in it was run and it was not loaded",
            "ask its authors for a plain state dict or a safetensors file; if it is a weights file, get it again",
        )
    return WeightsError(f"{path} is truncated or not a weights file", GET_ANOTHER)


def _is_safetensors(path: Path) -> bool:
    """Tell by the content: a little-endian header length, then a JSON object."""
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 30


def select(content: Any, key: str | None, path: Path) -> dict[str, Any]:
    """Return the state dict that lies under the dotted `key` of a file's content."""
    for step in (key or "").split(".") if key else ():
        if not isinstance(content, dict) or step not in content:
            listed = _few(content) if isinstance(content, dict) else type(content).__name__
            raise WeightsError(
                f"{path} has nothing under the key '{key}'; it holds {listed}", "mend weights.key in the card"
            )
        content = content[step]
    if not isinstance(content, dict) or not any(isinstance(value, Tensor) for value in content.values()):
        listed = _few(content) if isinstance(content, dict) else type(content).__name__
        raise WeightsError(
            f"{path} holds no tensors by name but {listed}", "name their place in weights.key of the card"
        )
    if odd := [name for name in content if not isinstance(name, str)]:
        raise WeightsError(f"{path} holds tensors without a name: {_few(odd)}", "this is not a state dict")
    return content


def map_names(state: dict[str, Any], weights: Weights, path: Path) -> dict[str, Tensor]:
    """Apply a card's prefix, renames, drops and turns; what is left must be tensors, each under a name of its own."""
    found: dict[str, Tensor] = {}
    prefix = _prefix(state, weights, path)
    for name, value in state.items():
        if not name.startswith(prefix):
            continue
        short = _renamed(name[len(prefix) :], weights)
        if dropped(short, weights) and not (weights.convert and isinstance(value, Tensor)):
            continue  # a library's conversion tells layouts by tensors that are dropped after it (DINOv2's mask token)
        if not isinstance(value, Tensor):
            raise WeightsError(f"{path}: '{name}' is not a tensor but {type(value).__name__}", "drop it in the card")
        if short in found:
            raise WeightsError(f"{path}: two tensors become '{short}'", "mend weights.rename in the card")
        found[short] = value.T if short in weights.transpose and value.ndim == 2 else value
    return found


def dropped(name: str, weights: Weights) -> bool:
    """Tell whether a tensor of this name is left aside."""
    return any(re.fullmatch(pattern, name) for pattern in weights.drop)


def _prefix(state: dict[str, Any], weights: Weights, path: Path) -> str:
    """Return the first of the card's prefixes that a tensor's name starts with."""
    known = [weights.prefix] if isinstance(weights.prefix, str) else weights.prefix
    for prefix in known:
        if not prefix or any(name.startswith(prefix) for name in state):
            return prefix
    listed = "' or '".join(known)
    raise WeightsError(
        f"{path}: no tensor's name starts with '{listed}'; it holds {_few(state)}",
        "this is another model's file, or weights.prefix of the card is wrong",
    )


def _renamed(name: str, weights: Weights) -> str:
    for pattern, replacement in weights.rename.items():
        try:
            name = re.sub(pattern, replacement, name)
        except (re.error, IndexError) as error:
            raise CardError(
                f"weights.rename: cannot replace '{pattern}' by '{replacement}': {error}",
                "fix it in the model's card: a regular expression, then what takes its place",
            ) from error
    return name


def fill(
    network: nn.Module, state: dict[str, Tensor], path: Path, *, absent: Mapping[str, float] | None = None
) -> None:
    """Load `state` into `network`, in float32, strictly.

    Args:
        network: The network.
        state: Name -> tensor, as the card maps the file's.
        path: The file, for errors.
        absent: Parameters that no file of this layout holds -> the constant that stands in each of them.

    Raises:
        WeightsError: Keys are missing, left over, or of another shape, or values are not finite; they are listed.
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
            f"{len(m)} {what}: {_few(m)}"
            for m, what in ((missing, "missing"), (extra, "unknown"), (odd, "misshaped"))
            if m
        ]
        raise WeightsError(
            f"{path} does not fit {type(network).__name__}; {'; '.join(parts)}",
            "this is another architecture's file, or the card's prefix, rename or drop is incomplete",
        )
    network.load_state_dict(
        {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    )
    bad = [name for name, value in network.named_parameters() if not torch.isfinite(value.sum())]
    if bad:
        raise WeightsError(f"{path}: {len(bad)} tensors hold NaN or infinity: {_few(bad)}", GET_ANOTHER)


def _few(names: Iterable[str], n: int = 4) -> str:
    listed = [str(name) for name in names]
    return ", ".join(listed[:n]) + (f" and {len(listed) - n} more" if len(listed) > n else "")
